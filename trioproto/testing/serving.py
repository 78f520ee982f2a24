"""A factory served as it is in production, for the length of a block.

In memory everything is as it is on sockets, but for these: the driver for streams,
the factory's lifespan, its limits, its deadlines in trio's time, and the drain at
the end. What is otherwise: an error in a callback fails the test.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import trio

from trioproto.factory import P
from trioproto.testing.memory import MemoryStream
from trioproto.testing.memory_listener import open_memory_listener
from trioproto.testing.pipe import CAPACITY
from trioproto.testing.server_handles import MemoryServer, SocketServer, TLSStream
from trioproto.testing.serving_block import ServingBlock
from trioproto.testing.targets import Target, factory_of
from trioproto.testing.tls_contexts import SERVER_NAME, TLSContexts, contexts_of

if TYPE_CHECKING:
    from trioproto.endpoints.endpoint import ServerEndpoint


class ServeFactory(Protocol):
    """What :func:`serving` is, and the fixture ``serve_factory``: how they are called."""

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


def _overloaded(function: Callable[..., Any]) -> ServeFactory:
    """Have *function* typed by the overloads, which are there once, for the fixture too."""
    return function


@_overloaded
def serving(
    target: Target[P],
    /,
    *endpoints: str | ServerEndpoint,
    tls: bool | TLSContexts = False,
    server_hostname: str = SERVER_NAME,
    capacity: int | None = CAPACITY,
    half_close: bool = True,
    **settings: Any,
) -> AbstractAsyncContextManager[Any]:
    """Serve a factory while the block runs, in memory if nothing else is said.

    For example::

        async with serving(Factory(Chat)) as server:
            ann, bob = await server.connect(), await server.connect()

    Leaving the block closes the clients' ends, lets the server read what they have
    sent, and drains it as ``open_server`` does; leaving it by an exception ends all at
    once. After it the factory has its own settings again.

    An error in a callback cancels the block, and comes out of it as itself; several
    come as one flat group. If the block has failed too, because its connection was
    reset, the error has a note that says where. If it has failed otherwise, that comes
    out, with the callback's error as its context: that is shown first.

    Args:
        target: a factory or its class; a protocol, or a class or function that makes one.
        endpoints: where to serve it on sockets instead, as for ``open_server``: what
            is given to the block then is a :class:`SocketServer`.
        tls: ``True``: connections are over TLS, with certificates made for this block
            (trustme has to be installed). Or two contexts: the server's, and the
            clients'.
        server_hostname: the name that the clients ask for.
        capacity: in memory, bytes that may wait to be received, each way of a connection;
            ``None``: any number.
        half_close: in memory, whether the server's ends can end their side alone; a
            driver has to close a stream that cannot in another way.
        settings: settings that the factory has during the block. ``callback_errors``
            is ``"raise"`` unless given.

    Raises:
        LeftOverError: a connection, a place in a limit, a task, or a byte is left at the end.
        ImportError: trustme is not installed, and needed.
        TypeError: *target* makes nothing; or an unknown setting.
        Exception: what a callback, the factory's lifespan or the block raised, as it was.
    """
    factory = factory_of(target)
    contexts = None if tls is False else contexts_of(tls)
    if endpoints:
        return ServingBlock(SocketServer(factory, contexts, server_hostname, endpoints), settings)
    listener = open_memory_listener(capacity=capacity, half_close=half_close)
    return ServingBlock(MemoryServer(factory, contexts, server_hostname, listener), settings)
