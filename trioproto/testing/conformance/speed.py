"""How fast connections move bytes, and peers that take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trioproto.runtime.factory import Factory
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Service, in_turn

RATE = 20_000  # its burst is more than a TLS handshake


class Speed:
    """Tells how many bytes of some counters were moved since it was last asked."""

    def __init__(self, *counters: Callable[[], int]) -> None:
        self.counters = counters
        self.before = [counter() for counter in counters]

    def __call__(self) -> list[int]:
        """Read them, and begin again."""
        before, self.before = self.before, [counter() for counter in self.counters]
        return [now - then for now, then in zip(self.before, before, strict=True)]


def receiving(*protocols: Recorder) -> Speed:
    """Count what these receive."""
    return Speed(*[lambda each=each: each.transport.bytes_received for each in protocols])


def sending(*protocols: Recorder) -> Speed:
    """Count what these send."""
    return Speed(*[lambda each=each: each.transport.bytes_sent for each in protocols])


def several(count: int, **settings: Any) -> tuple[list[Recorder], Factory[Recorder]]:
    """Make protocols, and the factory that builds them."""
    protocols = [Recorder() for _ in range(count)]
    return protocols, in_turn(protocols, **settings)


async def connect_all(service: Service, protocols: list[Recorder]) -> list[Peer]:
    """Connect a peer for each protocol; the order of acceptance may be any."""
    return [await service.connect() for _ in protocols]


async def take_for(seconds: float, *peers: Peer) -> list[int]:
    """Let time pass while the peers read; return how many bytes each has read."""
    taken = [0 for _ in peers]
    for _ in range(round(2 * seconds)):
        await peers[0].pass_time(0.5)
        for index, peer in enumerate(peers):
            taken[index] += len(peer.take())
    return taken
