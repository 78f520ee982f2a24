"""The ways out of ``connect``'s block, and what becomes of the connection."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import real_time
from tests.client.sites import PATIENCE, Site, TCPSite, open_text
from trioproto import Factory, Settings, connect, open_server
from trioproto.errors import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ServerCancelled,
    WriteTimeout,
)
from trioproto.testing.conformance.recorder import Recorder, never

MEGABYTE = 1024 * 1024


class BoomError(Exception):
    """What blocks of these tests raise."""


def living_tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


# The connection ends first


@pytest.mark.parametrize("how", ["reset", "aclose", "send_eof"])
async def test_a_loss_inside_the_block_does_not_cancel_it(site: Site, how: str) -> None:
    """It goes on, and can ask for the reason as often as it likes."""
    async with connect(await site.target(), Recorder()) as protocol:
        peer = await site.accept()
        await getattr(peer, how)()
        with trio.fail_after(PATIENCE):
            reason = await protocol.transport.wait_closed()
        assert reason is await protocol.transport.wait_closed()
        for _ in range(10):
            await trio.lowlevel.checkpoint()
    assert protocol.reason is reason
    # A Unix socket has no reset of its own: who has read everything sees an EOF.
    reset = how == "reset" and not site.text.startswith("unix")
    expected = ConnectionLost if reset else ConnectionDone
    assert type(reason) is expected
    protocol.check()


async def test_a_reset_has_its_errno(tcp_site: TCPSite) -> None:
    async with connect(tcp_site.text, Recorder()) as protocol:
        await (await tcp_site.accept()).reset()
        reason = await protocol.transport.wait_closed()
    cause = reason.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == errno.ECONNRESET


# Left normally


async def test_a_megabyte_is_flushed_to_a_slow_reader(small_site: TCPSite) -> None:
    """Leaving the block waits for it, and nothing is lost."""
    async with trio.open_nursery() as nursery:
        received = bytearray()

        async def read_slowly() -> None:
            peer = await small_site.accept()
            while more := await peer.sock.recv(10_000):
                received.extend(more)
                await trio.lowlevel.checkpoint()
            await peer.aclose()

        nursery.start_soon(read_slowly)
        async with connect(small_site.text, Recorder()) as protocol:
            protocol.transport.write(bytes(range(256)) * (MEGABYTE // 256))
    assert bytes(received) == bytes(range(256)) * (MEGABYTE // 256)
    assert type(protocol.reason) is ConnectionDone
    protocol.check()


async def test_what_cannot_be_flushed_is_given_up_in_time(
    small_site: TCPSite, autojump_clock: MockClock
) -> None:
    """``close_timeout``, and a second for each 64 KiB."""
    settings = Settings(close_timeout=5, write_timeout=None)
    async with connect(small_site.text, Recorder(), settings=settings) as protocol:
        await small_site.accept()
        protocol.transport.write(bytes(4 * MEGABYTE))
        await trio.testing.wait_all_tasks_blocked()
        allowed = 5 + protocol.transport.buffered / 65536
        left = trio.current_time()
    assert trio.current_time() - left == pytest.approx(allowed)
    assert type(protocol.reason) is CloseTimeout
    protocol.check()


async def test_a_peer_that_takes_nothing_is_given_up_earlier(
    small_site: TCPSite, autojump_clock: MockClock
) -> None:
    """``write_timeout`` counts while closing too."""
    settings = Settings(close_timeout=100, write_timeout=5)
    async with connect(small_site.text, Recorder(), settings=settings) as protocol:
        await small_site.accept()
        protocol.transport.write(bytes(4 * MEGABYTE))
    assert trio.current_time() == pytest.approx(5)
    assert type(protocol.reason) is WriteTimeout


async def test_a_peer_that_does_not_close_is_lingered_for(
    site: Site, autojump_clock: MockClock
) -> None:
    """Two seconds, by default; then the connection is closed all the same."""
    async with connect(await site.target(), Recorder()) as protocol:
        peer = await site.accept()
        protocol.transport.write(b"bye")
    assert trio.current_time() == pytest.approx(2)
    assert type(protocol.reason) is ConnectionDone
    assert await peer.receive_all() == (b"bye", "eof")


async def test_a_running_callback_may_finish(tcp_site: TCPSite, autojump_clock: MockClock) -> None:
    """For ``close_timeout``: leaving the block is a ``close``."""
    done: list[float] = []

    async def work(_: Recorder) -> None:
        await trio.sleep(10)
        done.append(trio.current_time())

    async with connect(tcp_site.text, Recorder(data_received=work)) as protocol:
        peer = await tcp_site.accept()
        await peer.send(b"x")
        await peer.send_eof()
        await trio.testing.wait_all_tasks_blocked()
    assert done == [10]
    assert type(protocol.reason) is ConnectionDone
    protocol.check()


async def test_an_async_connection_lost_has_ended_when_the_block_is_left(
    site: Site, autojump_clock: MockClock
) -> None:
    done: list[float] = []

    async def clean_up(_: Recorder) -> None:
        await trio.sleep(1)
        done.append(trio.current_time())

    async with connect(await site.target(), Recorder(connection_lost=clean_up)) as protocol:
        await (await site.accept()).aclose()
        await protocol.transport.wait_closed()
        assert done == [1]
    protocol.check()


@pytest.mark.parametrize("how", ["close", "abort", "write_eof"])
async def test_the_block_may_end_the_connection_itself(site: Site, how: str) -> None:
    async with connect(await site.target(), Recorder()) as protocol:
        peer = await site.accept()
        getattr(protocol.transport, how)()
        await peer.receive_all()
        await peer.aclose()
    protocol.check()


# Left by an exception


async def test_an_exception_comes_out_as_itself_and_resets(site: Site) -> None:
    """What waits is dropped; ``connection_lost`` was called before."""
    protocol = Recorder()
    target = await site.target()

    async def use() -> None:
        async with connect(target, protocol):
            protocol.transport.write(bytes(8 * MEGABYTE))
            await trio.lowlevel.checkpoint()
            raise BoomError

    with pytest.raises(BoomError) as caught:
        await use()
    peer = await site.accept()
    assert caught.value.__cause__ is None
    assert type(protocol.reason) is ConnectionAborted
    protocol.check()
    data, ending = await peer.receive_all()
    assert len(data) < 8 * MEGABYTE
    assert ending == ("reset" if site.resets else "eof")


async def test_an_exception_after_the_loss_comes_out_as_itself(site: Site) -> None:
    protocol = Recorder()
    target = await site.target()

    async def use() -> None:
        async with connect(target, protocol):
            await (await site.accept()).aclose()
            await protocol.transport.wait_closed()
            raise BoomError

    with pytest.raises(BoomError):
        await use()
    assert type(protocol.reason) is ConnectionDone


async def test_a_group_of_the_blocks_own_stays_a_group(tcp_site: TCPSite) -> None:
    given = ExceptionGroup("mine", [BoomError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with connect(tcp_site.text, Recorder()):
            raise given
    assert caught.value is given


async def test_an_oserror_of_the_blocks_own_is_not_mistaken(tcp_site: TCPSite) -> None:
    given = ConnectionRefusedError("by another")
    with pytest.raises(ConnectionRefusedError) as caught:
        async with connect(tcp_site.text, Recorder()):
            raise given
    assert caught.value is given


# Cancelled


async def test_a_cancelled_block_resets_at_once(site: Site) -> None:
    """Nothing is flushed, and nothing lingers."""
    protocol = Recorder()
    target = await site.target()
    with trio.CancelScope() as scope:
        async with connect(target, protocol):
            protocol.transport.write(bytes(8 * MEGABYTE))
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert type(protocol.reason) is ServerCancelled
    protocol.check()
    peer = await site.accept()
    assert len((await peer.receive_all())[0]) < 8 * MEGABYTE


async def test_cancelled_while_it_closes_it_ends_at_once(
    small_site: TCPSite, autojump_clock: MockClock
) -> None:
    """The flush is under way, with a peer that does not read."""
    protocol = Recorder()
    with trio.move_on_after(3) as scope:
        async with connect(small_site.text, protocol):
            await small_site.accept()
            protocol.transport.write(bytes(8 * MEGABYTE))
    assert scope.cancelled_caught
    assert trio.current_time() == 3
    assert type(protocol.reason) is ServerCancelled
    protocol.check()


async def test_cancelled_beforehand_a_ready_made_stream_is_closed(tcp_site: TCPSite) -> None:
    """Once it was given away, nobody else would."""
    stream = await open_text(tcp_site.text)
    peer = await tcp_site.accept()
    with trio.CancelScope() as scope:
        scope.cancel()
        async with connect(trio.StapledStream(stream, stream), Recorder()):
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    with trio.fail_after(PATIENCE):
        assert (await peer.receive_all())[0] == b""


class Echo(Recorder):
    def data_received(self, data: bytes) -> Any:
        super().data_received(data)
        self.transport.write(data)


class Slow(Recorder):
    """Waits a tick in each callback."""

    async def connection_made(self) -> Any:
        super().connection_made()
        await trio.lowlevel.checkpoint()

    async def data_received(self, data: bytes) -> Any:
        super().data_received(data)
        await trio.lowlevel.checkpoint()

    async def connection_lost(self, reason: ConnectionClosed) -> Any:
        super().connection_lost(reason)
        await trio.lowlevel.checkpoint()


async def use(target: str, protocol: Recorder, reached: list[str]) -> None:
    """All that one does with a connection."""
    async with connect(target, protocol):
        reached.append("open")
        protocol.transport.write(b"hello")
        while not protocol.chunks:
            await trio.lowlevel.checkpoint()
        reached.append("echoed")
        await protocol.transport.send(b"hello")
    reached.append("left")


@pytest.mark.parametrize("kind", [Recorder, Slow])
@pytest.mark.parametrize("endpoint", ["tcp:0:interface=127.0.0.1", "unix:{}"])
async def test_cancelled_at_any_await_it_leaves_nothing(
    kind: type[Recorder], endpoint: str, tmp_path: Path
) -> None:
    """After so many ticks, for each number until it is done before: every await is met."""
    seen: set[tuple[str, ...]] = set()
    async with open_server(Factory(Echo), endpoint.format(tmp_path / "server")) as server:
        target = str(server.addresses[0])
        await use(target, kind(), [])  # now the server has all its tasks
        await trio.testing.wait_all_tasks_blocked()
        before = living_tasks()
        for ticks in range(10_000):
            protocol, reached = kind(), list[str]()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cancel_after, ticks, scope)
                    await use(target, protocol, reached)
                    nursery.cancel_scope.cancel()
            protocol.check()
            seen.add(tuple(reached))
            await trio.testing.wait_all_tasks_blocked()
            assert len(server.connections) == 0
            assert living_tasks() == before
            if reached[-1:] == ["left"] and not scope.cancelled_caught:
                break
    assert {(), ("open",), ("open", "echoed"), ("open", "echoed", "left")} <= seen


async def cancel_after(ticks: int, scope: trio.CancelScope) -> None:
    for _ in range(ticks):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def test_every_way_out_leaves_no_task_and_no_descriptor(site: Site, refusing: str) -> None:
    """Many times over; the fixture counts the descriptors."""
    before = living_tasks()
    for way in ("leave", "raise", "cancel", "lose", "refuse") * 3:
        try:
            with trio.CancelScope() as scope:
                target = refusing if way == "refuse" else await site.target()
                async with connect(target, Recorder()) as protocol:
                    peer = await site.accept()
                    if way == "raise":
                        raise BoomError
                    if way == "cancel":
                        scope.cancel()
                        await trio.lowlevel.checkpoint()
                        never()
                    await peer.aclose()
                    if way == "lose":
                        await protocol.transport.wait_closed()
        except (BoomError, OSError):
            assert way in ("raise", "refuse")
        assert living_tasks() == before


async def test_a_server_and_its_client_in_one_program(autojump_clock: MockClock) -> None:
    """Leaving waits for the server's EOF, not for a timeout."""
    async with open_server(Factory(Echo), "tcp:0:interface=127.0.0.1") as server:
        (address,) = server.addresses
        async with connect(str(address), Recorder()) as protocol:
            protocol.transport.write(bytes(MEGABYTE))
            with real_time():
                await trio.testing.wait_all_tasks_blocked(0.1)
            assert len(protocol.received) == MEGABYTE
            protocol.transport.write(b"last")
    assert trio.current_time() < 2
    protocol.check()
