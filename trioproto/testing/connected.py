"""A factory served in memory to one client."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

import trio

from trioproto.factory import P
from trioproto.testing.faults import NONE, Faults
from trioproto.testing.memory import MEMORY, MemoryStream
from trioproto.testing.pipe import CAPACITY
from trioproto.testing.server_handles import MemoryServer, S_co, TLSStream
from trioproto.testing.serving import serving
from trioproto.testing.targets import Target
from trioproto.testing.tls_contexts import SERVER_NAME, TLSContexts

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address


@overload
def connected(
    target: Target[P],
    *,
    tls: Literal[False] = ...,
    to_server: Faults = ...,
    to_client: Faults = ...,
    peer: Address = ...,
    capacity: int | None = ...,
    half_close: bool = ...,
    **settings: Any,
) -> AbstractAsyncContextManager[MemoryStream]: ...


@overload
def connected(
    target: Target[P],
    *,
    tls: Literal[True] | TLSContexts,
    server_hostname: str = ...,
    to_server: Faults = ...,
    to_client: Faults = ...,
    peer: Address = ...,
    capacity: int | None = ...,
    half_close: bool = ...,
    **settings: Any,
) -> AbstractAsyncContextManager[TLSStream]: ...


@overload
def connected(
    target: Target[P],
    *,
    tls: bool | TLSContexts,
    server_hostname: str = ...,
    to_server: Faults = ...,
    to_client: Faults = ...,
    peer: Address = ...,
    capacity: int | None = ...,
    half_close: bool = ...,
    **settings: Any,
) -> AbstractAsyncContextManager[trio.abc.Stream]: ...


def connected(
    target: Target[Any],
    *,
    tls: bool | TLSContexts = False,
    server_hostname: str = SERVER_NAME,
    to_server: Faults = NONE,
    to_client: Faults = NONE,
    peer: Address = MEMORY,
    capacity: int | None = CAPACITY,
    half_close: bool = True,
    **settings: Any,
) -> AbstractAsyncContextManager[Any]:
    """Serve a factory in memory while the block runs, to one client.

    For example::

        async with connected(Factory(Echo)) as stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"

    It is :func:`serving`, with one connection made at the beginning.

    Args:
        target: a factory or its class; a protocol, or a class or function that makes one.
        tls: as for ``serving``; the stream is a ``trio.SSLStream`` then.
        server_hostname: the name that the client asks for.
        to_server: what happens to the bytes on that way.
        to_client: the same on the way back.
        peer: the client's address, as the protocol is to see it.
        capacity: as for ``serving``.
        half_close: as for ``serving``.
        settings: as for ``serving``.

    Raises:
        BrokenResourceError: the TLS handshake failed.
        Exception: as ``serving``.
    """
    block = serving(
        target,
        tls=tls,
        server_hostname=server_hostname,
        capacity=capacity,
        half_close=half_close,
        **settings,
    )
    return _Connected(block, {"to_server": to_server, "to_client": to_client, "peer": peer})


class _Connected(AbstractAsyncContextManager[S_co]):
    """Serves during a block, to one client."""

    def __init__(
        self,
        block: AbstractAsyncContextManager[MemoryServer[Any, S_co]],
        options: dict[str, Any],
    ) -> None:
        self._block = block
        self._options = options

    async def __aenter__(self) -> S_co:
        __tracebackhide__ = True
        server = await self._block.__aenter__()
        try:
            return await server.connect(**self._options)
        except BaseException as error:
            await self._block.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        body: BaseException | None,
        entry: TracebackType | None,
    ) -> bool | None:
        __tracebackhide__ = True
        return await self._block.__aexit__(kind, body, entry)
