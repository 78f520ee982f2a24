"""Peers that send too slowly: ``min_receive_rate``.

The rule: docs/flow-control.md, Deadlines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trioproto.framing import LineReceiver, NetstringReceiver
from trioproto.sansio.errors import (
    ConnectionClosed,
    PeerTooSlow,
)
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, UNMARKED, Connecting

WINDOW = 5
RATE = 100
RECORD = 22  # bytes that TLS adds to each record
MEASURED: dict[str, Any] = {
    "min_receive_rate": RATE,
    "receive_window": WINDOW,
    "idle_timeout": None,
}


class Lines(LineReceiver):
    """Keeps its lines and its reason."""

    def __init__(self, act: Callable[[Lines, bytes], Any] | None = None) -> None:
        self.act = act
        self.lines: list[bytes] = []
        self.raw = b""
        self.reasons: list[ConnectionClosed] = []

    def line_received(self, line: bytes) -> Any:
        self.lines.append(line)
        return None if self.act is None else self.act(self, line)

    def raw_data_received(self, data: bytes) -> None:
        self.raw += data

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.reasons.append(reason)


class Raw(Lines):
    def connection_made(self) -> None:
        self.set_raw_mode()


class Strings(NetstringReceiver):
    def __init__(self) -> None:
        self.reasons: list[ConnectionClosed] = []

    def string_received(self, string: bytes) -> None: ...

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.reasons.append(reason)


async def dribble(
    peer: Peer, protocol: Protocol, data: bytes, *, seconds: float, every: float = 1
) -> float:
    """Send *data* again and again until our side closes or time is up; return how long."""
    passed = 0.0
    while passed < seconds and not protocol.transport.closing:
        await peer.say(data)
        await peer.pass_time(every)
        passed += every
    return passed


@pytest.mark.parametrize("size", [1, RATE - 1])
@pytest.mark.parametrize("kind", [Lines, Raw, Strings])
async def test_who_sends_a_frame_too_slowly_is_closed_within_three_windows(
    connect: Connecting, kind: type[Any], size: int, autojump_clock: MockClock
) -> None:
    protocol = kind()
    async with connect(protocol, **MEASURED) as peer:
        if Feature.ENCRYPTS in peer.service.features:
            size = max(1, size - RECORD)
        if kind is Strings:
            await peer.send(b"9999:")
        await dribble(peer, protocol, b"x" * size, seconds=3 * WINDOW)
        await peer.pass_time(3)
        (reason,) = protocol.reasons
        assert type(reason) is PeerTooSlow
        assert reason.rate == RATE
        assert reason.seconds >= WINDOW
        assert reason.received < RATE * reason.seconds


async def test_who_sends_too_slowly_is_closed_cleanly(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, **MEASURED) as peer:
        await dribble(peer, protocol, b"x", seconds=3 * WINDOW)
        assert await peer.receive_all() == (b"", "eof")
        await peer.pass_time(3)
        assert type(protocol.reason) is PeerTooSlow
        assert "timed_out" not in protocol.heard


@pytest.mark.parametrize("kind", [Lines, Raw, Strings, Recorder])
async def test_who_always_sends_a_little_above_the_rate_is_kept(
    connect: Connecting, kind: type[Any], autojump_clock: MockClock
) -> None:
    protocol = kind()
    async with connect(protocol, **MEASURED) as peer:
        if kind is Strings:
            await peer.send(b"9999:")
        await peer.pass_time(1.25)
        await dribble(peer, protocol, b"x" * 11, seconds=30, every=0.1)
        assert not protocol.transport.closing


async def test_a_frame_that_takes_many_windows_comes_whole(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Lines()
    async with connect(protocol, **MEASURED) as peer:
        await dribble(peer, protocol, b"x" * 140, seconds=10 * WINDOW)
        await peer.say(b"\r\n")
        assert [len(line) for line in protocol.lines] == [140 * 10 * WINDOW]


async def test_whole_frames_may_come_as_slowly_as_they_like(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Lines()
    async with connect(protocol, **MEASURED) as peer:
        for every in (1, 4, 5, 7, 30):
            await dribble(peer, protocol, b"a\r\n", seconds=10 * every, every=every)
        assert not protocol.transport.closing
        assert len(protocol.lines) == 50


async def test_short_frames_are_not_taken_for_a_long_one_wherever_they_are_cut(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Lines()
    async with connect(protocol, **MEASURED) as peer:
        for _ in range(40):
            await peer.send(b"a")
            await peer.pass_time(WINDOW * 0.1)
            await peer.send(b"b\r\n")
            await peer.pass_time(WINDOW * 0.9)
        for _ in range(100):
            await peer.send(b"a")
            await peer.pass_time(0.5)
            await peer.send(b"b\r\n")
            await peer.pass_time(WINDOW - 0.45)
        assert not protocol.transport.closing
        assert len(protocol.lines) == 140


@pytest.mark.parametrize("kind", [Lines, Raw, Strings, Recorder])
async def test_who_says_nothing_is_never_too_slow(
    connect: Connecting, kind: type[Any], autojump_clock: MockClock
) -> None:
    protocol = kind()
    async with connect(protocol, **MEASURED) as peer:
        await peer.pass_time(100 * WINDOW)
        assert not protocol.transport.closing


async def test_a_frame_begun_after_a_long_silence_has_its_window(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Lines()
    async with connect(protocol, **MEASURED) as peer:
        for silence in (WINDOW - 0.1, 7 * WINDOW - 0.1, 100.3, WINDOW / 2):
            await peer.pass_time(silence)
            await peer.send(b"x")
            await peer.pass_time(WINDOW - 0.1)
            assert not protocol.transport.closing
            await peer.say(b"\r\n")
        assert len(protocol.lines) == 4


async def test_a_frame_that_stops_in_the_middle_is_too_slow(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Lines()
    async with connect(protocol, **MEASURED) as peer:
        await peer.pass_time(33)
        await peer.send(b"x" * 1000)
        await peer.pass_time(3 * WINDOW)
        assert type(protocol.transport.reason) is PeerTooSlow


async def test_what_we_write_meanwhile_is_no_excuse(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Lines()
    async with connect(protocol, **MEASURED) as peer:
        for _ in range(3 * WINDOW):
            if not protocol.transport.closing:
                await peer.send(b"x")
                protocol.transport.write(b"tick")
                await peer.settle()
                await peer.pass_time(1)
        assert type(protocol.transport.reason) is PeerTooSlow


@needs(Feature.ASYNC_CODE)
async def test_callbacks_that_take_long_are_not_the_peers_slowness(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    async def wait(_: Lines, line: bytes) -> None:
        await trio.sleep(float(line))

    protocol = Lines(wait)
    async with connect(protocol, **MEASURED) as peer:
        for seconds in (b"100", b"5", b"4.9", b"0.1"):
            await peer.send(seconds + b"\r\nbegun ")
            await peer.pass_time(float(seconds) + WINDOW - 0.2)
            assert not protocol.transport.closing
            await peer.send(b"x" * 1000)
            await peer.pass_time(WINDOW - 0.2)
            assert not protocol.transport.closing
            protocol.clear_line_buffer()
            await peer.pass_time(WINDOW * 3)


async def test_a_pause_in_the_middle_of_a_frame_is_not_the_peers_slowness(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Lines()
    async with connect(protocol, **MEASURED) as peer:
        await peer.send(b"x")
        await peer.pass_time(WINDOW - 1)
        peer.service.do(protocol.transport.pause_reading)
        await peer.pass_time(100)
        assert not protocol.transport.closing
        peer.service.do(protocol.transport.resume_reading)
        await peer.pass_time(WINDOW - 0.1)
        assert not protocol.transport.closing
        await peer.pass_time(2 * WINDOW)
        assert type(protocol.transport.reason) is PeerTooSlow


@pytest.mark.parametrize("options", [{"write_timeout": None}, UNMARKED])
async def test_output_that_waits_in_the_middle_of_a_frame_is_not_the_peers_slowness(
    connect: Connecting, options: dict[str, Any], autojump_clock: MockClock
) -> None:
    protocol = Lines()
    async with connect(protocol, small_buffers=True, **MEASURED | options) as peer:
        await peer.send(b"x")
        await peer.pass_time(WINDOW + 1)
        peer.service.do(lambda: protocol.transport.write(bytes(MORE_THAN_FITS)))
        await peer.pass_time(100)
        assert not protocol.transport.closing
        await peer.receive_exactly(MORE_THAN_FITS)
        await peer.pass_time(WINDOW - 1.1)
        assert not protocol.transport.closing
        await peer.pass_time(2 * WINDOW)
        assert type(protocol.transport.reason) is PeerTooSlow


@pytest.mark.parametrize("request_", [b"half a line", b"", b"a line\r\n"])
async def test_who_has_ended_his_side_is_not_too_slow(
    connect: Connecting, request_: bytes, autojump_clock: MockClock
) -> None:
    class Patient(Lines):
        def eof_received(self) -> bool:
            return True

    protocol = Patient()
    async with connect(protocol, first_byte_timeout=WINDOW, **MEASURED) as peer:
        if request_:
            await peer.send(request_)
        await peer.settle()
        await peer.send_eof()
        await peer.pass_time(10 * WINDOW)
        assert not protocol.transport.closing
        peer.service.do(lambda: protocol.transport.write(b"reply"))
        assert await peer.receive_exactly(5) == b"reply"
        protocol.transport.close()
