"""What subscribers hear of a connection, over each driver.

The rule: docs/monitoring.md, Events.
"""

from __future__ import annotations

import logging
from typing import Any

from trioproto.runtime.factory import Factory
from trioproto.sansio import events
from trioproto.sansio.errors import ConnectionClosed, ServerCancelled
from trioproto.sansio.events import Event
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Serving


class Diary:
    """Notes what subscribers and protocols hear, in one order."""

    def __init__(self, *, ends: str = "") -> None:
        self.notes: list[str] = []
        self.events: list[Event] = []
        self.ends = ends

    def hear(self, event: Event) -> None:
        if not event.name.startswith("connection."):
            return
        self.events.append(event)
        self.notes.append(event.name)
        if isinstance(event, events.Opened) and self.ends:
            getattr(event.transport, self.ends)()

    def factory(self, **acts: Any) -> Factory[Any]:
        def build() -> Recorder:
            return Recorder(
                connection_made=lambda _: self.notes.append("connection_made"),
                data_received=lambda self: self.transport.write(self.chunks[-1] * 2),
                connection_lost=lambda _: self.notes.append("connection_lost"),
                **acts,
            )

        factory: Factory[Any] = Factory(build)
        factory.subscribe(self.hear)
        return factory

    @property
    def closed(self) -> events.Closed:
        (closed,) = [event for event in self.events if isinstance(event, events.Closed)]
        return closed


LIFE = [
    "connection.accepted",
    "connection.opened",
    "connection_made",
    "connection.closed",
    "connection_lost",
]


async def test_events_come_before_the_callbacks_that_they_tell_of(serving: Serving) -> None:
    diary = Diary()
    async with serving(diary.factory()) as service:
        peer = await service.connect()
        await peer.send(b"abc")
        assert await peer.receive_exactly(6) == b"abcabc"
        assert diary.notes == LIFE[:3]
        assert service.factory.statistics().open == 1
        await peer.leave()
        assert diary.notes == LIFE
        assert service.factory.statistics().open == 0
    assert diary.closed.opened


@lacks(Feature.ENCRYPTS)
async def test_the_end_tells_the_reason_and_every_byte(serving: Serving) -> None:
    diary = Diary()
    async with serving(diary.factory()) as service:
        peer = await service.connect()
        for size in (1, 1000, 100_000):
            await peer.send(b"x" * size)
            await peer.receive_exactly(2 * size)
        await peer.settle()
        (info,) = service.factory.connection_info()
        assert (info.bytes_received, info.bytes_sent) == (101_001, 202_002)
        await peer.leave()
    closed = diary.closed
    assert (closed.bytes_received, closed.bytes_sent) == (101_001, 202_002)
    assert type(closed.reason).__name__ == "ConnectionDone"
    now = service.factory.statistics()
    assert (now.bytes_received, now.bytes_sent) == (101_001, 202_002)
    assert now.closed == {"ConnectionDone": 1}


async def test_who_aborts_a_connection_when_it_opens_spares_the_protocol(serving: Serving) -> None:
    diary = Diary(ends="abort")
    async with serving(diary.factory()) as service:
        await service.connect()
        await service.settle()
        assert diary.notes == ["connection.accepted", "connection.opened", "connection.closed"]
        assert service.factory.statistics().closed == {"ConnectionAborted": 1}
        assert service.factory.connection_info() == ()


async def test_who_closes_a_connection_when_it_opens_spares_the_protocol(serving: Serving) -> None:
    diary = Diary(ends="close")
    async with serving(diary.factory()) as service:
        peer = await service.connect()
        await peer.leave()
        assert "connection_made" not in diary.notes
        assert diary.notes[-1] == "connection.closed"
        assert service.factory.statistics().closed == {"ConnectionDone": 1}


@needs(Feature.ASYNC_CODE)
async def test_a_cancelled_server_tells_of_each_end(serving: Serving) -> None:
    diary = Diary()
    async with serving(diary.factory()) as service:
        await service.connect()
        service.cancel()
        await service.settle()
        assert diary.notes == LIFE
    assert isinstance(diary.closed.reason, ServerCancelled)
    assert service.factory.statistics().closed == {"ServerCancelled": 1}


async def test_a_peer_that_no_protocol_is_built_for_is_refused(serving: Serving) -> None:
    class Refuses(Factory[Any]):
        def build_protocol(self, peer: Any) -> None:
            return None

    diary = Diary()
    factory = Refuses()
    factory.subscribe(diary.hear)
    async with serving(factory) as service:
        await service.connect()
        await service.settle()
        assert diary.notes == ["connection.accepted", "connection.refused", "connection.closed"]
    assert not diary.closed.opened
    now = factory.statistics()
    assert (now.accepted, now.opening, now.open, now.opened) == (1, 0, 0, 0)
    assert now.refused == {"protocol": 1}
    assert now.closed == {"ConnectionDone": 1}


async def test_a_factory_that_cannot_build_is_told_of(
    serving: Serving, logged_errors: list[logging.LogRecord]
) -> None:
    class Fails(Factory[Any]):
        def build_protocol(self, peer: Any) -> None:
            raise LookupError

    diary = Diary()
    factory = Fails()
    factory.subscribe(diary.hear)
    async with serving(factory) as service:
        await service.connect()
        await service.settle()
        assert diary.notes == ["connection.accepted", "connection.error", "connection.closed"]
    now = factory.statistics()
    assert now.errors == {"LookupError": 1}
    assert now.closed == {"CallbackError": 1}
    assert now.accepted == 1
    assert now.opening == 0


@needs(Feature.SERVER)
async def test_interrupts_of_subscribers_end_the_server_after_the_callbacks(
    serving: Serving,
) -> None:
    diary = Diary()
    factory = diary.factory()

    def interrupt(event: Event) -> None:
        if isinstance(event, events.Closed):
            raise SystemExit(3)

    factory.subscribe(interrupt)
    async with serving(factory) as service:
        peer = await service.connect()
        await peer.aclose()
        failure = await service.failure()
        assert isinstance(failure, SystemExit)
        assert diary.notes == LIFE


class Odd(ConnectionClosed):
    """A reason of a user's."""


async def test_a_users_own_reason_is_told(serving: Serving) -> None:
    diary = Diary()
    async with serving(diary.factory()) as service:
        peer = await service.connect()
        (protocol,) = service.factory.connections
        service.do(lambda: protocol.transport.abort(Odd()))
        await service.settle()
        assert isinstance(diary.closed.reason, Odd)
        assert service.factory.statistics().closed == {"Odd": 1}
        await peer.aclose()
