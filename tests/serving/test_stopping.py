"""How a server ends: DESIGN.md section 3, rule 10."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import MORE_THAN_FITS, small_listener
from tests.serving.conversations import (
    LOOPBACK,
    Counting,
    Echo,
    Greeter,
    Holds,
    Logs,
    dial,
    listens,
    outcome,
    settle,
)
from tests.serving.test_listeners import offer, refuses
from trioproto import Factory, TCPAddress, open_server, serve
from trioproto.errors import ServerDraining
from trioproto.testing import MemoryListener, open_memory_listener


async def test_stop_only_asks_and_wait_closed_waits(autojump_clock: MockClock) -> None:
    order: list[str] = []

    async def wait(server: Any) -> None:
        await server.wait_closed()
        order.append("closed")

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, Factory(Greeter), LOOPBACK)
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        nursery.start_soon(wait, server)
        await settle()
        server.stop()
        order.append("asked")
        assert await outcome(peer) == (b"", "eof")
        await peer.aclose()
    assert order == ["asked", "closed"]
    await server.wait_closed()
    server.stop()


async def test_a_callback_may_stop_its_server() -> None:
    class Stops(Greeter):
        def data_received(self, data: bytes) -> None:
            self.transport.write(b"stopping")
            self.factory.server.stop()

    factory = Counting(Stops)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, factory, LOOPBACK)
        peers = [dial(server.addresses[0]) for _ in range(2)]
        for peer in peers:
            await peer.receive_exactly(5)
        await peers[0].send(b"stop")
        assert await outcome(peers[0]) == (b"stopping", "eof")
        assert await outcome(peers[1]) == (b"", "eof")
        for peer in peers:
            await peer.aclose()
    assert factory.log == ["entered", "left with 0"]


async def test_an_async_callback_may_stop_its_server_and_finish() -> None:
    class Stops(Greeter):
        async def data_received(self, data: bytes) -> None:
            self.factory.server.stop()
            await trio.lowlevel.checkpoint()
            self.transport.write(b"stopped")

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, Factory(Stops), LOOPBACK)
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        await peer.send(b"stop")
        assert await outcome(peer) == (b"stopped", "eof")
        await peer.aclose()


async def test_leaving_open_server_drains(autojump_clock: MockClock) -> None:
    factory = Counting(Logs)
    async with trio.open_nursery() as nursery:

        async def client(address: Any) -> None:
            peer = dial(address)
            assert await outcome(peer) == (b"hello", "eof")
            await peer.aclose()

        async with open_server(factory, LOOPBACK) as server:
            for _ in range(3):
                nursery.start_soon(client, server.addresses[0])
            await settle()
    assert factory.log == ["entered", *["lost: ServerDraining"] * 3, "left with 0"]
    assert autojump_clock.current_time() < 1


async def test_cancelling_open_server_ends_at_once(autojump_clock: MockClock) -> None:
    factory = Counting(Logs)
    with trio.CancelScope() as scope:
        async with open_server(factory, LOOPBACK) as server:
            peer = dial(server.addresses[0])
            await peer.receive_exactly(5)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert factory.log == ["entered", "lost: ServerCancelled", "left with 0"]
    assert autojump_clock.current_time() < 1


async def test_a_drain_accepts_no_more_but_keeps_what_is_open(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Holds), LOOPBACK) as server:
        (address,) = server.addresses
        peer = dial(address)
        await peer.receive_exactly(5)
        server.stop()
        assert await peer.receive_exactly(8) == b"draining"
        assert not listens(address)
        assert len(server.connections) == 1
        (protocol,) = server.connections
        protocol.transport.close()
        assert await outcome(peer) == (b"", "eof")
        await peer.aclose()


async def test_the_report_counts_how_connections_ended(autojump_clock: MockClock) -> None:
    class Stubborn(Greeter):
        async def data_received(self, data: bytes) -> None:
            await trio.sleep_forever()

    class Deaf(Greeter):
        def data_received(self, data: bytes) -> None:
            self.transport.write(bytes(2 * MORE_THAN_FITS))

    protocols = iter([Greeter(), Greeter(), Stubborn(), Deaf()])
    factory = Factory(lambda: next(protocols), write_timeout=None)
    async with open_server(factory, small_listener()) as server:
        peers = []
        for _ in range(4):
            peers.append(dial(server.addresses[0]))
            await peers[-1].receive_exactly(5)
        for peer in peers[2:]:
            await peer.send(b"go")
        await settle()
        reports = []

        async def drain() -> None:
            reports.append(await server.drain(grace=10, force=5))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            for peer in peers[:2]:
                assert await outcome(peer) == (b"", "eof")
                await peer.aclose()
        (report,) = reports
        assert (report.finished, report.cancelled, report.aborted) == (2, 1, 1)
        assert trio.current_time() <= 16
        assert len(server.connections) == 0
    for peer in peers[2:]:
        await peer.aclose()


async def check_free(tcp: object, *others: str) -> None:
    """Bind what has been bound."""
    assert isinstance(tcp, TCPAddress)
    async with open_server(Factory(Greeter), f"tcp:{tcp.port}:interface={tcp.host}", *others):
        pass


async def test_after_a_drain_what_was_bound_is_free_and_lifespan_is_not_left_yet(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    factory = Counting(Greeter)
    listener = open_memory_listener()
    unix = f"unix:{tmp_path / 'x'}"
    async with open_server(factory, LOOPBACK, unix, listener) as server:
        for wait in (server.drain, server.wait_closed):
            await wait()
            await check_free(server.addresses[0], unix)
        assert await refuses(listener)
        assert factory.log == ["entered"]
    assert factory.log == ["entered", "left with 0"]


async def test_what_a_cancelled_server_had_bound_is_free_for_who_has_waited(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery, trio.open_nursery() as servers:
        server = await servers.start(serve, Factory(Greeter), LOOPBACK)

        async def wait() -> None:
            await server.wait_closed()
            await check_free(server.addresses[0])

        nursery.start_soon(wait)
        await settle()
        servers.cancel_scope.cancel()


async def test_draining_an_idle_server_reports_nothing_and_takes_no_time(
    autojump_clock: MockClock,
) -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        report = await server.drain()
        assert (report.finished, report.cancelled, report.aborted) == (0, 0, 0)
        await server.wait_closed()
    assert autojump_clock.current_time() < 1


async def test_a_second_drain_waits_for_the_same_end(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Holds), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        reports = []

        async def drain() -> None:
            reports.append(await server.drain(grace=10, force=5))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            nursery.start_soon(drain)
            assert await peer.receive_exactly(8) == b"draining"
            (protocol,) = server.connections
            protocol.transport.close()
            assert await outcome(peer) == (b"", "eof")
            await peer.aclose()
        assert len(reports) == 2
        assert reports[0] == reports[1]
        assert await server.drain() == reports[0]
        assert server.connections is not None


async def test_a_shorter_second_drain_hastens_the_first(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Holds, idle_timeout=None), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: server.drain(grace=1000, force=1000))
            await settle()
            await server.drain(grace=1, force=1)
        assert autojump_clock.current_time() < 10
        await peer.aclose()


@pytest.mark.parametrize("how", ["serve", "settings", "open_server"])
async def test_grace_and_force_are_the_callers_or_the_factorys(
    autojump_clock: MockClock, how: str
) -> None:
    times: dict[str, Any] = {"drain_grace": 3, "drain_force": 2} if how == "settings" else {}
    options: dict[str, Any] = {} if how == "settings" else {"grace": 3, "force": 2}
    factory = Factory(Holds, idle_timeout=None, **times)

    if how == "open_server":
        async with open_server(factory, LOOPBACK, **options) as server:
            peer = dial(server.addresses[0])
            await peer.receive_exactly(5)
    else:
        async with trio.open_nursery() as nursery:

            async def run(task_status: trio.TaskStatus[Any]) -> None:
                await serve(factory, LOOPBACK, task_status=task_status, **options)

            server = await nursery.start(run)
            peer = dial(server.addresses[0])
            await peer.receive_exactly(5)
            server.stop()
    assert 2.9 < autojump_clock.current_time() < 5.5
    await peer.aclose()


async def test_without_grace_callbacks_are_cancelled_at_once(autojump_clock: MockClock) -> None:
    log: list[str] = []

    class Stubborn(Greeter):
        async def data_received(self, data: bytes) -> None:
            try:
                await trio.sleep_forever()
            finally:
                log.append("cancelled")

    async with open_server(Factory(Stubborn), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        await peer.send(b"go")
        await settle()
        report = await server.drain(grace=0, force=0)
        assert log == ["cancelled"]
        assert report.finished == 0
        await peer.aclose()
    assert autojump_clock.current_time() < 1


async def test_a_drain_that_is_cancelled_does_not_stop_draining(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Holds, idle_timeout=None), LOOPBACK) as server:
        (address,) = server.addresses
        peer = dial(address)
        await peer.receive_exactly(5)
        with trio.move_on_after(1):
            await server.drain(grace=100, force=100)
        assert not listens(address)
        assert await peer.receive_exactly(8) == b"draining"
        (protocol,) = server.connections
        protocol.transport.close()
        assert await outcome(peer) == (b"", "eof")
        await peer.aclose()
        await server.wait_closed()


async def test_a_request_received_before_the_drain_gets_its_whole_reply(
    autojump_clock: MockClock,
) -> None:
    class Replies(Greeter):
        async def data_received(self, data: bytes) -> None:
            await trio.sleep(5)
            await self.transport.send(bytes(MORE_THAN_FITS))

    async with open_server(Factory(Replies), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        await peer.send(b"request")
        server.stop()
        data, ending = await outcome(peer)
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")
        await peer.aclose()


async def test_a_connection_that_was_not_yet_accepted_does_not_hold_a_drain(
    autojump_clock: MockClock,
) -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(20)]
        server.stop()
        for peer in peers:
            data, _ = await outcome(peer)
            assert data in (b"", b"hello")
            await peer.aclose()
    assert autojump_clock.current_time() < 5


async def test_a_new_connection_during_a_drain_hears_no_protocol() -> None:
    built: list[object] = []

    class Notes(Holds):
        def connection_made(self) -> None:
            built.append(self)
            super().connection_made()

    async with open_server(Factory(Notes), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        server.stop()
        await settle()
        with pytest.raises(ConnectionRefusedError):
            dial(server.addresses[0])
        assert len(built) == 1
        await peer.aclose()


async def test_one_server_can_be_awaited_by_many() -> None:
    done: list[int] = []

    async def wait(server: Any, number: int) -> None:
        await server.wait_closed()
        done.append(number)

    async with trio.open_nursery() as nursery, open_server(Factory(Echo), LOOPBACK) as server:
        for number in range(3):
            nursery.start_soon(wait, server, number)
        await settle()
        assert done == []
    assert sorted(done) == [0, 1, 2]


async def test_a_drained_connection_says_why() -> None:
    reasons: list[object] = []

    class Notes(Greeter):
        def connection_lost(self, reason: object) -> None:
            reasons.append(reason)

    async with open_server(Factory(Notes), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        server.stop()
        assert await outcome(peer) == (b"", "eof")
        await peer.aclose()
    assert [type(reason) for reason in reasons] == [ServerDraining]


async def test_connection_made_may_stop_its_server() -> None:
    class Stops(Greeter):
        def connection_made(self) -> None:
            super().connection_made()
            self.factory.server.stop()

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, Factory(Stops), LOOPBACK)
        peer = dial(server.addresses[0])
        assert await outcome(peer) == (b"hello", "eof")
        await peer.aclose()


async def test_a_stream_that_waits_for_a_slot_is_closed_by_a_stop() -> None:
    listener = MemoryListener()
    async with open_server(Factory(Holds, max_connections=1), listener) as server:
        first, second = await offer(listener), await offer(listener)
        assert await first.receive_exactly(5) == b"hello"
        await settle()
        server.stop()
        assert await first.receive_exactly(8) == b"draining"
        data, _ = await second.receive_all()
        assert data == b""
        await first.aclose()
