"""What the tests of limits share: what is held of them, and who is served."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import trio

from tests.behaviour.drivers import SocketPeer, tcp_pair
from tests.serving.conversations import dialled, settle
from trioproto import Factory, Protocol
from trioproto.runtime.admission import Admission
from trioproto.testing.conformance.peer import Peer

REFUSAL = b"Too many connections, try later\r\n"


@dataclass(frozen=True)
class Held:
    """What the connections of a factory hold of its limits."""

    places: int = 0
    handshakes: int = 0
    peers: dict[Any, int] = field(default_factory=dict)
    refusals: int = 0
    waiting: int = 0


NOTHING = Held()


def admission_of(factory: Factory[Any]) -> Admission:
    """Return what keeps the limits of a factory that is served; to be looked at after that, too."""
    assert factory._scope is not None
    return factory._scope.admission


def held(admission: Admission) -> Held:
    return Held(
        admission.places.borrowed_tokens,
        admission.handshakes.borrowed_tokens,
        dict(admission.peers),
        admission.refusals,
        len(admission.waiting),
    )


def check_at_rest(factory: Factory[Any], admission: Admission) -> None:
    """Nothing is held, and all who were accepted have been counted out."""
    assert held(admission) == NOTHING
    statistics = factory.statistics()
    assert statistics.opening == statistics.open == 0
    assert statistics.accepted == sum(statistics.closed.values())


async def greeted(peer: Peer) -> bool:
    """Whether the server has said hello by now."""
    await settle()
    return peer.take() == b"hello"


async def ends(peer: Peer) -> tuple[bytes, str]:
    """What comes until the end, which is near."""
    with trio.fail_after(5):
        return await peer.receive_all()


class TriesLater(Protocol):
    """Says, as an overflow protocol, that there are too many."""

    def connection_made(self) -> Any:
        self.transport.write(REFUSAL)
        self.transport.close()


def stream_pair() -> tuple[SocketPeer, trio.SocketStream]:
    """Make a peer, and the stream to be given to ``handle``."""
    client, server_end = tcp_pair(None)
    dialled.append(SocketPeer(client))
    return dialled[-1], trio.SocketStream(trio.socket.from_stdlib_socket(server_end))
