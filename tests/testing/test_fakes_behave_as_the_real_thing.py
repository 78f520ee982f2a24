"""One conversation, drawn from a seed, over the kit's fakes and over real sockets: all the same.

What a protocol hears and when, what its peer gets and after which step, and what is
counted, must not depend on what stands between the two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import SERVICES
from trioproto import Factory, Protocol
from trioproto.errors import ConnectionClosed
from trioproto.framing import LineReceiver
from trioproto.testing import Link
from trioproto.testing.conformance import Peer, Service, serving

# Not abort: whether it drops what was written for the line before depends on the chunks.
ACTS = ("write", "lines", "pause", "resume", "timeout", "switch", "write_eof", "close")
OFTEN = (4, 2, 2, 4, 2, 2, 1, 1)


class Does(LineReceiver):
    """Notes what it hears, and does then what the seed says."""

    max_length = 30

    def __init__(self, seed: int, heard: list[Any]) -> None:
        self.seed = seed
        self.heard = heard
        self.raw_left = 0

    def note(self, *what: object) -> Random:
        """Note what was heard; return what decides on all that follows from it."""
        self.heard.append((*what, self.transport.closing))
        return Random(f"{self.seed} {len(self.heard)}")

    def heard_of(self, *what: object) -> Random:
        chance = self.note(*what)
        for _ in range(chance.choice((0, 0, 1, 1, 2))):
            self.act(chance)
        return chance

    def act(self, chance: Random) -> None:
        match chance.choices(ACTS, OFTEN)[0]:
            case "write":
                self.transport.write(b"<%d>" % len(self.heard))
            case "lines":
                self.transport.writelines([b"[", b"x" * chance.choice((1, 5000)), b"]"])
            case "pause":
                self.transport.pause_reading()
            case "resume":
                self.transport.resume_reading()
            case "timeout":
                self.transport.set_timeout(chance.choice((3.49, None)))
            case "switch":
                with suppress(RuntimeError):  # another one is about to take over
                    self.transport.switch_protocol(Does(self.seed, self.heard))
            case other:
                getattr(self.transport, other)()

    def connection_made(self) -> None:
        self.heard_of("made")

    def line_received(self, line: bytes) -> None:
        if self.heard_of("line", line).random() < 0.1:
            self.raw_left = 5
            self.set_raw_mode()

    def raw_data_received(self, data: bytes) -> None:
        rest = data[self.raw_left :]
        self.raw_left -= len(data) - len(rest)
        if not self.raw_left:  # in how many pieces they came does not matter
            self.set_line_mode(rest)
            self.heard_of("raw")

    def line_length_exceeded(self, line: bytes) -> None:
        self.heard_of("too long")

    def eof_received(self) -> bool:
        return self.heard_of("eof").random() < 0.8

    def timed_out(self) -> None:
        if self.heard_of("timed out").random() < 0.5:
            super().timed_out()

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.heard_of("lost", type(reason))


class Far(Protocol):
    """The other side of a link; it says only what it is told to."""

    def __init__(self) -> None:
        self.got = bytearray()

    def connection_made(self) -> None:
        self.transport.set_timeout(None)

    def data_received(self, data: bytes) -> None:
        self.got += data

    def eof_received(self) -> bool:
        return True


class LinkService(Service, Peer):
    """A link, as a service and as the only peer of it."""

    name = "link"

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        yield

    async def new_peer(self) -> Peer:
        self.far = Far()
        self.link = Link(self.far, self.factory)
        self.link.connect()
        return self

    async def settle(self) -> None:
        self.link.advance(0)

    async def pass_time(self, seconds: float) -> None:
        self.link.advance(seconds)

    def cancel(self) -> None:
        self.link.server.cancel()

    async def wait_ended(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send(self, data: bytes) -> None:
        self.far.transport.write(data)

    async def send_eof(self) -> None:
        self.far.transport.write_eof()

    async def reset(self) -> None:
        self.far.transport.abort()
        self.link.settle()

    async def aclose(self) -> None:
        await self.reset()

    async def receive_some(self) -> bytes:
        return self.take()

    def take(self) -> bytes:
        taken = bytes(self.far.got)
        self.far.got.clear()
        return taken


def say(chance: Random) -> bytes:
    """Choose a line, its beginning, or more than it may be."""
    line = bytes(chance.choices(b"abc", k=chance.choice((0, 1, 5, 30, 31))))
    return line + chance.choice((b"\r\n", b"\r\n", b"\r\nd\r\n", b"\r", b""))


async def story(kind: type[Service], seed: int) -> list[Any]:
    """Hold a conversation; return what was to be seen after each step of it."""
    seen: list[Any] = []
    first = Does(seed, [])
    factory = Factory(lambda: first, idle_timeout=5.03)
    chance = Random(seed)
    async with serving(kind, factory) as service:
        peer = await service.connect()
        steps = {"send": 8.0, "act": 3.0, "time": 4.0, "eof": 2.0, "abort": 0.3}
        for _ in range(16):
            (step,) = chance.choices(list(steps), list(steps.values()))
            with suppress(OSError, trio.BrokenResourceError):  # it has ended
                match step:
                    case "send":
                        await peer.send(say(chance))
                    case "eof":
                        del steps["send"], steps["eof"]
                        await peer.send_eof()
                    case "time":
                        await peer.pass_time(chance.choice((0.71, 2.63)))
                    case "act":
                        for each in factory.connections:
                            each.act(chance)
                    case "abort":
                        first.transport.abort()
            got = await peer.received_so_far()
            counted = factory.statistics()
            sent, ended = counted.bytes_sent, dict(counted.closed)
            seen.append((step, tuple(first.heard), got, first.transport.buffered, sent, ended))
        first.transport.abort()
    return seen


@pytest.mark.parametrize("name", ["link", "memory", "listener", "stream", "poll"])
async def test_what_a_protocol_and_its_peer_see_is_the_same_as_by_hand(
    name: str, autojump_clock: MockClock
) -> None:
    for seed in range(40):
        expected = await story(SERVICES["harness"], seed)
        assert await story(SERVICES.get(name, LinkService), seed) == expected, f"seed {seed}"
