"""``connect(within=...)``: a connection of ours on the machinery of a factory in use."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.client.sites import PATIENCE, Fixed, Site, TCPSite, open_descriptors, open_text
from trioproto import Factory, Settings, connect, open_server
from trioproto.errors import ServerCancelled, ServerDraining
from trioproto.testing.conformance.recorder import Recorder, never

LOOPBACK = "tcp:0:interface=127.0.0.1"


async def test_it_shares_the_poller_and_nothing_else(socket_site: Site) -> None:
    """It is none of the factory's connections, and has settings of its own."""
    host = Factory(Recorder, idle_timeout=7)
    async with open_server(host, LOOPBACK):
        assert host._scope is not None
        poller = host._scope.poller
        epolls = count_epolls()
        settings = Settings(idle_timeout=8)
        async with connect(
            socket_site.text, Recorder(), within=host, settings=settings
        ) as protocol:
            peer = await socket_site.accept()
            assert count_epolls() == epolls
            assert len(poller._watchers) == 1
            assert protocol.factory is not host
            assert list(protocol.factory.connections) == [protocol]
            assert protocol.transport.timeout == 8
            assert len(host.connections) == 0
            await peer.send(b"hello")
            protocol.transport.write(b"you too")
            assert await peer.receive_exactly(7) == b"you too"
            assert protocol.received == b"hello"
            await peer.aclose()
        assert poller._watchers == {}
    protocol.check()


def count_epolls() -> int:
    return sum("eventpoll" in what for what in open_descriptors().values())


async def test_a_stream_can_be_given_too(site: Site) -> None:
    async with Factory(Recorder) as host:
        async with connect(await site.target(), Recorder(), within=host) as protocol:
            peer = await site.accept()
            await peer.send_eof()
            await protocol.transport.wait_closed()
            await peer.aclose()
        protocol.check()


async def test_it_drains_with_the_server(socket_site: Site, autojump_clock: MockClock) -> None:
    """It is asked to ``quiesce``, by default closes, and the server waits for it."""
    async with trio.open_nursery() as nursery:
        host = Factory(Recorder)
        ready = trio.Event()
        protocol = Recorder()

        async def use() -> None:
            async with connect(socket_site.text, protocol, within=host):
                ready.set()
                assert type(await protocol.transport.wait_closed()) is ServerDraining

        async with open_server(host, LOOPBACK) as server:
            nursery.start_soon(use)
            await ready.wait()
            protocol.transport.write(bytes(1 << 20))
            nursery.start_soon(read_all, socket_site)
            await server.drain()
            assert protocol.lost
    assert protocol.heard.count("quiesce") == 1
    protocol.check()


async def read_all(site: Site) -> None:
    peer = await site.accept()
    assert await peer.receive_all() == (bytes(1 << 20), "eof")
    await peer.aclose()


async def test_one_that_does_not_close_is_closed_in_time(
    tcp_site: TCPSite, autojump_clock: MockClock
) -> None:
    """After ``drain_grace``, as the server's own."""
    host = Factory(Recorder)
    async with trio.open_nursery() as nursery:
        protocol = Recorder(quiesce=lambda _: None)
        ready = trio.Event()

        async def use() -> None:
            async with connect(tcp_site.text, protocol, within=host):
                ready.set()
                await protocol.transport.wait_closed()

        async with open_server(host, LOOPBACK, grace=5) as server:
            nursery.start_soon(use)
            await ready.wait()
            await tcp_site.accept()
            await server.drain()
            assert trio.current_time() == pytest.approx(5 + Settings().linger)
    assert type(protocol.reason) is ServerDraining


async def test_it_ends_when_the_server_is_cancelled(socket_site: Site) -> None:
    """Its block goes on, and can ask why."""
    host = Factory(Recorder)
    async with trio.open_nursery() as nursery:
        protocol = Recorder()
        ready = trio.Event()
        reasons: list[Any] = []

        async def use() -> None:
            async with connect(socket_site.text, protocol, within=host):
                ready.set()
                reasons.append(await protocol.transport.wait_closed())

        with trio.CancelScope() as scope:
            async with open_server(host, LOOPBACK):
                nursery.start_soon(use)
                await ready.wait()
                scope.cancel()
                await trio.sleep_forever()
        assert protocol.lost
    assert type(reasons[0]) is ServerCancelled
    protocol.check()


async def test_it_counts_in_none_of_the_limits(tcp_site: TCPSite) -> None:
    async with (
        open_server(Factory(Recorder, max_connections=1), LOOPBACK) as server,
        connect(tcp_site.text, Recorder(), within=server.factory),
        connect(str(server.addresses[0]), Recorder()),
    ):
        with trio.fail_after(PATIENCE):
            while len(server.connections) < 1:
                await trio.lowlevel.checkpoint()
        (await tcp_site.accept()).discard()


async def test_a_factory_that_is_not_in_use_is_a_runtime_error(tcp_site: TCPSite) -> None:
    with pytest.raises(RuntimeError, match="Factory is not in use: serve it, or enter it"):
        async with connect(tcp_site.text, Recorder(), within=Factory(Recorder)):
            never()


async def test_a_factory_whose_use_has_ended_meanwhile_is_an_oserror(site: Site) -> None:
    """Connecting took longer than the server lived; what was connected is closed."""
    host = Factory(Recorder)
    target = await site.target()
    go_on = trio.Event()

    class Slow(Fixed):
        async def open(self) -> trio.abc.Stream:
            is_text = isinstance(target, str)
            stream: trio.abc.Stream = await open_text(target) if is_text else target
            await go_on.wait()
            return stream

    protocol = Recorder()

    async def use() -> None:
        with pytest.raises(ConnectionAbortedError, match="in use no more"):
            async with connect(Slow(), protocol, within=host):
                never()

    async with trio.open_nursery() as nursery:
        async with host:
            nursery.start_soon(use)
            await trio.testing.wait_all_tasks_blocked()
        go_on.set()
    assert protocol.heard == []
    peer = await site.accept()
    assert await peer.receive_all() == (b"", "eof")


class Relay(Recorder):
    other: Relay

    def data_received(self, data: bytes) -> Any:
        super().data_received(data)
        self.other.transport.write(data)


class CountsSteps(trio.abc.Instrument):
    """Counts the steps that tasks make, but for one task's."""

    def __init__(self) -> None:
        self.steps = 0
        self.me = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += task is not self.me


async def test_two_that_write_to_each_other_do_so_in_one_batch(tcp_site: TCPSite) -> None:
    """That is what it is for: a chunk that goes from one to the other wakes the poller alone."""
    async with (
        Factory(Recorder) as host,
        connect(tcp_site.text, Relay(), within=host) as one,
        connect(tcp_site.text, Relay(), within=host) as two,
    ):
        one.other, two.other = two, one
        peers = [await tcp_site.accept() for _ in range(2)]
        await trio.testing.wait_all_tasks_blocked()
        counts = CountsSteps()
        trio.lowlevel.add_instrument(counts)
        for _ in range(100):
            await peers[0].send(b"x")
            while not one.chunks and not two.chunks:
                await trio.lowlevel.checkpoint()
            one.chunks.clear()
            two.chunks.clear()
        trio.lowlevel.remove_instrument(counts)
        assert counts.steps < 150
        for peer in peers:
            peer.discard()
