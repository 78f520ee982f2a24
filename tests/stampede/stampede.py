"""Random resets, stalls and cancellations, from both sides, after which nothing may be left.

Many clients come and go, each with a short and random life; the protocols that they meet are
no better; and from outside limits are changed, connections are aborted, handlers are cancelled.
What is repeated to a client must always be the beginning of what it has said. A healthy client
is answered all the while, and in the end there is no socket, no task and no slot.

The seed decides what is done; as all this is in real time, it does not decide what follows.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from math import ceil
from typing import Any

import trio

from tests.hostile.callers import HEALTHY
from tests.hostile.left_overs import check_books
from tests.hostile.places import Place, serving
from tests.stampede.wild import CALM, WildFactory
from tests.tls.over_wire import HELLO
from trioproto.sansio.counts import Statistics
from trioproto.testing.conformance.peer import PeerWasReset

CLIENTS = 80
PATTERN = bytes(index * 7919 % 251 for index in range(1 << 16)) * 4
SIZES = (1, 10, 1000, 5000, 40_000)
HOSTS = [f"127.0.0.{number}" for number in range(10, 16)]
REFUSAL = b"not now\r\n"
PACE = 0.005
"""Seconds that the healthy client rests after an answer."""
_TO_CALM_DOWN = 60
"""Seconds of which most are never needed."""


async def stampede(driver: str, seed: int, seconds: float) -> Statistics:
    """Let it happen for so long.

    Raises:
        Exception: what has gone wrong, with a note of the seed.
    """
    walk = random.Random(seed)
    factory = WildFactory(walk)
    try:
        async with serving(driver, factory, seconds + _TO_CALM_DOWN) as place:
            place.healthy.gives_up_at += seconds
            place.healthy.take_it_easy(PACE)
            async with trio.open_nursery() as nursery:
                for _ in range(CLIENTS):
                    nursery.start_soon(_live, place, random.Random(walk.random()))
                nursery.start_soon(_meddle, place, random.Random(walk.random()))
                enough = place.healthy.exchanges + ceil(10 * seconds / 3)
                await trio.sleep(seconds)
                # On a busy machine it may take longer until it was answered so often.
                await place.healthy.served(enough - place.healthy.exchanges)
                nursery.cancel_scope.cancel()
            if place.server is not None:
                place.server.resume()
            factory.configure(**CALM)
        now = factory.statistics()
        assert set(now.errors) <= {"BoomError"}, now.errors
    except BaseException as exc:
        exc.add_note(f"python -m tests.stampede --driver {driver} --seed {seed}")
        raise
    return now


async def _live(place: Place, walk: random.Random) -> None:
    """Be one client after the other."""
    while True:
        with trio.move_on_after(walk.choice((0.01, 0.1, 0.5, 2))):
            await Life(place, walk).live()
        await trio.lowlevel.checkpoint()


class Life:
    """One client: what it has said, and what it has heard."""

    def __init__(self, place: Place, walk: random.Random) -> None:
        self.place = place
        self.walk = walk
        self.sent = 0
        self.heard = bytearray()

    async def live(self) -> None:
        """Come, do this and that, and leave somehow."""
        caller = await self.place.dial(self.walk.choice(HOSTS))
        try:
            if self.place.tls and self.walk.random() < 0.2:
                await caller.send(HELLO[: self.walk.randrange(len(HELLO) + 1)])
                await trio.sleep(self.walk.random())
                return
            await self._talk(await self.place.over_tls(caller) if self.place.tls else caller)
        except (OSError, PeerWasReset, trio.ClosedResourceError):
            pass
        finally:
            self.place.callers.remove(caller)
            self._check()
            if self.walk.random() < 0.5:
                caller.discard()
            else:
                await caller.reset()

    async def _talk(self, peer: Any) -> None:
        ended = False
        acts: Mapping[str, float] = {"send": 6, "read": 6, "stall": 1, "end": 0.3, "leave": 0.3}
        while True:
            (act,) = self.walk.choices(list(acts), list(acts.values()))
            if act == "send" and not ended:
                size = min(self.walk.choice(SIZES), len(PATTERN) - self.sent)
                self.sent += size
                await peer.send(PATTERN[self.sent - size : self.sent])
            elif act == "read":
                with trio.move_on_after(self.walk.random() * 0.1):
                    data = await peer.receive_some()
                    self.heard += data
                    if not data:
                        return
            elif act == "stall":
                await trio.sleep(self.walk.choice((0, 0.01, 0.1, 1)))
            elif act == "end" and not ended:
                ended = True
                await peer.send_eof()
            elif act == "leave":
                return
            await trio.lowlevel.checkpoint()

    def _check(self) -> None:
        heard = bytes(self.heard)
        if heard and heard == REFUSAL[: len(heard)]:
            return
        assert heard == PATTERN[: len(heard)]
        assert len(heard) <= self.sent


async def _meddle(place: Place, walk: random.Random) -> None:
    """Do from outside what may be done from outside."""
    factory = place.factory
    while True:
        await trio.sleep(walk.random() * 0.05)
        check_books(factory)
        chance = walk.random()
        if chance < 0.3:
            _end_some(place, walk)
        elif chance < 0.6:
            for name in walk.sample(sorted(OTHERS), 3):
                factory.configure(**{name: walk.choice(OTHERS[name])})
        elif chance < 0.7:
            factory.configure(**CALM)
        elif chance < 0.8 and place.server is not None:
            place.server.suspend()
            await trio.sleep(walk.random() * 0.1)
            place.server.resume()
        else:
            factory.connection_info()


OTHERS: dict[str, list[Any]] = {
    "max_connections": [10, 60, None],
    "at_limit": ["wait", "refuse"],
    "refuse_after": [None, 0.05],
    "max_per_peer": [None, 3, 20],
    "max_accept_rate": [None, 100],
    "max_handshakes": [None, 5],
    "receive_rate_total": [None, 1 << 20],
    "send_rate_total": [None, 1 << 20],
}
"""What the limits are changed to."""


def _end_some(place: Place, walk: random.Random) -> None:
    for protocol in place.factory.connections:
        host = getattr(protocol.transport.peer, "host", "gone")
        if host in HOSTS and walk.random() < 0.1:
            walk.choice((protocol.transport.abort, protocol.transport.close))()
    for scope, host in list(place.handlers.items()):
        if host != HEALTHY and walk.random() < 0.1:
            scope.cancel()


def told(statistics: Statistics) -> str:
    """Say what has happened, in a few lines."""
    ends = Counter(statistics.closed).most_common()
    return "\n".join(
        [
            f"{statistics.accepted} accepted, {sum(statistics.refused.values())} refused",
            ", ".join(f"{count} {name}" for name, count in ends),
        ]
    )
