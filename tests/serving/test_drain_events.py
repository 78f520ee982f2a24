"""What a drain tells those who have subscribed."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from tests.behaviour.drivers import MORE_THAN_FITS, small_listener
from tests.serving.conversations import LOOPBACK, Greeter, Holds, dial, settle
from tests.serving.test_drain_reports import Stubborn
from trioproto import Factory, Server, open_server
from trioproto.events import DrainFinished, DrainProgress, DrainStarted, Event


async def told(server: Server[Any], grace: float, force: float) -> list[Event]:
    """The news of a drain."""
    events: list[Event] = []
    kinds = (DrainStarted, DrainProgress, DrainFinished)
    with server.subscribe(lambda event: events.append(event) if type(event) in kinds else None):
        await server.drain(grace=grace, force=force)
    return events


async def test_a_drain_of_nobody_is_told_of(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        assert await told(server, 7, 3) == [
            DrainStarted(connections=0, grace=7, force=3),
            DrainFinished(finished=0, cancelled=0, aborted=0, seconds=0),
        ]


async def test_its_phases_are_told_with_those_who_are_left(autojump_clock: MockClock) -> None:
    class Deaf(Greeter):
        def data_received(self, data: bytes) -> Any:
            self.transport.write(bytes(2 * MORE_THAN_FITS))

    protocols = iter([Greeter(), Holds(), Holds(), Stubborn(), Deaf()])
    factory = Factory(lambda: next(protocols), write_timeout=None)
    async with open_server(factory, small_listener()) as server:
        peers = []
        for _ in range(5):
            peers.append(dial(server.addresses[0]))
            assert await peers[-1].receive_exactly(5) == b"hello"
        await peers[-1].send(b"go")
        await settle()
        before = server.statistics().drained
        events = await told(server, 7, 3)
        drained = server.statistics().drained
        for peer in peers:
            peer.discard()
    assert events == [
        DrainStarted(connections=5, grace=7, force=3),
        DrainProgress(phase="cancel", connections=4),
        DrainProgress(phase="abort", connections=1),
        DrainFinished(finished=3, cancelled=1, aborted=1, seconds=10),
    ]
    assert dict(before) == {}
    assert dict(drained) == {"finished": 3, "cancelled": 1, "aborted": 1}


async def test_a_phase_that_nobody_is_left_for_is_not_told(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Stubborn), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        assert await told(server, 2, 1) == [
            DrainStarted(connections=1, grace=2, force=1),
            DrainProgress(phase="cancel", connections=1),
            DrainFinished(finished=0, cancelled=1, aborted=0, seconds=2),
        ]
        peer.discard()


async def test_the_grace_that_is_told_is_that_of_the_settings(autojump_clock: MockClock) -> None:
    events: list[Event] = []
    factory = Factory(Greeter, drain_grace=4, drain_force=2)
    async with open_server(factory, LOOPBACK) as server:
        server.subscribe(events.append)
        server.stop()
        await server.wait_closed()
    assert DrainStarted(connections=0, grace=4, force=2) in events


async def test_a_cancelled_drain_is_not_told_to_have_finished(autojump_clock: MockClock) -> None:
    events: list[Event] = []
    factory = Factory(Holds)
    with trio.CancelScope() as scope:
        async with open_server(factory, LOOPBACK) as server:
            peer = dial(server.addresses[0])
            assert await peer.receive_exactly(5) == b"hello"
            server.subscribe(events.append)
            server.stop()
            await settle()
            scope.cancel()
            await trio.sleep_forever()
    names = [event.name for event in events]
    assert "drain.started" in names
    assert "drain.finished" not in names
    assert dict(factory.statistics().drained) == {}


async def test_a_scope_that_was_entered_by_hand_tells_the_same(
    autojump_clock: MockClock,
) -> None:
    events: list[Event] = []
    factory = Factory(Greeter, drain_grace=4, drain_force=2)
    async with factory:
        factory.subscribe(events.append)
    assert events == [
        DrainStarted(connections=0, grace=4, force=2),
        DrainFinished(finished=0, cancelled=0, aborted=0, seconds=0),
    ]
