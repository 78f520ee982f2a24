"""Line receivers over every driver: what needs more than pure code.

The rule: docs/framing.md, Callbacks.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trioproto.framing import LineReceiver
from trioproto.sansio.errors import ConnectionClosed, IncompleteFrame
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.service import Connecting


class AsyncEcho(LineReceiver):
    """Answers each line after some steps, a different number for each."""

    def __init__(self) -> None:
        self.running = 0
        self.lines: list[bytes] = []
        self.reasons: list[ConnectionClosed] = []

    async def line_received(self, line: bytes) -> None:
        assert self.running == 0
        self.running += 1
        self.lines.append(line)
        for _ in range(len(self.lines) * 7 % 4):
            await trio.lowlevel.checkpoint()
        self.send_line(line)
        self.running -= 1

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.reasons.append(reason)


class Echo(LineReceiver):
    def line_received(self, line: bytes) -> None:
        self.send_line(line)


async def test_lines_are_echoed_in_any_split(connect: Connecting) -> None:
    data = b"".join(b"line %d\r\n" % number for number in range(50))
    for size in (1, 7, 100, len(data)):
        async with connect(Echo()) as peer:
            for start in range(0, len(data), size):
                await peer.send(data[start : start + size])
            assert await peer.receive_exactly(len(data)) == data


@needs(Feature.ASYNC_CODE)
async def test_async_lines_come_in_order_and_one_at_a_time(connect: Connecting) -> None:
    data = b"".join(b"line %d\r\n" % number for number in range(500))
    for size in (7, len(data)):
        async with connect(AsyncEcho()) as peer:
            for start in range(0, len(data), size):
                await peer.send(data[start : start + size])
            assert await peer.receive_exactly(len(data)) == data


@needs(Feature.ASYNC_CODE)
async def test_the_lines_before_an_eof_are_all_answered_by_async_callbacks(
    connect: Connecting,
) -> None:
    protocol = AsyncEcho()
    async with connect(protocol) as peer:
        await peer.send(b"one\r\ntwo\r\nthree\r\nhalf")
        await peer.send_eof()
        assert await peer.receive_all() == (b"one\r\ntwo\r\nthree\r\n", "eof")
        await peer.settle()
    (reason,) = protocol.reasons
    assert isinstance(reason, IncompleteFrame)
    assert reason.pending == 4


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("ending", ["close", "abort"])
async def test_no_line_follows_an_end_in_an_async_callback(
    connect: Connecting, ending: str
) -> None:
    lines: list[bytes] = []

    class Ends(LineReceiver):
        async def line_received(self, line: bytes) -> None:
            lines.append(line)
            await trio.lowlevel.checkpoint()
            getattr(self.transport, ending)()

    async with connect(Ends()) as peer:
        await peer.send(b"one\r\ntwo\r\nthree\r\n")
        await peer.receive_all()
        await peer.settle()
    assert lines == [b"one"]


@needs(Feature.ASYNC_CODE)
async def test_a_pause_in_an_async_line_holds_the_rest_of_the_chunk(connect: Connecting) -> None:
    lines: list[bytes] = []

    class Pauses(LineReceiver):
        async def line_received(self, line: bytes) -> None:
            lines.append(line)
            await trio.lowlevel.checkpoint()
            self.transport.pause_reading()

    protocol = Pauses()
    async with connect(protocol) as peer:
        await peer.send(b"one\r\ntwo\r\nthree\r\n")
        for expected in ([b"one"], [b"one", b"two"], [b"one", b"two", b"three"]):
            await peer.settle()
            assert lines == expected
            protocol.transport.resume_reading()


@needs(Feature.ASYNC_CODE)
async def test_sync_and_async_lines_may_be_mixed(connect: Connecting) -> None:
    class Mixed(LineReceiver):
        def line_received(self, line: bytes) -> Any:
            if line.startswith(b"later"):
                return self.later(line)
            return self.send_line(line)

        async def later(self, line: bytes) -> None:
            await trio.lowlevel.checkpoint()
            self.send_line(line)

    data = b"now\r\nlater 1\r\nnow\r\nnow\r\nlater 2\r\nlater 3\r\nnow\r\n"
    async with connect(Mixed()) as peer:
        await peer.send(data)
        assert await peer.receive_exactly(len(data)) == data


@needs(Feature.ASYNC_CODE)
async def test_modes_switch_within_async_callbacks(connect: Connecting) -> None:
    heard: list[tuple[str, bytes]] = []

    class Body(LineReceiver):
        async def line_received(self, line: bytes) -> None:
            await trio.lowlevel.checkpoint()
            heard.append(("line", line))
            if line == b"raw":
                self.set_raw_mode()
            elif line == b"insert":
                self.set_line_mode(b"inserted\r\n")

        async def raw_data_received(self, data: bytes) -> None:
            await trio.lowlevel.checkpoint()
            raw, _, rest = data.partition(b"#")
            heard.append(("raw", raw))
            self.set_line_mode(rest)

    async with connect(Body()) as peer:
        await peer.say(b"insert\r\nraw\r\nx\r\ny#next\r\n")
    assert heard == [
        ("line", b"insert"),
        ("line", b"inserted"),
        ("line", b"raw"),
        ("raw", b"x\r\ny"),
        ("line", b"next"),
    ]


@needs(Feature.ASYNC_CODE)
async def test_an_async_last_word_about_a_long_line_arrives(connect: Connecting) -> None:
    class Limited(LineReceiver):
        max_length = 10

        def line_received(self, line: bytes) -> None:
            raise AssertionError(line)

        async def line_length_exceeded(self, line: bytes) -> None:
            await trio.lowlevel.checkpoint()
            self.send_line(b"too long")

    async with connect(Limited()) as peer:
        await peer.send(b"x" * 100 + b"\r\nfresh\r\n")
        assert await peer.receive_all() == (b"too long\r\n", "eof")
