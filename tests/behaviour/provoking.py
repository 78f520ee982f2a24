"""How to make each callback happen, over any driver."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from tests.behaviour.drivers import ALL, MORE_THAN_FITS, SERVED_OR_HARNESS
from tests.behaviour.peers import Peer, PeerWasReset
from tests.behaviour.recorder import Recorder


def where_it_happens(
    callbacks: Iterable[str], drivers: Iterable[str] = ALL
) -> list[tuple[str, str]]:
    """Pairs of a driver and a callback: only a server, or the harness, drains."""
    return [
        (driver, callback)
        for driver in drivers
        for callback in callbacks
        if callback != "quiesce" or driver in SERVED_OR_HARNESS
    ]


async def provoke(callback: str, peer: Peer, protocol: Recorder) -> None:
    """Make a callback happen to an open connection, made with small buffers."""
    if callback == "data_received":
        await peer.send(b"data")
    elif callback == "eof_received":
        await peer.send_eof()
    elif callback == "pause_writing":
        peer.service.do(lambda: protocol.transport.write(bytes(MORE_THAN_FITS)))
    elif callback == "resume_writing":
        peer.service.do(lambda: protocol.transport.write(bytes(MORE_THAN_FITS)))
        with suppress(PeerWasReset):  # in mid-record, where the callback ends the connection
            while callback not in protocol.heard:
                await peer.receive_some()
    elif callback == "timed_out":
        protocol.transport.set_timeout(5)
        await peer.pass_time(6)
    elif callback == "quiesce":
        await peer.service.start_drain()
    elif callback == "connection_lost":
        await peer.reset()
    else:
        assert callback == "connection_made"  # it has happened
    await peer.settle()
