"""The small servers of RFCs 863, 864, 867 and 868."""

from __future__ import annotations

import signal
import socket
import struct
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import cycle

import pytest
import trio
import trio.testing
from trio.testing import MockClock

import trioproto
from examples.chargen import Chargen, ChargenFactory
from examples.daytime import DaytimeFactory
from examples.discard import DiscardFactory
from examples.time import TimeFactory
from tests.behaviour.drivers import ASYNC, PLAIN, SERVED, connecting, serving
from tests.behaviour.peers import Peer
from tests.behaviour.pipes import Pipe, PipeStream
from tests.examples.running import Caller, example
from trioproto.errors import (
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    IdleTimeout,
    WriteTimeout,
)
from trioproto.testing import Harness

# Discard


def test_discard_neither_answers_nor_keeps() -> None:
    """Whatever comes, nothing goes back, and the connection stays open for more."""
    harness = Harness(DiscardFactory())
    harness.connect()
    for data in (b"\0", b"hello\r\n", bytes(100_000)):
        harness.feed(data)
        assert harness.reading
    assert harness.transport.buffered == 0
    assert not harness.transport.closing
    harness.feed_eof()
    assert (harness.take(), harness.write_closed) == (b"", True)
    assert type(harness.reason) is ConnectionDone


def test_discard_closes_on_who_is_silent_for_ten_minutes() -> None:
    """Any byte starts the time again."""
    harness = Harness(DiscardFactory())
    harness.connect()
    for _ in range(3):
        harness.advance(599)
        harness.feed(b"\0")
    harness.advance(599)
    assert not harness.transport.closing
    harness.advance(1)
    assert type(harness.reason) is IdleTimeout


def test_discard_takes_megabytes_and_sends_nothing() -> None:
    """A caller who sends much is never held up, and sees a clean end after its own."""
    with example("discard") as server, server.connect() as caller, server.connect() as other:
        other.send(b"hello")
        for _ in range(100):
            caller.send(bytes(100_000))
        for each in (caller, other):
            each.send_eof()
            assert each.read_all() == b""


# Daytime


def test_daytime_says_one_line_and_closes() -> None:
    """The form is the first of RFC 867; what comes is thrown away."""
    harness = Harness(DaytimeFactory(lambda: datetime(1982, 2, 2, 17, 37, 43, tzinfo=UTC)))
    harness.connect()
    harness.feed(b"What time is it?\r\n")
    assert harness.take() == b"Tuesday, February 02, 1982 17:37:43-UTC\r\n"
    assert harness.write_closed
    harness.feed_eof()
    assert harness.lost
    assert type(harness.reason) is ConnectionDone


def test_daytime_names_the_zone_of_its_clock() -> None:
    """A clock of another zone can be set on a factory that is there already."""
    factory = DaytimeFactory()
    pacific = timezone(timedelta(hours=-8), "PST")
    factory.clock = lambda: datetime(1982, 2, 22, 17, 37, 43, tzinfo=pacific)
    harness = Harness(factory)
    harness.connect()
    assert harness.take() == b"Monday, February 22, 1982 17:37:43-PST\r\n"


def test_daytime_asks_the_clock_for_each_visitor() -> None:
    """Two visitors, two times."""
    times = [datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)]
    factory = DaytimeFactory(iter(times).__next__)
    first, second = Harness(factory), Harness(factory)
    first.connect()
    second.connect()
    assert first.take() == b"Tuesday, December 31, 2024 23:59:59-UTC\r\n"
    assert second.take() == b"Wednesday, January 01, 2025 00:00:00-UTC\r\n"


def test_daytime_tells_the_time_of_day() -> None:
    """The real clock's, to the second."""
    with example("daytime") as server, server.connect() as caller:
        line = caller.read_all().decode("ascii")
        said = datetime.strptime(line, "%A, %B %d, %Y %H:%M:%S-%Z\r\n").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - said) < timedelta(minutes=1)


# Time


@pytest.mark.parametrize(
    ("unix", "number"),
    [
        pytest.param(0, 2_208_988_800, id="1 Jan 1970"),
        pytest.param(189_302_400, 2_398_291_200, id="1 Jan 1976"),
        pytest.param(315_532_800, 2_524_521_600, id="1 Jan 1980"),
        pytest.param(420_595_200, 2_629_584_000, id="1 May 1983"),
        pytest.param(-3_506_716_800, 2**32 - 1_297_728_000, id="17 Nov 1858"),
        pytest.param(0.999, 2_208_988_800, id="part of a second"),
        pytest.param(-0.001, 2_208_988_799, id="part of a second before 1970"),
        pytest.param(2_085_978_495.999, 2**32 - 1, id="last second of the first era"),
        pytest.param(2_085_978_496, 0, id="7 Feb 2036"),
        pytest.param(2_085_978_497, 1, id="one second later"),
    ],
)
def test_time_counts_seconds_since_1900_modulo_two_to_the_32(unix: float, number: int) -> None:
    """The first five are RFC 868's own; after its last second in 2036 it begins again at 0."""
    harness = Harness(TimeFactory(lambda: unix))
    harness.connect()
    harness.feed(b"ignored")
    assert harness.take() == struct.pack("!I", number)
    assert harness.write_closed
    harness.feed_eof()
    assert type(harness.reason) is ConnectionDone


def test_time_wraps_when_its_clock_does_between_two_visitors() -> None:
    """The clock is asked for each, and may be set on a factory that is there already."""
    factory = TimeFactory()
    factory.clock = iter([2_085_978_495.0, 2_085_978_496.0]).__next__
    first, second = Harness(factory), Harness(factory)
    first.connect()
    second.connect()
    assert (first.take(), second.take()) == (b"\xff\xff\xff\xff", b"\0\0\0\0")


def test_time_tells_the_time() -> None:
    """The real clock's: the example's own name does not hide the module it asks."""
    with example("time") as server, server.connect() as caller:
        (number,) = struct.unpack("!I", caller.read_all())
    assert abs(time.time() + 2_208_988_800 - number) % 2**32 < 60


# Chargen


def pattern(count: int) -> bytes:
    """The first bytes of RFC 864's pattern: on line N, characters N to N + 71 of the ring."""
    ring = bytes(range(ord(" "), ord("~") + 1)) * 2
    lines = (ring[number % 95 :][:72] + b"\r\n" for number in range(count // 74 + 1))
    return b"".join(lines)[:count]


def test_pattern_is_the_rfcs() -> None:
    """What the tests compare with begins as the pattern is known to."""
    first, second = pattern(148).splitlines()
    assert first == b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg"
    assert second == first[1:] + b"h"


class Waiting(trio.abc.Instrument):
    """Looks after each step of any task how much waits to be sent."""

    def __init__(self, protocol: trioproto.Protocol) -> None:
        self.protocol = protocol
        self.most = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if hasattr(self.protocol, "transport"):
            self.most = max(self.most, self.protocol.transport.buffered)


@pytest.mark.parametrize("high_water", [1, 73, 7031, 65536])
async def test_chargen_turns_the_ring_however_it_is_read(high_water: int) -> None:
    """In bits of any size the pattern is whole, and never more than high_water waits."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    factory = ChargenFactory()
    factory.configure(high_water=high_water, low_water=0)
    protocol = Chargen()
    waiting = Waiting(protocol)
    trio.lowlevel.add_instrument(waiting)
    reasons: list[ConnectionClosed] = []

    async def serve() -> None:
        reasons.append(await trioproto.run_protocol(protocol, theirs, factory.settings))

    received = b""
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            for size in cycle([1, 5, 500, 7030, 70_000]):
                received += await ours.receive_some(size)
                if len(received) > 15_000:  # two turns of the ring
                    break
            await ours.aclose()
    trio.lowlevel.remove_instrument(waiting)
    assert received == pattern(len(received))
    assert 0 < waiting.most <= high_water
    assert isinstance(reasons[0], ConnectionDone | ConnectionLost)


async def receive(peer: Peer, at_least: int) -> bytes:
    received = b""
    while len(received) < at_least:
        more = await peer.receive_some()
        assert more
        received += more
    return received


@pytest.mark.parametrize("driver", PLAIN)  # TLS adds its records to what waits
async def test_chargen_waits_for_a_peer_that_does_not_read(driver: str) -> None:
    """It holds at most high_water, serves another meanwhile, and goes on when it is read."""
    factory = ChargenFactory()
    async with serving(driver, factory, small_buffers=True) as service:
        slow = await service.connect()
        (stuck,) = factory.connections
        waiting = Waiting(stuck)
        trio.lowlevel.add_instrument(waiting)
        other = await service.connect()
        received = await receive(other, 200_000)
        assert received == pattern(len(received))
        received = await receive(slow, 200_000)
        assert received == pattern(len(received))
        await slow.settle()
        trio.lowlevel.remove_instrument(waiting)
        assert 0 < stuck.transport.buffered <= waiting.most <= factory.settings.high_water


@pytest.mark.parametrize("driver", ASYNC)
async def test_chargen_throws_away_what_comes_also_while_it_waits(driver: str) -> None:
    """More than any buffer holds is taken from a peer that reads nothing."""
    async with connecting(driver, ChargenFactory(), small_buffers=True) as peer:
        await peer.send(bytes(10_000_000))
        received = await receive(peer, 200_000)
        assert received == pattern(len(received))


async def test_chargen_hears_a_peer_that_has_stopped_to_read() -> None:
    """Whoever of its tasks was sending over a stream when the peer stopped."""
    for _ in range(10):
        incoming, outgoing = Pipe(1000), Pipe(20_000)
        stream = PipeStream(incoming, outgoing)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trioproto.run_protocol, Chargen(), stream)
                for _ in range(300):
                    await incoming.put(b"talk")
                    outgoing.take()
                await incoming.put(bytes(100_000))
                incoming.change(broken=True)
                outgoing.change(broken=True)


@pytest.mark.parametrize("driver", ASYNC)
async def test_chargen_hears_the_eof_of_a_peer_that_does_not_read(driver: str) -> None:
    """It adds no more; what was on its way comes whole, then its own EOF."""
    factory = ChargenFactory()
    async with connecting(driver, factory, small_buffers=True) as peer:
        (protocol,) = factory.connections
        await peer.send_eof()
        await peer.settle()
        while not protocol.transport.closing:  # loopback may take a moment
            await trio.lowlevel.checkpoint()
        received, ending = await peer.receive_all()
        assert ending == "eof"
        assert received == pattern(len(received))


@pytest.mark.parametrize("driver", ASYNC)
@pytest.mark.parametrize("ending", ["send_eof", "aclose", "reset"])
async def test_chargen_ends_when_its_peer_does(driver: str, ending: str) -> None:
    """Carefully or rudely, in mid-stream: it is no error, and nothing of it stays."""
    factory = ChargenFactory()
    async with serving(driver, factory, small_buffers=True) as service:
        peer = await service.connect()
        (protocol,) = factory.connections
        await receive(peer, 1000)
        await getattr(peer, ending)()
        if ending == "send_eof":
            await peer.receive_all()
            await peer.aclose()
        reason = await protocol.transport.wait_closed()
        if ending == "reset":
            assert type(reason) is ConnectionLost
        elif ending == "send_eof":
            assert type(reason) is ConnectionDone
        else:  # with bytes unread, that is a reset on a socket
            assert isinstance(reason, ConnectionDone | ConnectionLost)
        assert len(factory.connections) == 0


@pytest.mark.parametrize("driver", ASYNC)
async def test_chargen_gives_up_a_peer_that_never_reads(
    driver: str, autojump_clock: MockClock
) -> None:
    """After write_timeout without a byte taken its place is free again."""
    factory = ChargenFactory()
    async with connecting(driver, factory, small_buffers=True) as peer:
        (protocol,) = factory.connections
        await peer.pass_time(31)
        assert type(protocol.transport.reason) is WriteTimeout
        assert len(factory.connections) == 0


@pytest.mark.parametrize("driver", ASYNC)
async def test_chargen_goes_on_for_a_peer_that_only_reads(
    driver: str, mock_clock: MockClock
) -> None:
    """For hours, with never a byte from it."""
    async with connecting(driver, ChargenFactory(), small_buffers=True) as peer:
        received = b""
        for _ in range(20):
            received += await receive(peer, 200_000)
            mock_clock.jump(20)
        assert received == pattern(len(received))


@pytest.mark.parametrize("driver", SERVED)
async def test_chargen_ends_in_a_drain_though_its_peer_does_not_read(
    driver: str, autojump_clock: MockClock
) -> None:
    """One who reads gets a whole beginning and EOF; one who does not cannot hold the drain."""
    factory = ChargenFactory()
    async with serving(driver, factory, small_buffers=True) as service:
        stuck, reader = await service.connect(), await service.connect()
        begin = await receive(reader, 1000)
        await service.start_drain()
        rest, ending = await reader.receive_all()
        assert (begin + rest, ending) == (pattern(len(begin + rest)), "eof")
        await reader.aclose()
        await stuck.pass_time(21)
        assert len(factory.connections) == 0


def read_on(caller: Caller) -> None:
    while caller.socket.recv(65536):
        pass


def test_chargen_serves_all_who_read() -> None:
    """Beside one who reads nothing and one who reads as fast as it can."""
    with (
        example("chargen") as server,
        server.connect() as stuck,
        server.connect() as greedy,
        server.connect() as caller,
    ):
        greedily = threading.Thread(target=read_on, args=[greedy])
        greedily.start()
        received = caller.read(200_000)
        assert received == pattern(200_000)
        server.signal(signal.SIGTERM)
        greedily.join()
        for each in (caller, stuck):
            rest = each.read_all()
            begin = received if each is caller else b""
            assert begin + rest == pattern(len(begin + rest))


def test_chargen_survives_careful_and_rude_ends() -> None:
    """EOF, a close with bytes unread, a reset: it says nothing of them, and serves the next."""
    with example("chargen") as server:
        for ending in ("eof", "close", "reset"):
            with server.connect() as caller:
                assert caller.read(10_000) == pattern(10_000)
                if ending == "eof":
                    caller.send_eof()
                    rest = caller.read_all()
                    assert rest == pattern(10_000 + len(rest))[10_000:]
                elif ending == "reset":
                    reset = struct.pack("ii", 1, 0)
                    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        with server.connect() as caller:
            assert caller.read(74) == pattern(74)
