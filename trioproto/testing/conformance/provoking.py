"""How to make each callback happen, over any driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from trioproto.testing.conformance.features import Feature, Test, each
from trioproto.testing.conformance.peer import Peer, PeerWasReset
from trioproto.testing.conformance.recorder import CALLBACKS, Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS


def each_callback(callbacks: Iterable[str] = CALLBACKS) -> Callable[[Test], Test]:
    """Decorate a test that is run with each ``callback``; only what drains can quiesce."""
    return each(
        "callback",
        {name: {Feature.DRAINS} if name == "quiesce" else set() for name in callbacks},
    )


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
