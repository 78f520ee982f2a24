"""No deadline of the peer's runs while our rate holds its bytes up.

The rule: docs/throttling.md, Deadlines.
"""

from __future__ import annotations

from typing import Any

from trio.testing import MockClock

from trioproto.sansio.errors import CloseTimeout, ConnectionDone, WriteTimeout
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting
from trioproto.testing.conformance.speed import RATE

NEEDS = {Feature.RATES}


@lacks(Feature.ENCRYPTS)
async def test_waiting_to_send_is_no_write_timeout(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=1, write_timeout=0.5) as peer:
        protocol.transport.write(b"0123456789")
        await peer.pass_time(20)
        assert await peer.received_so_far() == b"0123456789"
        assert not protocol.lost


async def test_a_peer_that_does_not_read_is_a_write_timeout_at_any_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    options: Any = {"write_timeout": 5, "idle_timeout": None, "small_buffers": True}
    async with connect(protocol, send_rate=MORE_THAN_FITS, **options) as peer:
        protocol.transport.write(bytes(2 * MORE_THAN_FITS))
        await peer.pass_time(10)
        assert type(protocol.reason) is WriteTimeout


@lacks(Feature.ENCRYPTS)
async def test_waiting_to_read_is_no_idle_time_of_the_peers(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=1, idle_timeout=0.5) as peer:
        await peer.send(b"0123456789")
        await peer.pass_time(7)
        assert "timed_out" not in protocol.heard
        await peer.pass_time(10)
        assert protocol.received == b"0123456789"
        assert "timed_out" in protocol.heard


@lacks(Feature.ENCRYPTS)
async def test_waiting_to_send_is_no_idle_time_of_the_peers(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=1, idle_timeout=4) as peer:
        protocol.transport.write(b"0123456789")
        await peer.pass_time(12)
        assert await peer.received_so_far() == b"0123456789"
        assert "timed_out" not in protocol.heard
        await peer.pass_time(2)
        assert "timed_out" in protocol.heard


async def test_what_waits_at_close_is_sent_at_the_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=RATE, close_timeout=1) as peer:
        protocol.transport.write(bytes(10 * RATE))
        protocol.transport.close()
        received = 0
        for _ in range(12):
            await peer.pass_time(1)
            received += len(await peer.received_so_far())
        assert received == 10 * RATE
        await peer.leave()
        assert type(protocol.reason) is ConnectionDone


@lacks(Feature.ENCRYPTS)
async def test_a_wait_that_has_begun_before_close_is_no_time_of_the_flush_either(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=0.1, close_timeout=1) as peer:
        protocol.transport.write(b"123")
        await peer.settle()
        protocol.transport.close()
        await peer.pass_time(25)
        assert await peer.received_so_far() == b"123"


async def test_the_close_timeout_counts_for_what_the_peer_does_not_read(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    options: Any = {"write_timeout": None, "small_buffers": True, "close_timeout": 5}
    async with connect(protocol, send_rate=MORE_THAN_FITS, **options) as peer:
        protocol.transport.write(bytes(2 * MORE_THAN_FITS))
        protocol.transport.close()
        await peer.pass_time(5 + 2 * MORE_THAN_FITS / 65536 + 4)
        assert type(protocol.reason) is CloseTimeout


@needs(Feature.SERVER)
async def test_a_drains_deadline_does_not_wait_for_the_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=RATE) as peer:
        protocol.transport.write(bytes(100 * RATE))
        await peer.service.start_drain(grace=2, force=1)
        await peer.pass_time(2.5)
        assert not protocol.lost
        await peer.pass_time(1)
        assert protocol.lost


@needs(Feature.DRAINS, Feature.READS_ON)
@lacks(Feature.ENCRYPTS)
async def test_a_drain_delivers_what_the_kernel_has_whatever_the_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=1) as peer:
        await peer.say(b"a whole request")
        assert protocol.received == b"a"
        await peer.service.start_drain()
        await peer.settle()
        assert protocol.received == b"a whole request"


@needs(Feature.DRAINS)
async def test_the_reply_to_an_accepted_request_is_sent_at_the_rate_in_a_drain(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.write(bytes(4 * RATE)))
    async with connect(protocol, send_rate=RATE) as peer:
        await peer.say(b"request")
        await peer.service.start_drain(grace=15)
        await peer.pass_time(1)
        received = len(await peer.received_so_far())
        assert received < 3 * RATE
        await peer.pass_time(5)
        assert received + len(await peer.received_so_far()) == 4 * RATE


async def test_who_goes_on_sending_while_we_linger_is_read_from_at_the_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=RATE, linger=2) as peer:
        await peer.send(bytes(20 * RATE))
        protocol.transport.close()
        transport = protocol.transport
        await peer.pass_time(5)
        assert protocol.lost
        assert transport.bytes_received < 5 * RATE
