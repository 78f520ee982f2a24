"""The whole of a server program: ``run``, and one protocol over one stream."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import trio

from trioproto.endpoints.stdio import STDIO
from trioproto.runtime.factory import Factory, FactoryOfOne
from trioproto.runtime.groups import ungrouped
from trioproto.runtime.server import Endpoint, Server, open_server
from trioproto.runtime.user_code import closed_if_raised
from trioproto.sansio.addresses import Address
from trioproto.sansio.errors import ConnectionClosed
from trioproto.sansio.protocol import Protocol, check_protocol
from trioproto.sansio.settings import Settings
from trioproto.sansio.tls_info import TLSContext


def run(
    factory: Factory[Any],
    *endpoints: Endpoint,
    grace: float | None = None,
    force: float | None = None,
) -> None:
    """Serve *factory* until SIGINT or SIGTERM; to be called from the main thread.

    Prints each bound address on a line of its own when ready; on standard error
    if standard output is a connection (``stdio:``). The first signal drains,
    after which this returns; a second one cancels.

    Raises:
        SystemExit: after a second signal: 130 for SIGINT, 143 for SIGTERM.
        Exception: as :func:`open_server`.

    Origin: Twisted's ``reactor.run``.
    """
    try:
        second = trio.run(_serve_until_signal, factory, endpoints, grace, force)
    except KeyboardInterrupt:
        # A SIGINT before our handler was in place, or after.
        second = signal.SIGINT
    if second is not None:
        raise SystemExit(128 + second)


async def _serve_until_signal(
    factory: Factory[Any],
    endpoints: tuple[Endpoint, ...],
    grace: float | None,
    force: float | None,
) -> int | None:
    """Serve, and return the number of the second signal, or ``None``."""
    second: list[int] = []
    with ungrouped(), trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            async with open_server(factory, *endpoints, grace=grace, force=force) as server:
                _announce(server.addresses)
                nursery.start_soon(_obey, signals, server, nursery.cancel_scope, second)
                await server.wait_closed()
            nursery.cancel_scope.cancel()
    return second[0] if second else None


def _announce(addresses: tuple[Address, ...]) -> None:
    """Print what was bound; not on standard output if that is a connection."""
    file = sys.stderr if STDIO in addresses else sys.stdout
    for address in addresses:
        if address != STDIO:
            print(f"listening on {address}", file=file, flush=True)


async def _obey(
    signals: AsyncIterator[int],
    server: Server[Any],
    cancel_scope: trio.CancelScope,
    second: list[int],
) -> None:
    """Drain at the first signal, cancel at the second."""
    await anext(signals)
    server.stop()
    second.append(await anext(signals))
    cancel_scope.cancel()


async def run_protocol(
    protocol: Protocol,
    stream: trio.abc.Stream,
    settings: Settings | None = None,
    *,
    tls: TLSContext | None = None,
) -> ConnectionClosed:
    """Serve one protocol over one stream until the connection ends.

    The stream is closed, whatever happens. ``protocol.factory`` is a private
    default factory.

    Args:
        protocol: handles the connection.
        stream: any stream.
        settings: by default those of a plain ``Factory``.
        tls: speak TLS over the stream, as the server: a context, or ``Certificates``.

    Returns:
        Why the connection ended, which ``connection_lost`` has got too.

    Raises:
        Cancelled: after the connection was reset, and ``connection_lost`` called.
        TypeError: *protocol* is none.
        RuntimeError: it is in use already.
        Exception: what user code raised, if the settings say
            ``callback_errors="raise"``.
    """
    factory = FactoryOfOne(protocol, settings)
    async with closed_if_raised(stream, factory.settings.cleanup_timeout):
        check_protocol(protocol)
        async with factory:
            await factory.handle(stream, tls=tls)
    reason = protocol.transport.reason
    assert reason is not None
    return reason
