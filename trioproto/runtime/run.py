"""The whole of a server program: ``run``, and one protocol over one stream."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import trio

from trioproto.endpoints.stdio import STDIO
from trioproto.runtime.factory import Factory, FactoryOfOne
from trioproto.runtime.groups import ungrouped
from trioproto.runtime.server import Endpoint, Server, open_server
from trioproto.runtime.telling import Teller
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
    after which this returns; a second one cancels, and so does the first while
    ``lifespan`` is entered; further ones change nothing. If connections are open, it
    prints every second how many are left, and at the end what became of them.

    Raises:
        SystemExit: after a signal that cancels: 130 for SIGINT, 143 for SIGTERM.
        Exception: as :func:`open_server`.

    Origin: Twisted's ``reactor.run``.
    """
    program = _Program()
    try:
        trio.run(program.serve, factory, endpoints, grace, force)
    except KeyboardInterrupt:
        # A SIGINT before our handler was in place, or after.
        program.cancelled_by = signal.SIGINT
    if program.cancelled_by is not None:
        raise SystemExit(128 + program.cancelled_by)


class _Program:
    """A server that obeys signals, and tells on a standard stream what it does.

    Attributes:
        cancelled_by: the signal that has cancelled it, if one has.
    """

    def __init__(self) -> None:
        self.cancelled_by: int | None = None
        self._drained = False
        self._server: Server[Any] | None = None
        self._serving = trio.CancelScope()
        self._teller = Teller(sys.stdout)

    async def serve(
        self,
        factory: Factory[Any],
        endpoints: tuple[Endpoint, ...],
        grace: float | None,
        force: float | None,
    ) -> None:
        """Serve until a signal has drained the server, or cancelled it."""
        with ungrouped(), trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals, nursery)
                with self._serving:
                    await self._serve(factory, endpoints, grace, force)
                nursery.cancel_scope.cancel()

    async def _serve(
        self,
        factory: Factory[Any],
        endpoints: tuple[Endpoint, ...],
        grace: float | None,
        force: float | None,
    ) -> None:
        async with open_server(factory, *endpoints, grace=grace, force=force) as server:
            self._server = server
            if STDIO in server.addresses:
                self._teller = Teller(sys.stderr)  # the other one is a connection
            for address in server.addresses:
                if address != STDIO:
                    self._teller.say(f"listening on {address}")
            await server.wait_closed()
            if self._drained:
                self._teller.say(*_told(await server.drain()))

    async def _obey(self, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        """Drain at the first signal, cancel at the second; or at once, if nothing is served yet.

        Goes on until all has ended: what is not taken here goes to the handlers that were
        there before, and the system's ends the process.
        """
        async for number in signals:
            if self._server is None or self._drained:
                self.cancelled_by = self.cancelled_by or number
                self._serving.cancel()
            else:
                self._drained = True
                self._server.stop()
                nursery.start_soon(self._tell_who_is_left, self._server)

    async def _tell_who_is_left(self, server: Server[Any]) -> None:
        """Say how many connections are left to be drained, as long as there are some."""
        while self.cancelled_by is None and not server.closed:
            now = server.statistics()
            if left := now.opening + now.open:
                self._teller.say(f"draining: {left} connection{'s' * (left != 1)} left")
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
