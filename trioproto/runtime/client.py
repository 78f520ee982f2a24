"""Connections of our own making: ``connect``, and what it shares with ``stay_connected``."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

from trioproto.endpoints.client import ClientEndpoint, StreamClientEndpoint
from trioproto.endpoints.client_strings import parse_client_endpoint
from trioproto.factory import P
from trioproto.runtime.factory import Factory, FactoryOfOne
from trioproto.runtime.groups import ungrouped, users_block
from trioproto.runtime.peers import stream_addresses
from trioproto.runtime.poll_driver import PollDriver
from trioproto.runtime.poller import SUPPORTED
from trioproto.runtime.socket_options import TCPOptions
from trioproto.runtime.stream_driver import StreamDriver
from trioproto.runtime.user_code import close_at_once, shielded
from trioproto.sansio.errors import HandshakeTimeout
from trioproto.sansio.protocol import check_protocol

if TYPE_CHECKING:
    from trioproto.runtime.scope import Scope
    from trioproto.sansio.connection import Connection
    from trioproto.sansio.settings import Settings

_CLOSE_TIME = 1.0
"""Seconds for closing a stream that was not used."""
_NOT_IN_USE = "the factory is in use no more"

Target: TypeAlias = str | ClientEndpoint | trio.abc.Stream
"""Where to connect to: a string, an endpoint object, or a ready-made stream."""


@asynccontextmanager
async def connect(
    endpoint: Target,
    protocol: P,
    *,
    settings: Settings | None = None,
    within: Factory[Any] | None = None,
) -> AsyncIterator[P]:
    """Connect, and run *protocol* on the connection while the block runs.

    The block begins when ``connection_made`` has been called. If the connection
    is lost, the block goes on: ``await protocol.transport.wait_closed()`` returns
    the reason. Leaving the block closes the connection and waits for its end,
    flushed within ``close_timeout``; leaving it by an exception or a
    cancellation resets it at once. ``connection_lost`` has returned in any case.

    ``protocol.factory`` is a private default factory.

    Args:
        endpoint: a client endpoint's string or object, or a connected stream,
            which is closed at the end, however that comes (with TLS: a
            ``TLSClientEndpoint`` around a ``StreamClientEndpoint``).
        protocol: handles the connection.
        settings: by default those of a plain ``Factory``.
        within: a factory in use. The connection shares a poller with those of
            that factory, which costs less where they write to each other, drains
            when they do, and ends at the latest when the factory's use does; it
            is none of its ``connections``, and counts in none of its limits.

    Raises:
        EndpointError: a bad string, or what it names is of no use.
        OSError: it cannot connect, as it was: ``TimeoutError`` if that took too
            long; ``ssl.SSLError`` or ``ConnectionError`` if what has to come
            before ``connection_made`` fails. *protocol* has heard nothing then.
        TypeError: *protocol* is none.
        RuntimeError: it is in use already, or *within* is not in use.
        Exception: what the block raised; or what user code raised, if the
            settings say ``callback_errors="raise"``, which cancels the block.

    Origin: Twisted's ``connectProtocol``.
    """
    if isinstance(endpoint, trio.abc.Stream):
        endpoint = StreamClientEndpoint(endpoint)
    target = parsed(endpoint)
    factory = FactoryOfOne(protocol, settings)
    async with prepared(target):
        check_protocol(protocol)
        entered = factory.open_scope() if within is None else nullcontext(_scope_of(within))
        with ungrouped():
            async with entered as scope, trio.open_nursery() as nursery:
                transport = await establish(target, factory, scope, nursery)
                try:
                    with users_block():
                        yield protocol
                except Exception:
                    transport.abort()
                    raise
                transport.close()


def parsed(endpoint: str | ClientEndpoint) -> ClientEndpoint:
    """Make an endpoint of a string, and refuse what is none.

    Raises:
        EndpointError: a bad string.
        TypeError: neither string nor endpoint.
    """
    if isinstance(endpoint, str):
        return parse_client_endpoint(endpoint)
    if isinstance(endpoint, ClientEndpoint):
        return endpoint
    raise TypeError(f"{endpoint!r:.100} is no client endpoint, nor the string of one")


@asynccontextmanager
async def prepared(endpoint: ClientEndpoint) -> AsyncIterator[None]:
    """Have an endpoint ready during a block, and nothing that it was given open after it.

    Raises:
        EndpointError: what it names is of no use.
        OSError: a file that it names cannot be read.
    """
    try:
        await endpoint.prepare()
        yield
    finally:
        with shielded(_CLOSE_TIME):
            await endpoint.aclose()


async def establish(
    endpoint: ClientEndpoint,
    factory: Factory[Any],
    scope: Scope,
    nursery: trio.Nursery,
) -> Connection:
    """Connect, and start the connection's task in *nursery*.

    Returns:
        The connection, after ``connection_made`` was called; it may have been
        lost again already.

    Raises:
        OSError: it cannot connect, or ended before it was open.
    """
    opening = endpoint.opening()
    stream = await endpoint.open()
    addresses = stream_addresses(stream)
    try:
        driver = _driver(stream, factory, scope)
    except BaseException:
        await close_at_once(stream, factory.settings.cleanup_timeout)
        raise
    nursery.start_soon(driver.run, *addresses, opening)
    await driver.wait_opened()
    connection: Connection | None = getattr(driver, "connection", None)
    if connection is None:
        problem = _NOT_IN_USE if scope.ended else "no protocol was built for it"
        raise ConnectionAbortedError(errno.ECONNABORTED, problem)
    if not connection.made:
        raise _failure(connection)
    return connection


def _driver(
    stream: trio.abc.Stream, factory: Factory[Any], scope: Scope
) -> PollDriver | StreamDriver:
    """Make the driver for a stream, which is closed by it from here on.

    Raises:
        ConnectionAbortedError: the scope has ended meanwhile.
        OSError: there can be no poller, as there are too many open files.
    """
    if scope.ended:
        raise ConnectionAbortedError(errno.ECONNABORTED, _NOT_IN_USE)
    if not isinstance(stream, trio.SocketStream):
        return StreamDriver(scope, stream, factory)
    _set_options(stream, factory.settings)
    if not SUPPORTED:
        return StreamDriver(scope, stream, factory)
    poller = scope.poller
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    return PollDriver(scope, poller, sock, factory)


def _scope_of(factory: Factory[Any]) -> Scope:
    """Return the scope of a factory in use."""
    if factory._scope is None:
        raise RuntimeError(f"{type(factory).__name__} is not in use: serve it, or enter it")
    return factory._scope


def _set_options(stream: trio.SocketStream, settings: Settings) -> None:
    """Set what is set on accepted connections too."""
    if stream.socket.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # it has gone already
        TCPOptions.of(settings).set_on(stream)


def _failure(connection: Connection) -> OSError:
    """Say why a connection ended that was never open."""
    reason = connection.end_as_error()
    if isinstance(reason.__cause__, OSError):
        return reason.__cause__
    kind = TimeoutError if isinstance(reason, HandshakeTimeout) else ConnectionError
    failure = kind(str(reason) or type(reason).__name__)
    failure.__cause__ = reason
    return failure
