"""What a server remembers is bounded, whatever its peers do: by its own numbers, and the system's.

For one connection, with *W* the largest single write:

- of output wait ``max_buffered`` + *W*, and with TLS what its records add (``RECORDS``);
- of input wait what one read gives, and the unfinished frame: ``max_length``, its delimiter, and
  what came in the same read after it.

Of all connections together no more output is counted than ``max_buffered_total``.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.hostile.callers import BAD, HEALTHY, Caller, Healthy, call
from tests.hostile.child import child
from tests.hostile.places import DRIVERS, Lines, Place, serving
from trioproto import Factory
from trioproto.sansio.layered import RECORDS

KIB = 1024
WRITE = 100 * KIB  # the largest single one
PEERS = 20
UNCOUNTED = 64 * KIB
"""What may be on its way over a stream before it is counted."""


class Replies(Lines):
    """Says much when it is asked to; each answer is one of several writes.

    It does not wait with its answers for a peer that does not read: only the limits stop it.
    """

    auto_pause = False

    def line_received(self, line: bytes) -> Any:
        word, _, number = line.partition(b" ")
        if word == b"much":
            for _ in range(int(number)):
                self.transport.write(bytes(WRITE))
                self.factory.look()
        elif word == b"pause" and not self.factory.calm:
            self.transport.pause_reading()
        else:
            self.send_line(line)


class Looks(Factory[Any]):
    """Looks at the numbers whenever something has changed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(Replies, **settings)
        self.calm = False
        self.most_output = self.most_input = self.most_counted = self.most_in_all = 0

    def output_waits(self, change: int, limit: int) -> None:
        super().output_waits(change, limit)
        self.most_counted = max(self.most_counted, self._buffered)

    def look(self) -> None:
        """Note the most that there is of each kind."""
        outputs = [each.transport.buffered for each in self.connections]
        self.most_output = max(self.most_output, *outputs)
        self.most_in_all = max(self.most_in_all, sum(outputs))

    def look_at_input(self) -> None:
        """Between the steps: what was delivered is counted as waiting in them."""
        inputs = [each.codec.pending for each in self.connections]
        self.most_input = max(self.most_input, *inputs)


SETTINGS = {
    "read_size": 32 * KIB,
    "high_water": 64 * KIB,
    "low_water": 16 * KIB,
    "max_buffered": 300 * KIB,
    "max_buffered_total": 1000 * KIB,
}


@pytest.mark.over(*DRIVERS)
async def test_what_waits_is_bounded_all_through_a_flood(
    driver: str, autojump_clock: MockClock
) -> None:
    factory = Looks(**SETTINGS)
    settings = factory.settings
    async with serving(driver, factory) as place:
        place.healthy.hurry()
        async with trio.open_nursery() as nursery:
            for number in range(PEERS):
                nursery.start_soon(_flood, place, random.Random(number))
            for _ in range(50):
                await place.healthy.served(1)
                factory.look()
                factory.look_at_input()
            nursery.cancel_scope.cancel()
        overflown = place.count("OutboundOverflow")
        place.healthy.take_it_easy()
        factory.calm = True
        for protocol in factory.connections:
            protocol.transport.resume_reading()  # a stream that is not read tells of no reset
    assert overflown >= 5  # it was a flood indeed
    assert WRITE < factory.most_output <= settings.max_buffered + WRITE + RECORDS
    assert factory.most_counted <= settings.max_buffered_total
    frame = Replies.max_length + len(Replies.delimiter)
    assert Replies.max_length / 3 < factory.most_input <= frame + settings.read_size + (16 * KIB)
    uncounted = settings.max_buffered + WRITE + RECORDS  # of the connection that writes just now
    if "stream" in driver:
        uncounted += PEERS * UNCOUNTED
    assert factory.most_in_all <= settings.max_buffered_total + uncounted


async def _flood(place: Place, walk: random.Random) -> None:
    """Ask for much, never read, begin lines and do not end them; come again when cut off."""
    while True:
        try:
            peer: Any = await place.connect()
            await peer.send(b"much %d\r\n" % walk.choice((1, 2, 3, 20)))
            while True:
                kind = walk.random()
                if kind < 0.5:
                    await peer.send(b"much %d\r\n" % walk.choice((1, 2, 3, 20)))
                elif kind < 0.6:
                    await peer.send(b"pause\r\n" + b"x\r\n" * 1000)
                else:
                    await peer.send(b"a" * walk.choice((1, 100, 8_000)))
                await trio.lowlevel.checkpoint()
        except OSError:
            pass


async def test_the_refused_who_read_nothing_take_no_room_from_those_who_are_served(
    driver: str, autojump_clock: MockClock
) -> None:
    """What is said to them counts too; above the limit they are the ones to go."""
    limits = {"max_per_peer": 1, "refusal": bytes(8 << 20), "max_buffered_total": 1 << 20}
    async with serving(driver, Factory(Lines, **limits)) as place:
        await place.crowd(20)
        await place.healthy.served(10)
        assert place.factory.statistics().refused == {"max_per_peer": 19}
        assert place.count("OutboundOverflow") == 0


TOTAL = 16 << 20
CROWD = 100
ASKED = 20
BIG = 100 * KIB


async def test_the_memory_of_a_process_keeps_to_the_bound() -> None:
    """Asked for 200 MB that nobody reads, it has what its settings say, or twice that."""
    callers: list[Caller] = []
    with child(1024, max_buffered_total=TOTAL) as server:
        try:
            with trio.fail_after(20):
                callers.append(await call(server.address, HEALTHY))
                healthy = Healthy(callers[0])
                await healthy.ask()
                before = server.memory()
                callers += [await call(server.address, BAD) for _ in range(CROWD)]
                for caller in callers[1:]:
                    await caller.try_to_send(b"much %d\r\n" % BIG * ASKED)
                    await healthy.ask()
                for _ in range(20):
                    await healthy.ask()
                most = server.memory() - before
        finally:
            for caller in callers:
                caller.discard()
    each = Replies.max_length + 2 * 64 * KIB  # a read, and the unfinished line
    assert most > TOTAL / 2
    assert most <= 2 * (TOTAL + 2 * BIG + CROWD * each)
