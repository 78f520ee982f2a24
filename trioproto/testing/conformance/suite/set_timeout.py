"""``transport.set_timeout``: each deadline for one connection alone, at any time in its life.

The rule: docs/flow-control.md, Deadlines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trioproto.framing import LineReceiver
from trioproto.sansio.errors import (
    AgeTimeout,
    CloseTimeout,
    ConnectionClosed,
    FirstByteTimeout,
    IdleTimeout,
    PeerTooSlow,
    WriteTimeout,
)
from trioproto.sansio.settings import TIMEOUT_NAMES
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, in_turn

NEVER_OFF = ("receive_window", "close_timeout", "cleanup_timeout", "linger")


OFF: dict[str, Any] = {"idle_timeout": None, "write_timeout": None, "handshake_timeout": None}


@pytest.mark.parametrize("name", TIMEOUT_NAMES)
async def test_after_the_end_it_has_no_effect(
    connect: Connecting, name: Any, autojump_clock: MockClock
) -> None:
    def set_again(self: Recorder) -> None:
        self.transport.set_timeout(2, name)

    protocol = Recorder(connection_lost=set_again)
    async with connect(protocol) as peer:
        await peer.say_eof()
        assert protocol.lost
        reason = protocol.transport.reason
        protocol.transport.set_timeout(1, name)
        if name not in NEVER_OFF:
            protocol.transport.set_timeout(None, name)
        await peer.pass_time(100)
        assert protocol.transport.reason is reason
        assert len(protocol.reasons) == 1


def test_after_the_loop_it_is_no_error(connect: Connecting) -> None:
    protocol = Recorder()

    async def main() -> None:
        async with connect(protocol):
            pass

    trio.run(main)
    for name in TIMEOUT_NAMES:
        protocol.transport.set_timeout(1, name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TIMEOUT_NAMES)
async def test_on_a_closing_connection_it_is_no_error(
    connect: Connecting, name: Any, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        peer.service.do(protocol.transport.close)
        protocol.transport.set_timeout(1, name)
        await peer.settle()
        assert await peer.receive_all() == (b"", "eof")
        await peer.pass_time(3)
        assert protocol.lost


# From connection_made, and mid-life


async def nothing(_: Any) -> None: ...


async def unread(peer: Any) -> None:
    peer.service.do(lambda: peer.protocol.transport.write(bytes(MORE_THAN_FITS)))


async def begins(peer: Any) -> None:
    await peer.say(b"x")
    for _ in range(20):
        await peer.pass_time(1)
        if not peer.protocol.transport.closing:
            await peer.say(b"x")


DEADLINES: list[tuple[str, Callable[[Any], Any], type[ConnectionClosed]]] = [
    ("first_byte_timeout", nothing, FirstByteTimeout),
    ("idle_timeout", nothing, IdleTimeout),
    ("min_receive_rate", begins, PeerTooSlow),
    ("write_timeout", unread, WriteTimeout),
    ("max_age", nothing, AgeTimeout),
]


@pytest.mark.parametrize(("name", "provoke", "reason"), DEADLINES)
@pytest.mark.parametrize("when", ["connection_made", "later"])
async def test_what_is_off_can_be_switched_on_for_one_connection(
    connect: Connecting,
    name: Any,
    provoke: Callable[[Any], Any],
    reason: type[ConnectionClosed],
    when: str,
    autojump_clock: MockClock,
) -> None:
    value = 100 if name == "min_receive_rate" else 8

    def set_it(self: Recorder) -> None:
        self.transport.set_timeout(value, name)

    acts = {"connection_made": set_it} if when == "connection_made" else {}
    protocol = Recorder(**acts)
    async with connect(protocol, small_buffers=True, receive_window=4, **OFF) as peer:
        peer.protocol = protocol  # type: ignore[attr-defined]
        await peer.pass_time(2)
        if when == "later":
            set_it(protocol)
            await peer.settle()
        await provoke(peer)
        await peer.pass_time(9)
        assert type(protocol.transport.reason) is reason


@pytest.mark.parametrize(("name", "provoke", "reason"), DEADLINES)
async def test_it_can_be_switched_on_and_off_again(
    connect: Connecting,
    name: Any,
    provoke: Callable[[Any], Any],
    reason: type[ConnectionClosed],
    autojump_clock: MockClock,
) -> None:
    value = 100 if name == "min_receive_rate" else 15
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, receive_window=4, **OFF) as peer:
        peer.protocol = protocol  # type: ignore[attr-defined]
        await peer.pass_time(1)
        protocol.transport.set_timeout(value, name)
        await peer.pass_time(1)
        protocol.transport.set_timeout(None, name)
        await provoke(peer)
        await peer.pass_time(200)
        assert not protocol.transport.closing


async def test_the_rate_counts_from_when_it_is_set(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = LineReceiver()
    async with connect(protocol, receive_window=5, min_receive_rate=100, **OFF) as peer:
        await peer.pass_time(1)
        for _ in range(4):
            await peer.send(b"x" * 300)
            await peer.pass_time(2)
        protocol.transport.set_timeout(None, "min_receive_rate")
        await peer.pass_time(100)
        protocol.transport.set_timeout(100, "min_receive_rate")
        await peer.settle()
        assert not protocol.transport.closing
        for _ in range(20):
            await peer.send(b"x" * 300)
            await peer.pass_time(2)
            assert not protocol.transport.closing
        protocol.transport.set_timeout(1000, "min_receive_rate")
        await peer.pass_time(4.9)
        assert not protocol.transport.closing
        await peer.pass_time(10)
        assert type(protocol.transport.reason) is PeerTooSlow


async def test_who_has_spoken_has_sent_his_first_byte(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    def set_it(self: Recorder) -> None:
        self.transport.set_timeout(5, "first_byte_timeout")

    protocol = Recorder(data_received=set_it)
    async with connect(protocol, **OFF) as peer:
        await peer.send(b"x")
        await peer.pass_time(100)
        set_it(protocol)
        await peer.pass_time(100)
        assert not protocol.transport.closing


@pytest.mark.parametrize("others", [{}, {"max_age": 1000}])
async def test_the_time_for_the_first_byte_counts_from_the_opening(
    connect: Connecting, others: dict[str, Any], autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, **OFF, **others) as peer:
        await peer.pass_time(8)
        protocol.transport.set_timeout(10, "first_byte_timeout")
        await peer.pass_time(1)
        assert not protocol.transport.closing
        await peer.pass_time(2)
        assert type(protocol.transport.reason) is FirstByteTimeout


# Ends


@needs(Feature.HALF_CLOSE)
async def test_close_and_linger_have_the_times_that_were_set(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.set_timeout(7, "linger")
        peer.service.do(protocol.transport.close)
        await peer.settle()
        protocol.transport.set_timeout(1, "linger")  # it has begun
        await peer.pass_time(6)
        assert not protocol.lost
        await peer.pass_time(2)
        assert protocol.lost


async def test_a_flush_has_the_time_that_was_set(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    allowance = MORE_THAN_FITS / 65536
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=None) as peer:
        protocol.transport.set_timeout(100, "close_timeout")
        protocol.transport.write(bytes(MORE_THAN_FITS))
        peer.service.do(protocol.transport.close)
        protocol.transport.set_timeout(1, "close_timeout")  # it has begun
        await peer.pass_time(99)
        assert not protocol.lost
        await peer.pass_time(allowance + 2)
        assert type(protocol.reason) is CloseTimeout


@needs(Feature.ASYNC_CODE)
async def test_cleaning_up_has_the_time_that_was_set(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    took: list[float] = []

    async def clean_up(_: Recorder) -> None:
        began = trio.current_time()
        try:
            await trio.sleep_forever()
        finally:
            took.append(trio.current_time() - began)

    protocol = Recorder(connection_lost=clean_up)
    async with connect(protocol) as peer:
        protocol.transport.set_timeout(7, "cleanup_timeout")
        await peer.reset()
        protocol.transport.abort()
        await peer.pass_time(10)
        assert took == [pytest.approx(7)]


async def test_it_is_for_one_connection_alone(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocols = [Recorder(), Recorder()]
    factory = in_turn(protocols, **OFF)
    async with connect(factory) as peer:
        await peer.service.connect()
        for name in TIMEOUT_NAMES:
            protocols[0].transport.set_timeout(2, name)  # type: ignore[arg-type]
        assert protocols[1].transport.settings == factory.settings
        assert protocols[1].transport.timeout is None
        await peer.pass_time(10)
        assert [protocol.transport.closing for protocol in protocols] == [True, False]
