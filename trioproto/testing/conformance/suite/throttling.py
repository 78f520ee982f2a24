"""Bytes a second: what is moved, what waits, and what is not the peer's fault then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trioproto.framing import LineReceiver
from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import CloseTimeout, ConnectionDone, ConnectionLost, WriteTimeout
from trioproto.sansio.transport import Transport
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder, keep_open
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Service, Serving
from trioproto.testing.threads import threads_take_no_time

NEEDS = {Feature.RATES}
RATE = 20_000  # its burst is more than a TLS handshake


class Speed:
    """Tells how many bytes of some counters were moved since it was last asked."""

    def __init__(self, *counters: Callable[[], int]) -> None:
        self.counters = counters
        self.before = [counter() for counter in counters]

    def __call__(self) -> list[int]:
        before, self.before = self.before, [counter() for counter in self.counters]
        return [now - then for now, then in zip(self.before, before, strict=True)]


def receiving(*protocols: Recorder) -> Speed:
    return Speed(*[lambda each=each: each.transport.bytes_received for each in protocols])


def sending(*protocols: Recorder) -> Speed:
    return Speed(*[lambda each=each: each.transport.bytes_sent for each in protocols])


def several(count: int, **settings: Any) -> tuple[list[Recorder], Factory[Recorder]]:
    protocols = [Recorder() for _ in range(count)]
    rest = iter(protocols)
    return protocols, Factory(lambda: next(rest), **settings)


async def connect_all(service: Service, protocols: list[Recorder]) -> list[Peer]:
    """Connect a peer for each protocol; the order of acceptance may be any."""
    return [await service.connect() for _ in protocols]


async def take_for(seconds: float, *peers: Peer) -> list[int]:
    """Let time pass while the peers read; return how many bytes each has read."""
    taken = [0 for _ in peers]
    for _ in range(round(2 * seconds)):
        await peers[0].pass_time(0.5)
        for index, peer in enumerate(peers):
            taken[index] += len(peer.take())
    return taken


# The rates


async def test_a_connection_is_read_from_at_its_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=RATE) as peer:
        speed = receiving(protocol)
        await peer.send(bytes(10 * RATE))
        await peer.pass_time(1)
        assert speed()[0] <= 2.1 * RATE  # with the burst
        await peer.pass_time(5)
        assert speed() == [pytest.approx(5 * RATE, rel=0.05)]
        await peer.pass_time(5)
        assert len(protocol.received) == 10 * RATE


async def test_a_connection_is_sent_to_at_its_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=RATE) as peer:
        speed = sending(protocol)
        protocol.transport.write(bytes(10 * RATE))
        received = await take_for(1, peer)
        assert speed()[0] <= 2.1 * RATE
        received += await take_for(5, peer)
        assert speed() == [pytest.approx(5 * RATE, rel=0.05)]
        received += await take_for(5, peer)
        assert protocol.transport.buffered == 0
        assert sum(received) == 10 * RATE


@lacks(Feature.ENCRYPTS)
@pytest.mark.parametrize("rate", [1, 2.5, 100, 1e9])
async def test_small_and_large_rates_are_kept_too(
    connect: Connecting, autojump_clock: MockClock, rate: float
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=rate, send_rate=rate, idle_timeout=None) as peer:
        speed = Speed(
            lambda: protocol.transport.bytes_received, lambda: protocol.transport.bytes_sent
        )
        size = min(100_000, int(30 * rate))
        await peer.send(bytes(size))
        protocol.transport.write(bytes(size))
        await peer.pass_time(2)
        most = min(size, 3 * rate + 1)
        assert all(most - rate - 2 <= moved <= most + rate / 10 + 1 for moved in speed())
        await peer.pass_time(40)
        assert len(protocol.received) == size
        assert len(await peer.received_so_far()) == size


async def test_connections_share_the_rate_of_reading_fairly(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(3, receive_rate_total=RATE)
    async with serving(factory) as service:
        for peer in await connect_all(service, protocols):
            await peer.send(bytes(10 * RATE))
        await service.pass_time(3)
        speed = receiving(*protocols)
        await service.pass_time(9)
        got = speed()
        assert sum(got) == pytest.approx(9 * RATE, rel=0.05)
        assert max(got) <= 1.1 * min(got)
        for protocol in protocols:
            protocol.transport.abort()


async def test_connections_share_the_rate_of_sending_fairly(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(3, send_rate_total=RATE)
    async with serving(factory) as service:
        peers = await connect_all(service, protocols)
        for protocol in protocols:
            protocol.transport.write(bytes(10 * RATE))
        await take_for(3, *peers)
        speed = sending(*protocols)
        await take_for(9, *peers)
        got = speed()
        assert sum(got) == pytest.approx(9 * RATE, rel=0.05)
        assert max(got) <= 1.1 * min(got)
        for protocol in protocols:
            protocol.transport.abort()


@needs(Feature.READS_ON)  # others are ahead by a quantum each
async def test_many_that_begin_at_once_have_one_burst_together(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(20, receive_rate_total=RATE)
    async with serving(factory) as service:
        for peer in await connect_all(service, protocols):
            await peer.send(bytes(3 * RATE))
        await service.settle()
        speed = receiving(*protocols)
        assert sum(speed.before) <= RATE
        await service.pass_time(4)
        got = speed()
        assert sum(speed.before) <= 5 * RATE
        assert sum(got) == pytest.approx(4 * RATE, rel=0.05)
        assert max(got) <= 1.5 * min(got)
        for protocol in protocols:
            protocol.transport.abort()


async def test_a_modest_connection_is_served_promptly_beside_greedy_ones(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(5, send_rate_total=10 * RATE)
    async with serving(factory) as service:
        peers = await connect_all(service, protocols)
        for protocol in protocols[1:]:
            protocol.transport.write(bytes(100 * RATE))
        await service.pass_time(5)
        for _ in range(5):
            protocols[0].transport.write(b"tick")
            await service.pass_time(0.25)
            received = b"".join([await peer.received_so_far() for peer in peers])
            assert b"tick" in received
        for protocol in protocols:
            protocol.transport.abort()


async def test_a_bulk_transfer_at_its_rate_does_not_slow_others_down(
    serving: Serving, autojump_clock: MockClock
) -> None:
    class Serves(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.write(bytes(50 * RATE) if data == b"bulk" else data)

    async with serving(Factory(Serves, send_rate=RATE)) as service:
        bulk, interactive = await service.connect(), await service.connect()
        await bulk.send(b"bulk")
        received = 0
        for _ in range(20):
            await interactive.send(b"ping")
            assert await interactive.received_so_far() == b"ping"  # no time has passed
            await service.pass_time(0.5)
            received += len(await bulk.received_so_far())
        assert received == pytest.approx(11 * RATE, rel=0.1)
        await bulk.reset()


async def test_a_burst_after_idleness_is_a_seconds_worth(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=RATE) as peer:
        protocol.transport.write(bytes(RATE))
        await peer.pass_time(30)
        speed = sending(protocol)
        protocol.transport.write(bytes(3 * RATE))
        await peer.settle()
        assert 0.85 * RATE <= speed()[0] <= RATE
        await peer.pass_time(5)


# What was read is delivered, in order


async def test_nothing_that_was_read_is_held_back(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=RATE) as peer:
        await peer.send(b"a" * RATE + b"b" * RATE)
        for _ in range(8):
            await peer.pass_time(0.3)
            if not protocol.transport.tls:
                assert protocol.transport.bytes_received == len(protocol.received)
        assert protocol.received == b"a" * RATE + b"b" * RATE


async def test_the_peers_eof_comes_after_what_was_sent_before_it(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=RATE) as peer:
        await peer.send(bytes(3 * RATE))
        await peer.send_eof()
        await peer.pass_time(1)
        assert "eof_received" not in protocol.heard
        await peer.pass_time(5)
        assert len(protocol.received) == 3 * RATE
        assert protocol.heard[-2:] == ["eof_received", "connection_lost"]
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.SEES_RESETS)
@lacks(Feature.ENCRYPTS)
async def test_a_reset_is_noticed_at_once_while_reading_waits(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=1) as peer:
        await peer.send(b"unread")
        await peer.settle()
        await peer.reset()
        await peer.settle()
        assert type(protocol.reason) is ConnectionLost


async def test_the_users_pause_and_the_rate_do_not_lift_each_other(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, receive_rate=RATE) as peer:
        await peer.send(bytes(4 * RATE))
        await peer.pass_time(1)
        protocol.transport.pause_reading()
        speed = receiving(protocol)
        await peer.pass_time(10)
        assert speed()[0] <= RATE / 10
        protocol.transport.resume_reading()
        await peer.settle()
        assert speed()[0] <= 1.1 * RATE
        await peer.pass_time(6)
        assert len(protocol.received) == 4 * RATE


@lacks(Feature.ENCRYPTS)
async def test_lines_come_at_the_rate(connect: Connecting, autojump_clock: MockClock) -> None:
    class Lines(LineReceiver):
        def connection_made(self) -> None:
            self.lines: list[bytes] = []

        def line_received(self, line: bytes) -> None:
            self.lines.append(line)

    protocol = Lines()
    async with connect(protocol, receive_rate=100) as peer:
        await peer.send(b"12345678\r\n" * 50)
        await peer.pass_time(2)
        assert 25 <= len(protocol.lines) <= 32
        await peer.pass_time(3)
        assert protocol.lines == [b"12345678"] * 50


# Deadlines: none of the peer's runs while we wait


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
        await peer.aclose()
        await peer.settle()
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
        await peer.send(b"a whole request")
        await peer.settle()
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
        await peer.send(b"request")
        await peer.settle()
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


# Flow control


async def test_the_water_marks_are_crossed_as_ever(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, send_rate=RATE, high_water=2 * RATE, low_water=RATE) as peer:
        protocol.transport.write(bytes(4 * RATE))
        await peer.settle()
        assert protocol.heard == ["connection_made", "pause_writing"]
        await peer.pass_time(1)
        assert protocol.heard == ["connection_made", "pause_writing"]
        await peer.pass_time(3)
        assert protocol.heard == ["connection_made", "pause_writing", "resume_writing"]


@needs(Feature.ASYNC_CODE)
async def test_send_waits_for_the_rate(connect: Connecting, autojump_clock: MockClock) -> None:
    async def stream(self: Recorder) -> None:
        begun = trio.current_time()
        for _ in range(20):
            await self.transport.send(bytes(RATE // 2))
        self.took = trio.current_time() - begun  # type: ignore[attr-defined]

    protocol = Recorder(data_received=stream)
    async with connect(protocol, send_rate=RATE, high_water=1000, low_water=0) as peer:
        await peer.send(b"go")
        assert await take_for(15, peer) == [10 * RATE]
        assert 8.5 < protocol.took < 9.5  # type: ignore[attr-defined]


@needs(Feature.ASYNC_CODE)
async def test_a_file_is_sent_at_the_rate_and_in_order(
    connect: Connecting, autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"f" * 4 * RATE)

    async def send_file(self: Recorder) -> None:
        self.transport.write(b"before")
        assert await self.transport.send_file(path) == 4 * RATE
        self.transport.write(b"after")

    protocol = Recorder(data_received=send_file)
    async with connect(protocol, send_rate=RATE) as peer:
        begun = trio.current_time()
        received = b""
        with threads_take_no_time():  # that read the file
            await peer.send(b"go")
            while not received.endswith(b"after"):
                await peer.pass_time(1)
                received += peer.take()
                assert not protocol.lost
                assert len(received) <= RATE * (1.1 + trio.current_time() - begun)
        assert received == b"before" + b"f" * 4 * RATE + b"after"


# Changes while running


@pytest.mark.parametrize("before", [0.01, None])
async def test_a_higher_total_rate_counts_at_once(
    serving: Serving, autojump_clock: MockClock, before: float | None
) -> None:
    protocols, factory = several(2)
    async with serving(factory) as service:
        peers = await connect_all(service, protocols)
        factory.configure(receive_rate_total=before, send_rate_total=before)
        for peer, protocol in zip(peers, protocols, strict=True):
            await peer.send(b"begins")  # a stream reads already, as much as it could before
            protocol.transport.write(b"begins")
        await service.pass_time(2)
        factory.configure(receive_rate_total=RATE, send_rate_total=RATE)
        await service.settle()
        assert {protocol.received for protocol in protocols} == {b"begins"}
        assert [await peer.received_so_far() for peer in peers] == [b"begins"] * 2
        for peer, protocol in zip(peers, protocols, strict=True):
            await peer.send(bytes(3 * RATE))
            protocol.transport.write(bytes(3 * RATE))
        await service.settle()
        received, sent = receiving(*protocols), sending(*protocols)
        taken = await take_for(3, *peers)
        assert sum(sent()) == pytest.approx(3 * RATE, rel=0.1)
        if before is not None:
            assert sum(received()) == pytest.approx(3 * RATE, rel=0.1)
        taken += await take_for(7, *peers)
        assert {len(protocol.received) for protocol in protocols} == {3 * RATE + 6}
        assert sum(taken) == 2 * 3 * RATE


@needs(Feature.ASYNC_CODE)  # a harness has the settings that it was made with
async def test_rates_set_while_a_protocol_is_built_count(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()

    def build() -> Recorder:
        factory.configure(send_rate_total=RATE)
        return protocol

    factory = Factory(build)
    async with connect(factory) as peer:
        protocol.transport.write(bytes(4 * RATE))
        await peer.pass_time(1)
        assert 1.5 * RATE < protocol.transport.bytes_sent <= 2.1 * RATE
        protocol.transport.abort()


async def test_a_lower_total_rate_counts_at_once(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(2, send_rate_total=10 * RATE)
    async with serving(factory) as service:
        await connect_all(service, protocols)
        for protocol in protocols:
            protocol.transport.write(bytes(30 * RATE))
        await service.pass_time(1)
        factory.configure(send_rate_total=RATE)
        speed = sending(*protocols)
        await service.pass_time(3)
        assert sum(speed()) <= 3.1 * RATE
        for protocol in protocols:
            protocol.transport.abort()


async def test_a_total_rate_that_is_lifted_holds_nobody_up(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    factory = Factory(lambda: protocol)
    async with connect(factory) as peer:
        factory.configure(receive_rate_total=1, send_rate_total=1)
        await peer.settle()
        await peer.send(bytes(2 * RATE))
        protocol.transport.write(bytes(2 * RATE))
        await peer.pass_time(3)
        factory.configure(receive_rate_total=None, send_rate_total=None)
        await peer.settle()
        assert len(protocol.received) == 2 * RATE
        assert len(await peer.received_so_far()) == 2 * RATE


async def test_the_write_timeout_counts_from_when_the_rate_is_lifted(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    factory = Factory(lambda: protocol, write_timeout=10)
    async with connect(factory, small_buffers=True) as peer:
        factory.configure(send_rate_total=1)
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.pass_time(9)
        factory.configure(send_rate_total=None)
        await peer.pass_time(9)
        assert not protocol.lost
        await peer.pass_time(12)
        assert type(protocol.reason) is WriteTimeout


async def test_a_connections_own_rate_is_that_of_when_it_was_accepted(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(2, send_rate=RATE)
    async with serving(factory) as service:
        first = await service.connect()
        factory.configure(send_rate=2 * RATE)
        peers = first, await service.connect()
        for protocol in protocols:
            protocol.transport.write(bytes(10 * RATE))
        await take_for(1, *peers)
        speed = sending(*protocols)
        await take_for(3, *peers)
        assert speed() == [pytest.approx(3 * RATE, rel=0.05), pytest.approx(6 * RATE, rel=0.05)]
        for protocol in protocols:
            protocol.transport.abort()


async def test_a_connection_that_ends_leaves_the_rate_to_the_others(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(3, send_rate_total=RATE)
    async with serving(factory) as service:
        peers = await connect_all(service, protocols)
        for protocol in protocols:
            protocol.transport.write(bytes(10 * RATE))
        await take_for(2, *peers)
        for protocol in protocols[:2]:
            protocol.transport.abort()
        speed = sending(protocols[2])
        await take_for(3, *peers)
        assert speed() == [pytest.approx(3 * RATE, rel=0.05)]
        protocols[2].transport.abort()


@lacks(Feature.ENCRYPTS)
async def test_the_turn_of_a_connection_that_ends_is_the_next_ones(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols, factory = several(2, send_rate_total=0.1)
    async with serving(factory) as service:
        peers = await connect_all(service, protocols)
        protocols[0].transport.write(b"12")
        await service.settle()
        protocols[0].transport.abort()
        await service.settle()
        protocols[1].transport.write(b"3")
        await service.pass_time(12)
        assert b"3" in [await peer.received_so_far() for peer in peers]


async def test_a_half_closed_connection_keeps_to_its_rate(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol, send_rate=RATE) as peer:
        await peer.send_eof()
        await peer.settle()
        transport: Transport = protocol.transport
        transport.write(bytes(4 * RATE))
        if transport.can_write_eof:
            transport.write_eof()
        await peer.pass_time(1)
        received = len(await peer.received_so_far())
        assert received <= 2.1 * RATE
        await peer.pass_time(4)
        assert received + len(await peer.received_so_far()) == 4 * RATE
