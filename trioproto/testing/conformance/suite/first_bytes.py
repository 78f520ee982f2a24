"""Peers that begin late: ``first_byte_timeout``.

The rule: docs/flow-control.md, Deadlines.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trioproto.sansio.errors import FirstByteTimeout, IdleTimeout
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, UNMARKED, Connecting


@pytest.mark.parametrize(("seconds", "in_time"), [(9, True), (10, False), (11, False)])
async def test_the_first_byte_has_its_time(
    connect: Connecting, seconds: float, in_time: bool, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, first_byte_timeout=10) as peer:
        await peer.pass_time(seconds)
        assert protocol.transport.closing is not in_time
        with suppress(OSError, trio.BrokenResourceError):  # it has closed meanwhile
            await peer.send(b"x")
        await peer.settle()
        assert protocol.received == (b"x" if in_time else b"")
        await peer.pass_time(40)
        assert protocol.lost is not in_time


async def test_a_client_that_never_speaks_is_closed(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, first_byte_timeout=10) as peer:
        await peer.pass_time(11)
        assert await peer.receive_all() == (b"", "eof")
        await peer.pass_time(3)
        assert type(protocol.reason) is FirstByteTimeout
        assert protocol.reason.seconds == 10
        assert isinstance(protocol.reason, IdleTimeout)


async def test_after_the_first_byte_only_the_idle_time_counts(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, first_byte_timeout=2, idle_timeout=100) as peer:
        await peer.pass_time(1)
        await peer.say(b"x")
        await peer.pass_time(99)
        assert not protocol.transport.closing
        await peer.pass_time(2)
        assert type(protocol.transport.reason) is IdleTimeout


async def test_an_idle_time_shorter_than_that_of_the_first_byte_counts_too(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(timed_out=lambda _: None)
    async with connect(protocol, first_byte_timeout=25, idle_timeout=10) as peer:
        await peer.pass_time(24)
        assert protocol.heard == ["connection_made", "timed_out", "timed_out"]
        await peer.pass_time(2)
        assert type(protocol.transport.reason) is FirstByteTimeout


async def test_what_we_say_is_no_first_byte(connect: Connecting, autojump_clock: MockClock) -> None:
    protocol = Recorder(connection_made=lambda self: self.transport.write(b"220 hello\r\n"))
    async with connect(protocol, first_byte_timeout=10) as peer:
        assert await peer.receive_exactly(11) == b"220 hello\r\n"
        await peer.pass_time(6)
        protocol.transport.write(b"anyone?")
        await peer.settle()
        await peer.pass_time(5)
        assert type(protocol.transport.reason) is FirstByteTimeout


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("spoke_meanwhile", [True, False])
@pytest.mark.parametrize("limit", [None, 1000])
async def test_a_long_greeting_takes_none_of_the_time_for_the_first_byte(
    connect: Connecting, spoke_meanwhile: bool, limit: float | None, autojump_clock: MockClock
) -> None:
    settings: dict[str, Any] = {"idle_timeout": None, "callback_timeout": limit}

    async def greet(self: Recorder) -> None:
        await trio.sleep(20)
        self.transport.write(b"hello")

    protocol = Recorder(connection_made=greet)
    async with connect(protocol, first_byte_timeout=10, **settings) as peer:
        if spoke_meanwhile:
            await peer.send(b"x")
        assert await peer.receive_exactly(5) == b"hello"
        await peer.settle()
        assert protocol.received == (b"x" if spoke_meanwhile else b"")
        await peer.pass_time(9)
        assert not protocol.transport.closing
        await peer.pass_time(2)
        assert protocol.transport.closing is not spoke_meanwhile


@pytest.mark.parametrize("spoke_meanwhile", [True, False])
async def test_the_first_byte_has_time_when_the_protocol_reads_again(
    connect: Connecting, spoke_meanwhile: bool, autojump_clock: MockClock
) -> None:
    protocol = Recorder(connection_made=lambda self: self.transport.pause_reading())
    async with connect(protocol, first_byte_timeout=10, idle_timeout=None) as peer:
        if spoke_meanwhile:
            await peer.send(b"x")
        await peer.pass_time(100)
        assert not protocol.transport.closing
        peer.service.do(protocol.transport.resume_reading)
        await peer.settle()
        await peer.pass_time(9)
        assert not protocol.transport.closing
        await peer.pass_time(2)
        assert protocol.transport.closing is not spoke_meanwhile


@pytest.mark.parametrize(
    "options", [{"write_timeout": None, "idle_timeout": None}, UNMARKED], ids=["marked", "unmarked"]
)
async def test_the_first_byte_has_time_when_the_greeting_is_taken(
    connect: Connecting, options: dict[str, Any], autojump_clock: MockClock
) -> None:
    """Output that waits takes none of it, also below the high-water mark."""
    protocol = Recorder(connection_made=lambda self: self.transport.write(bytes(MORE_THAN_FITS)))
    async with connect(protocol, small_buffers=True, first_byte_timeout=10, **options) as peer:
        await peer.pass_time(100)
        assert not protocol.transport.closing
        await peer.receive_exactly(MORE_THAN_FITS)
        await peer.pass_time(9)
        assert not protocol.transport.closing
        await peer.pass_time(2)
        assert type(protocol.transport.reason) is FirstByteTimeout


async def test_time_that_is_spent_waiting_before_and_after_some_output_counts_together(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    options = UNMARKED | {"first_byte_timeout": 10}
    async with connect(protocol, small_buffers=True, **options) as peer:
        await peer.pass_time(6)
        peer.service.do(lambda: protocol.transport.write(bytes(MORE_THAN_FITS)))
        await peer.pass_time(100)
        await peer.receive_exactly(MORE_THAN_FITS)
        await peer.pass_time(3)
        assert not protocol.transport.closing
        await peer.pass_time(2)
        assert type(protocol.transport.reason) is FirstByteTimeout
