"""What a server tells besides what happens to each connection."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from tests.serving.conversations import LOOPBACK, Greeter, dial, settle
from trioproto import Factory, events, open_server
from trioproto.sansio.events import Event


def names(heard: list[Event]) -> list[str]:
    return [event.name for event in heard]


async def test_listeners_are_told_of_when_they_start_and_when_they_stop() -> None:
    heard: list[Event] = []
    factory = Factory(Greeter)
    factory.subscribe(heard.append)
    async with open_server(factory, LOOPBACK, LOOPBACK) as server:
        await settle()
        started = [event for event in heard if isinstance(event, events.ListenerStarted)]
        assert [event.address for event in started] == list(server.addresses)
        assert {event.endpoint for event in started} == {LOOPBACK}
    stopped = [event for event in heard if isinstance(event, events.ListenerStopped)]
    assert [event.address for event in stopped] == list(server.addresses)


async def test_a_listener_starts_before_its_first_connection_and_stops_in_a_drain() -> None:
    heard: list[Event] = []
    factory = Factory(Greeter, slow_callback=None)
    factory.subscribe(heard.append)
    async with open_server(factory, LOOPBACK) as server:
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()
    life = [name for name in names(heard) if not name.startswith("drain.")]
    assert life[:3] == ["listener.started", "connection.accepted", "connection.opened"]
    assert sorted(life[3:]) == ["connection.closed", "listener.stopped"]


async def test_a_server_that_is_cancelled_tells_of_its_listeners_end() -> None:
    heard: list[Event] = []
    factory = Factory(Greeter)
    factory.subscribe(heard.append)
    with trio.CancelScope() as scope:
        async with open_server(factory, LOOPBACK):
            await settle()
            scope.cancel()
            await trio.sleep_forever()
    assert names(heard) == ["listener.started", "listener.stopped"]


async def test_a_subscription_by_the_server_is_one_to_its_factory() -> None:
    heard: list[Event] = []
    async with open_server(Factory(Greeter, slow_callback=None), LOOPBACK) as server:
        await settle()
        with server.subscribe(heard.append):
            peer = dial(server.addresses[0])
            assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()
        await settle()
    assert names(heard) == ["connection.accepted", "connection.opened"]


async def test_a_factory_with_methods_of_the_same_names_is_watched_by_its_server() -> None:
    class Chats(Factory[Any]):
        protocol = Greeter

        def subscribe(self, *topics: str) -> str:  # type: ignore[override]
            return "mine"

        def statistics(self) -> str:  # type: ignore[override]
            return "mine"

        def connection_info(self) -> str:  # type: ignore[override]
            return "mine"

    heard: list[Event] = []
    async with open_server(Chats(), LOOPBACK) as server:
        server.subscribe(heard.append)
        await settle()
        assert names(heard) == ["listener.started"]
        assert server.statistics().open == 0
        assert server.connection_info() == ()


async def test_a_limit_that_keeps_somebody_waiting_is_told_of_once_in_a_while(
    autojump_clock: MockClock,
) -> None:
    heard: list[Event] = []
    factory = Factory(Greeter, max_connections=2, soft_limit=2, idle_timeout=None)
    factory.subscribe(lambda event: heard.append(event) if "limit" in event.name else None)
    async with open_server(factory, LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(4)]
        await trio.sleep(1)
        assert sorted(names(heard)) == ["limit.neared", "limit.reached"]
        for event in heard:
            if isinstance(event, events.LimitReached):
                assert (event.limit, event.maximum) == ("max_connections", 2)
            if isinstance(event, events.LimitNeared):
                assert (event.limit, event.count, event.threshold) == ("soft_limit", 2, 2)
        assert server.statistics().limits == {"max_connections": 1}
        for peer in peers:
            await peer.aclose()
            await settle()
