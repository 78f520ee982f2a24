"""The whole of a server program: ``run``, and one protocol over one stream."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, TextIO

import trio

from trioproto.endpoints.stdio import STDIO
from trioproto.runtime.factory import Factory, FactoryOfOne
from trioproto.runtime.groups import ungrouped
from trioproto.runtime.server import Endpoint, Server, open_server
from trioproto.runtime.user_code import closed_if_raised
from trioproto.sansio.errors import ConnectionClosed
from trioproto.sansio.protocol import Protocol, check_protocol
from trioproto.sansio.settings import Settings
from trioproto.sansio.tls_info import TLSContext

if TYPE_CHECKING:
    from trioproto.runtime.drain import DrainReport

_TELL_EVERY = 1.0
"""Seconds between two lines that tell of a drain."""
_TELL_MOST = 20
"""Connections that are named at its end, of those that did not finish."""


def run(
    factory: Factory[Any],
    *endpoints: Endpoint,
    grace: float | None = None,
    force: float | None = None,
) -> None:
    """Serve *factory* until SIGINT or SIGTERM; to be called from the main thread.

    Prints each bound address on a line of its own when ready; on standard error
    if standard output is a connection (``stdio:``). The first signal drains,
    after which this returns; a second one cancels. If connections were open, it
    prints every second how many are left, and at the end what became of them.

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
    seen: list[int] = []
    with ungrouped(), trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            async with open_server(factory, *endpoints, grace=grace, force=force) as server:
                # Not on standard output if that is a connection.
                file = sys.stderr if STDIO in server.addresses else sys.stdout
                _say(file, *(f"listening on {at}" for at in server.addresses if at != STDIO))
                nursery.start_soon(_obey, signals, seen, server, nursery, file)
                await server.wait_closed()
                if seen:
                    _say(file, *_told(await server.drain()))
            nursery.cancel_scope.cancel()
    return seen[1] if len(seen) > 1 else None


async def _obey(
    signals: AsyncIterator[int],
    seen: list[int],
    server: Server[Any],
    nursery: trio.Nursery,
    file: TextIO,
) -> None:
    """Drain at the first signal, cancel at the second."""
    seen.append(await anext(signals))
    server.stop()
    nursery.start_soon(_tell_who_is_left, server, file)
    seen.append(await anext(signals))
    nursery.cancel_scope.cancel()


async def _tell_who_is_left(server: Server[Any], file: TextIO) -> None:
    """Say how many connections are left to be drained, as long as there are some."""
    while left := len(server.connections):
        _say(file, f"draining: {left} connection{'s' * (left != 1)} left")
        await trio.sleep(_TELL_EVERY)


def _told(report: DrainReport) -> Iterator[str]:
    """Tell how a drain has ended, and for whom not well."""
    if not report.connections:
        return
    yield (
        f"drained: {report.finished} finished, {report.cancelled} cancelled, "
        f"{report.aborted} aborted"
    )
    hurt = [each for each in report.connections if each.ended != "finished"]
    for each in hurt[:_TELL_MOST]:
        yield f"{each.ended}: {each.peer}, {each.protocol}"
    if len(hurt) > _TELL_MOST:
        yield f"and {len(hurt) - _TELL_MOST} more"


def _say(file: TextIO, *lines: str) -> None:
    for line in lines:
        print(line, file=file, flush=True)


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
