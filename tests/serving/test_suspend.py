"""``suspend`` and ``resume``: for a time nobody is let in, whatever the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import OverTLS, SocketPeer
from tests.endpoints.sockets import dial_unix
from tests.serving.conversations import LOOPBACK, Greeter, Holds, dial, listens, outcome, settle
from tests.serving.test_listeners import memory_pair, offer, refuses
from tests.tls.over_wire import Speaker
from trioproto import Factory, Server, open_server
from trioproto.events import (
    Accepted,
    Event,
    LimitReached,
    ListenerStarted,
    Refused,
    Resumed,
    Suspended,
)
from trioproto.testing import MemoryListener
from trioproto.testing.conformance.peer import Peer

MODES: dict[str, dict[str, Any]] = {
    "wait": {},
    "wait at most": {"refuse_after": 2, "refusal": b"too many"},
    "refuse": {"at_limit": "refuse"},
    "refuse with a message": {"at_limit": "refuse", "refusal": b"too many"},
    "no limit": {"max_connections": None},
    "one place": {"max_connections": 1},
}


class Ordered(Factory[Any]):
    """Notes in which order peers came in."""

    def __init__(self, protocol: Any = Greeter, **settings: Any) -> None:
        super().__init__(protocol, **settings)
        self.came: list[Any] = []

    def build_protocol(self, peer: Any) -> Any:
        self.came.append(peer)
        return super().build_protocol(peer)


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


async def heard(peer: Peer) -> bytes:
    await settle()
    return peer.take()


def port_of(peer: SocketPeer) -> int:
    return int(peer.raw.getsockname()[1])


# Waiting


@pytest.mark.parametrize("mode", MODES)
async def test_who_comes_meanwhile_waits_and_is_served_on_resume(
    autojump_clock: MockClock, mode: str
) -> None:
    """Nobody is refused for it, however long it takes."""
    factory = Ordered(**MODES[mode])
    events: list[Event] = []
    async with open_server(factory, LOOPBACK) as server:
        server.subscribe(events.append)
        server.suspend()
        peers = [dial(server.addresses[0]) for _ in range(3)]
        await trio.sleep(100)
        assert [await heard(peer) for peer in peers] == [b""] * 3
        assert factory.came == []
        assert server.statistics().accepted == 0
        server.resume()
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()
            await settle()
    kinds = [type(event) for event in events if not isinstance(event, ListenerStarted)]
    assert kinds[:2] == [Suspended, Resumed]
    assert kinds.count(Accepted) == 3
    assert Refused not in kinds


async def test_they_are_accepted_in_the_order_in_which_they_came() -> None:
    factory = Ordered(max_connections=1)
    async with open_server(factory, LOOPBACK) as server:
        server.suspend()
        peers = [dial(server.addresses[0]) for _ in range(5)]
        ports = [port_of(peer) for peer in peers]
        await settle()
        server.resume()
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()
        await settle()
        assert [each.port for each in factory.came] == ports


async def test_suspended_before_anybody_has_run(autojump_clock: MockClock) -> None:
    """As it is just after the opening; the queue is there already."""
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        server.suspend()
        await trio.sleep(1)
        assert await heard(peer) == b""
        server.resume()
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_all_listeners_are_suspended(autojump_clock: MockClock, folder: Path) -> None:
    unix, listener = f"unix:{folder / 'x'}", MemoryListener()
    async with open_server(Factory(Greeter), LOOPBACK, unix, listener) as server:
        await settle()
        server.suspend()
        peers = [dial(server.addresses[0]), dial_unix(folder / "x"), await offer(listener)]
        await trio.sleep(1)
        assert [await heard(each) for each in peers] == [b""] * 3
        server.resume()
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()


async def test_over_tls_a_hello_waits_and_is_answered_on_resume(
    autojump_clock: MockClock,
) -> None:
    async with open_server(Factory(Greeter), OverTLS(LOOPBACK)) as server:
        server.suspend()
        speaker = Speaker(dial(server.addresses[0]))
        await speaker.tell()
        await trio.sleep(50)
        server.resume()
        await speaker.shake()
        assert await speaker.receive_exactly(5) == b"hello"
        speaker.peer.discard()


async def test_who_is_connected_is_served_as_before(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        server.suspend()
        await peer.send(b"still here")
        assert await peer.receive_exactly(10) == b"still here"
        assert len(server.connections) == 1
        await peer.aclose()


async def test_it_goes_on_listening() -> None:
    """In contrast to a stop: the kernel says yes to whoever comes."""
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        server.suspend()
        await settle()
        assert listens(server.addresses[0])
        server.resume()


async def test_who_waits_for_a_place_already_waits_for_the_resume_too(
    autojump_clock: MockClock,
) -> None:
    """Accepting waited for a place when it was suspended, and one is free now."""
    async with open_server(Factory(Greeter, max_connections=1), LOOPBACK) as server:
        first, second = dial(server.addresses[0]), dial(server.addresses[0])
        assert await first.receive_exactly(5) == b"hello"
        await settle()
        server.suspend()
        await first.aclose()
        await trio.sleep(1)
        assert await heard(second) == b""
        server.resume()
        assert await second.receive_exactly(5) == b"hello"
        await second.aclose()


async def test_a_place_is_not_lost_over_a_suspension(autojump_clock: MockClock) -> None:
    """All of them are there afterwards, though an acceptor was waiting for one."""
    factory = Factory(Greeter, max_connections=2)
    async with open_server(factory, LOOPBACK, LOOPBACK) as server:
        one, two = server.addresses
        for _ in range(5):
            peers = [dial(one), dial(two)]
            for peer in peers:
                assert await peer.receive_exactly(5) == b"hello"
            late = [dial(one), dial(two)]
            await settle()
            server.suspend()
            for peer in (*peers, *late):
                await peer.aclose()
            await settle()
            server.resume()
            await settle()
    assert len(factory.connections) == 0


async def test_who_has_been_accepted_and_waits_is_refused_in_its_time(
    autojump_clock: MockClock,
) -> None:
    """In the mode in which peers wait accepted: its time goes on, though nobody is let in."""
    settings = {"max_connections": 1, "refuse_after": 5, "refusal": b"too many"}
    async with open_server(Factory(Greeter, **settings), LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await first.receive_exactly(5) == b"hello"
        second = dial(server.addresses[0])
        await settle()
        server.suspend()
        await first.aclose()
        assert await outcome(second) == (b"too many", "eof")
        assert 5 <= trio.current_time() < 6
        await second.aclose()
        server.resume()
        third = dial(server.addresses[0])
        assert await third.receive_exactly(5) == b"hello"
        await third.aclose()


# Again, and at other times


async def test_twice_is_once(autojump_clock: MockClock) -> None:
    events: list[Event] = []
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        server.subscribe(events.append)
        for _ in range(2):
            server.suspend()
        peer = dial(server.addresses[0])
        await trio.sleep(1)
        assert await heard(peer) == b""
        server.resume()
        assert await peer.receive_exactly(5) == b"hello"
        server.resume()
        await peer.aclose()
    names = [event.name for event in events if event.name.startswith("server.")]
    assert names == ["server.suspended", "server.resumed"]


async def test_again_and_again(autojump_clock: MockClock) -> None:
    events: list[Event] = []
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        server.subscribe(events.append)
        for _ in range(3):
            server.suspend()
            peer = dial(server.addresses[0])
            await trio.sleep(1)
            assert await heard(peer) == b""
            server.resume()
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()
    kinds = [type(event) for event in events if isinstance(event, Suspended | Resumed)]
    assert kinds == [Suspended, Resumed] * 3


async def test_resumed_and_suspended_in_one_go_lets_nobody_in(autojump_clock: MockClock) -> None:
    """Whoever was woken by the first looks again."""
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        server.suspend()
        peer = dial(server.addresses[0])
        await settle()
        server.resume()
        server.suspend()
        await trio.sleep(1)
        assert await heard(peer) == b""
        server.resume()
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_resuming_what_is_not_suspended_does_nothing() -> None:
    events: list[Event] = []
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        server.subscribe(events.append)
        server.resume()
        assert events == []


async def test_suspending_after_a_stop_does_nothing(autojump_clock: MockClock) -> None:
    events: list[Event] = []
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        await settle()
        server.subscribe(events.append)
        peer = dial(server.addresses[0])
        server.stop()
        server.suspend()
        assert await outcome(peer) == (b"hello", "eof")
        server.suspend()
        server.resume()
        await peer.aclose()
        await server.wait_closed()
        server.suspend()
        server.resume()
    server.suspend()
    server.resume()
    assert not [each for each in events if isinstance(each, Suspended | Resumed)]


async def test_suspending_after_a_cancellation_does_nothing() -> None:
    events: list[Event] = []
    servers: list[Server[Any]] = []
    with trio.CancelScope() as scope:
        async with open_server(Factory(Greeter), LOOPBACK) as server:
            servers.append(server)
            server.subscribe(events.append)
            scope.cancel()
    servers[0].suspend()
    servers[0].resume()
    assert not [each for each in events if isinstance(each, Suspended | Resumed)]


async def test_the_next_server_of_a_factory_is_not_suspended() -> None:
    factory = Factory(Greeter)
    async with open_server(factory, LOOPBACK) as server:
        server.suspend()
    async with open_server(factory, LOOPBACK) as server:
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_a_callback_may_suspend_its_server(autojump_clock: MockClock) -> None:
    """Who comes in the same burst waits."""

    class Last(Greeter):
        def connection_made(self) -> None:
            super().connection_made()
            self.factory.server.suspend()

    async with open_server(Factory(Last), LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await first.receive_exactly(5) == b"hello"
        second = dial(server.addresses[0])
        await trio.sleep(1)
        assert await heard(second) == b""
        server.resume()
        assert await second.receive_exactly(5) == b"hello"
        await first.aclose()
        await second.aclose()


async def test_a_subscriber_may_suspend_and_resume(autojump_clock: MockClock) -> None:
    """At most so many at once, by hand."""
    factory = Ordered(Greeter)
    most = 0
    async with open_server(factory, LOOPBACK) as server:

        def gate(event: Event) -> None:
            nonlocal most
            most = max(most, len(server.connections))
            if len(server.connections) >= 2:
                server.suspend()
            else:
                server.resume()

        server.subscribe(gate)
        await settle()
        peers = [dial(server.addresses[0]) for _ in range(2)]
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
        late = dial(server.addresses[0])
        await settle()
        assert late.take() == b""
        await peers[0].aclose()
        assert await late.receive_exactly(5) == b"hello"
        assert most == 2
        await late.aclose()
        server.stop()


# Ready-made listeners, and handle


async def test_over_a_ready_made_listener_at_most_one_stream_waits(
    autojump_clock: MockClock,
) -> None:
    """Accepted, but unread and unbuilt."""
    listener = MemoryListener()
    factory = Ordered()
    async with open_server(factory, listener) as server:
        server.suspend()
        peers = [await offer(listener) for _ in range(3)]
        for peer in peers:
            await peer.send(b"unread")
        await trio.sleep(100)
        assert listener.backlog >= 2
        assert factory.came == []
        assert [peer.ours.unread_by_peer for peer in peers] == [len(b"unread")] * 3
        server.resume()
        for peer in peers:
            assert await peer.receive_exactly(11) == b"hellounread"
            await peer.aclose()


@pytest.mark.parametrize("mode", MODES)
async def test_a_stream_that_is_handled_waits_as_well(autojump_clock: MockClock, mode: str) -> None:
    factory = Ordered(**MODES[mode])
    async with open_server(factory, LOOPBACK) as server, trio.open_nursery() as nursery:
        server.suspend()
        peer, stream = memory_pair()
        nursery.start_soon(factory.handle, stream)
        await trio.sleep(100)
        assert factory.came == []
        assert await heard(peer) == b""
        server.resume()
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_a_stream_that_is_handled_and_waits_is_closed_by_a_stop(
    autojump_clock: MockClock,
) -> None:
    factory = Ordered()
    async with trio.open_nursery() as nursery:
        async with open_server(factory, LOOPBACK) as server:
            server.suspend()
            peer, stream = memory_pair()
            nursery.start_soon(factory.handle, stream)
            await settle()
        assert (await peer.receive_all())[0] in (b"", b"hello")
    assert stream.closed
    assert trio.current_time() < 4


async def test_a_stream_that_is_handled_and_waits_is_closed_if_its_task_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    factory = Ordered(max_connections=1)
    async with open_server(factory, LOOPBACK) as server:
        server.suspend()
        _, stream = memory_pair()
        with trio.move_on_after(1):
            await factory.handle(stream)
        assert stream.closed
        server.resume()
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


# Ending while suspended


async def test_a_suspended_server_drains_who_is_there_and_who_waits(
    autojump_clock: MockClock,
) -> None:
    events: list[Event] = []
    async with open_server(Factory(Holds), LOOPBACK) as server:
        here = dial(server.addresses[0])
        await here.receive_exactly(5)
        server.suspend()
        waits = dial(server.addresses[0])
        await settle()
        server.subscribe(events.append)
        report = await server.drain(grace=3, force=3)
        assert await outcome(here) == (b"draining", "eof")
        assert await outcome(waits) == (b"hellodraining", "eof")
        here.discard()
        waits.discard()
    assert len(report.connections) == 2
    assert trio.current_time() < 6.5
    assert Suspended not in map(type, events)


async def test_a_suspended_server_with_a_ready_made_listener_ends(
    autojump_clock: MockClock,
) -> None:
    """The one stream that was accepted is served; the rest was the listener's."""
    listener = MemoryListener()
    async with open_server(Factory(Greeter), listener) as server:
        server.suspend()
        peers = [await offer(listener) for _ in range(2)]
        await settle()
        server.stop()
        assert await peers[0].receive_all() == (b"hello", "eof")
    assert await refuses(listener)
    assert trio.current_time() < 4


async def test_cancelling_a_suspended_server_ends_it_at_once(autojump_clock: MockClock) -> None:
    factory = Ordered()
    listener = MemoryListener()
    memory = await offer(listener)
    peers: list[SocketPeer] = []
    with trio.CancelScope() as scope:
        async with open_server(factory, LOOPBACK, listener) as server:
            server.suspend()
            peers.append(dial(server.addresses[0]))
            await settle()
            scope.cancel()
            await trio.sleep_forever()
    assert factory.came == []
    assert await outcome(peers[0]) == (b"", "reset")
    assert (await memory.receive_all())[0] == b""
    assert trio.current_time() == 0


async def test_no_limit_is_said_to_be_reached_by_a_suspension(autojump_clock: MockClock) -> None:
    events: list[Event] = []
    async with open_server(Factory(Greeter, max_connections=5), LOOPBACK) as server:
        server.subscribe(events.append)
        server.suspend()
        peer = dial(server.addresses[0])
        await trio.sleep(1)
        server.resume()
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()
    assert LimitReached not in map(type, events)


async def test_suspend_then_wait_until_few_are_left_then_stop(autojump_clock: MockClock) -> None:
    """What it is for."""
    async with open_server(Factory(Greeter, idle_timeout=10), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(3)]
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
        server.suspend()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave_one_by_one, peers, server)
            await server.wait_connections("<=", 1)
            assert len(server.connections) == 1
            assert trio.current_time() == 2
            await server.wait_connections("==", 0)
            assert trio.current_time() == 3


async def leave_one_by_one(peers: list[SocketPeer], server: Server[Any]) -> None:
    for peer in peers:
        await trio.sleep(1)
        await peer.aclose()


async def test_a_full_suspended_server_with_a_ready_made_listener_takes_in_no_more(
    autojump_clock: MockClock,
) -> None:
    """The stream that has been accepted finds no place when the server is stopped."""
    listener = MemoryListener()
    factory = Ordered(Holds, max_connections=1)
    async with open_server(factory, listener) as server:
        here = await offer(listener)
        assert await here.receive_exactly(5) == b"hello"
        server.suspend()
        late = await offer(listener)
        await settle()
        server.stop()
        assert (await late.receive_all())[0] == b""
        assert await here.receive_exactly(8) == b"draining"
        assert len(factory.came) == 1
        await here.aclose()
