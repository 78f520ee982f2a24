"""The type of what the fixture ``serve_factory`` gives."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import trio

from trioproto.factory import P
from trioproto.testing.contexts import TLSContexts
from trioproto.testing.memory import MemoryStream
from trioproto.testing.served import MemoryServer, SocketServer, TLSStream
from trioproto.testing.targets import Target

if TYPE_CHECKING:
    from trioproto.endpoints.endpoint import ServerEndpoint


class ServeFactory(Protocol):
    """What the fixture ``serve_factory`` gives: it is called as :func:`serving` is."""

    @overload
    def __call__(
        self,
        target: Target[P],
        /,
        *,
        tls: Literal[False] = ...,
        capacity: int | None = ...,
        half_close: bool = ...,
        **settings: Any,
    ) -> AbstractAsyncContextManager[MemoryServer[P, MemoryStream]]: ...

    @overload
    def __call__(
        self,
        target: Target[P],
        /,
        *,
        tls: Literal[True] | TLSContexts,
        server_hostname: str = ...,
        capacity: int | None = ...,
        half_close: bool = ...,
        **settings: Any,
    ) -> AbstractAsyncContextManager[MemoryServer[P, TLSStream]]: ...

    @overload
    def __call__(
        self,
        target: Target[P],
        endpoint: str | ServerEndpoint,
        /,
        *endpoints: str | ServerEndpoint,
        tls: Literal[False] = ...,
        **settings: Any,
    ) -> AbstractAsyncContextManager[SocketServer[P, trio.SocketStream]]: ...

    @overload
    def __call__(
        self,
        target: Target[P],
        endpoint: str | ServerEndpoint,
        /,
        *endpoints: str | ServerEndpoint,
        tls: Literal[True] | TLSContexts,
        server_hostname: str = ...,
        **settings: Any,
    ) -> AbstractAsyncContextManager[SocketServer[P, trio.SSLStream[trio.SocketStream]]]: ...

    @overload
    def __call__(
        self,
        target: Target[P],
        /,
        *,
        tls: bool | TLSContexts,
        server_hostname: str = ...,
        capacity: int | None = ...,
        half_close: bool = ...,
        **settings: Any,
    ) -> AbstractAsyncContextManager[MemoryServer[P, trio.abc.Stream]]: ...

    @overload
    def __call__(
        self,
        target: Target[P],
        endpoint: str | ServerEndpoint,
        /,
        *endpoints: str | ServerEndpoint,
        tls: bool | TLSContexts,
        server_hostname: str = ...,
        **settings: Any,
    ) -> AbstractAsyncContextManager[SocketServer[P, trio.abc.Stream]]: ...
