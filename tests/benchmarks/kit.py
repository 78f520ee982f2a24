"""The test kit: what one exchange costs in a test, so that thousands of them are no burden.

An exchange is: connect, ten messages of five bytes with their answers, close. What is measured is
the CPU time of the thread, as in `framing.py`. These targets are times and no ratios, as they are
what a test suite is made of: read them on a machine that is quiet.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median
from time import thread_time
from typing import Any

import trio
import trio.testing
from twisted.internet import protocol as twisted_protocol
from twisted.internet.testing import StringTransport

from trioproto import Factory, Protocol
from trioproto.testing import Harness, connected

from .report import Row, table

MESSAGE = b"hello"
COUNT = 10
TIMES = 200
"""Exchanges in a round."""

HARNESS = "Harness"
CONNECTED = "connected, over a memory stream"
STRING_TRANSPORT = "Twisted's StringTransport"
BY_HAND = "trio.testing.memory_stream_pair and handle"

TARGETS = {HARNESS: 100.0, CONNECTED: 2000.0}
"""Microseconds for an exchange, at most."""

Progress = Callable[[str], None]


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class TwistedEcho(twisted_protocol.Protocol):
    transport: Any

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's
        self.transport.write(data)


FACTORY = Factory(Echo)


async def with_harness() -> None:
    harness = Harness(FACTORY)
    harness.connect()
    for _ in range(COUNT):
        harness.exchange(MESSAGE, MESSAGE)
    harness.feed_eof()
    assert harness.lost


async def with_string_transport() -> None:
    made: Any = (StringTransport, TwistedEcho)  # they have no types
    transport, protocol = (make() for make in made)
    protocol.makeConnection(transport)
    for _ in range(COUNT):
        protocol.dataReceived(MESSAGE)
        assert transport.value() == MESSAGE
        transport.clear()
    protocol.connectionLost()


async def talk(stream: trio.abc.Stream) -> None:
    for _ in range(COUNT):
        await stream.send_all(MESSAGE)
        assert await stream.receive_some() == MESSAGE


async def over_memory_stream() -> None:
    async with connected(FACTORY) as stream:
        await talk(stream)


async def by_hand() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(FACTORY.handle, theirs)
        await talk(ours)
        await ours.aclose()


WAYS = {
    HARNESS: with_harness,
    STRING_TRANSPORT: with_string_transport,
    CONNECTED: over_memory_stream,
    BY_HAND: by_hand,
}


@dataclass
class KitCosts:
    """CPU seconds of an exchange, for each way, in rounds."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})

    def text(self) -> str:
        head = ("way", "us", "least", "greatest", "target", "reached")
        return "kit: an exchange in a test\n" + table([head, *self._rows()]) + "\n"

    def _rows(self) -> Iterable[Row]:
        for way, rounds in self.seconds.items():
            times = [f"{each * 1e6:,.0f}" for each in (median(rounds), min(rounds), max(rounds))]
            most = TARGETS.get(way)
            if most is None:
                yield way, *times, "-", "-"
            else:
                verdict = "yes" if median(rounds) * 1e6 <= most else "NO"
                yield way, *times, f"<= {most:,.0f}", verdict

    def data(self) -> list[object]:
        return [{"name": "kit", "way": way, "rounds": each} for way, each in self.seconds.items()]


def measure(rounds: int, progress: Progress) -> KitCosts:
    costs = KitCosts()
    trio.run(_measure, costs, rounds, progress)
    return costs


async def _measure(costs: KitCosts, rounds: int, progress: Progress) -> None:
    for number in range(rounds + 1):  # the first is to warm up
        for way, exchange in WAYS.items():
            gc.collect()
            began = thread_time()
            for _ in range(TIMES):
                await exchange()
            seconds = (thread_time() - began) / TIMES
            if number:
                costs.seconds[way].append(seconds)
                progress(f"kit {number}/{rounds} {way}: {seconds * 1e6:,.0f} us")
