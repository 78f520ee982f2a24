"""Who subscribes to events hears of each, once, in order, and harms nobody."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from trioproto import Protocol, TCPAddress, UnknownAddress, events
from trioproto.errors import ConnectionClosed, ConnectionDone
from trioproto.factory import Factory
from trioproto.sansio.events import Event
from trioproto.testing import Harness

PEER = TCPAddress("192.0.2.1", 4711)


def names(heard: list[Event]) -> list[str]:
    return [event.name for event in heard]


def connected(factory: Factory[Any]) -> Harness[Any]:
    harness = Harness(factory, peer=PEER)
    harness.connect()
    return harness


def suspend(factory: Factory[Any]) -> None:
    """Something that is told of, and needs no connection."""
    factory._monitor.suspended()


def test_each_connection_is_told_of_from_its_beginning_to_its_end() -> None:
    heard: list[Event] = []
    factory = Factory(Protocol)
    factory.subscribe(heard.append)
    harness = connected(factory)
    transport = harness.transport
    harness.feed(b"four")
    transport.write(b"seven b")
    harness.advance(3)
    harness.feed_eof()
    local = UnknownAddress("harness")
    name = "trioproto.sansio.protocol.Protocol"
    assert transport.reason is not None
    assert heard == [
        events.Accepted(peer=PEER, local=local),
        events.Opened(peer=PEER, local=local, protocol=name, seconds=0, transport=transport),
        events.Closed(
            peer=PEER,
            local=local,
            protocol=name,
            reason=transport.reason,
            opened=True,
            seconds=3,
            bytes_received=4,
            bytes_sent=7,
            transport=transport,
        ),
    ]


def test_any_number_may_subscribe_and_the_same_one_twice_is_called_twice() -> None:
    first: list[Event] = []
    second: list[Event] = []
    factory = Factory(Protocol)
    for heard in (first, second, first):
        factory.subscribe(heard.append)
    suspend(factory)
    assert names(first) == ["server.suspended"] * 2
    assert names(second) == ["server.suspended"]


def test_a_cancelled_subscription_hears_nothing_more() -> None:
    heard: list[Event] = []
    factory = Factory(Protocol)
    kept = factory.subscribe(heard.append)
    cancelled = factory.subscribe(heard.append)
    assert cancelled.active
    cancelled.cancel()
    cancelled.cancel()
    assert not cancelled.active
    assert kept.active
    suspend(factory)
    assert len(heard) == 1


def test_a_subscription_may_be_for_a_block() -> None:
    heard: list[Event] = []
    factory = Factory(Protocol)
    with factory.subscribe(heard.append) as subscription:
        suspend(factory)
    suspend(factory)
    assert len(heard) == 1
    assert not subscription.active


def test_who_subscribes_while_an_event_is_told_hears_of_the_next() -> None:
    heard: list[str] = []
    factory = Factory(Protocol)

    def subscribe_another(event: Event) -> None:
        factory.subscribe(lambda event: heard.append(event.name))

    with factory.subscribe(subscribe_another):
        suspend(factory)
    assert heard == []
    factory._monitor.resumed()
    assert heard == ["server.resumed"]


def test_who_is_cancelled_while_an_event_is_told_does_not_hear_of_it() -> None:
    heard: list[Event] = []
    factory = Factory(Protocol)
    factory.subscribe(lambda event: later.cancel())
    later = factory.subscribe(heard.append)
    suspend(factory)
    assert heard == []


def test_what_a_subscriber_causes_is_told_after_all_have_heard_of_what_came_before() -> None:
    told: list[tuple[str, str]] = []
    factory = Factory(Protocol)

    def resume(event: Event) -> None:
        told.append(("first", event.name))
        if event.name == "server.suspended":
            factory._monitor.resumed()
            told.append(("first", "returns"))

    factory.subscribe(resume)
    factory.subscribe(lambda event: told.append(("second", event.name)))
    suspend(factory)
    assert told == [
        ("first", "server.suspended"),
        ("first", "returns"),
        ("second", "server.suspended"),
        ("first", "server.resumed"),
        ("second", "server.resumed"),
    ]


def test_a_subscriber_that_raises_is_logged_and_harms_nobody(
    logged_errors: list[logging.LogRecord],
) -> None:
    heard: list[Event] = []

    def fails(event: Event) -> None:
        raise LookupError(event.name)

    factory = Factory(Protocol)
    factory.subscribe(fails)
    factory.subscribe(heard.append)
    harness = connected(factory)
    harness.feed_eof()
    assert isinstance(harness.reason, ConnectionDone)
    assert names(heard) == ["connection.accepted", "connection.opened", "connection.closed"]
    assert len(logged_errors) == 3
    assert "error in the subscriber" in logged_errors[0].getMessage()
    assert "fails" in logged_errors[0].getMessage()


def test_a_subscriber_that_always_raises_does_not_fill_the_log(
    logged_errors: list[logging.LogRecord],
) -> None:
    factory = Factory(Protocol)
    factory.subscribe(lambda event: 1 / 0)
    for _ in range(1000):
        suspend(factory)
    assert len(logged_errors) == 10


def test_the_errors_of_subscribers_are_not_counted_as_those_of_connections(
    logged_errors: list[logging.LogRecord],
) -> None:
    factory = Factory(Protocol)
    factory.subscribe(lambda event: 1 / 0)
    suspend(factory)
    assert len(logged_errors) == 1
    assert factory.statistics().errors == {}


def test_an_async_subscriber_is_an_error(logged_errors: list[logging.LogRecord]) -> None:
    async def waits(event: Event) -> None:
        raise AssertionError

    factory = Factory(Protocol)
    factory.subscribe(waits)
    suspend(factory)
    assert logged_errors[0].exc_info is not None
    assert "plain function" in str(logged_errors[0].exc_info[1])


def test_what_cannot_be_called_cannot_subscribe() -> None:
    with pytest.raises(TypeError, match="called with each event"):
        Factory(Protocol).subscribe("me")  # type: ignore[arg-type]


class Notes(Protocol):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def connection_made(self) -> None:
        self.heard.append("connection_made")

    def connection_lost(self, reason: Any) -> None:
        self.heard.append(f"connection_lost: {type(reason).__name__}")


def on(name: str, act: Callable[[Any], object]) -> Callable[[Event], None]:
    def do(event: Event) -> None:
        if event.name == name:
            act(event)

    return do


def test_an_interrupt_in_a_subscriber_waits_for_the_end_of_the_connection() -> None:
    """It is never swallowed, and no callback is left out."""

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    factory = Factory(Notes)
    factory.subscribe(on("connection.closed", interrupt))
    harness = Harness(factory)
    protocol = harness.connect()
    with pytest.raises(KeyboardInterrupt):
        harness.feed_eof()
    assert protocol.heard == ["connection_made", "connection_lost: ConnectionDone"]
    assert harness.lost
    heard: list[Event] = []
    factory.subscribe(heard.append)
    suspend(factory)
    assert names(heard) == ["server.suspended"]


def test_an_interrupt_with_no_connection_comes_out_at_once() -> None:
    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    factory = Factory(Protocol)
    factory.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        suspend(factory)


@pytest.mark.parametrize("how", ["close", "abort"])
def test_the_protocol_of_a_connection_that_is_ended_when_it_opens_hears_nothing(how: str) -> None:
    factory = Factory(Notes)
    factory.subscribe(on("connection.opened", lambda event: getattr(event.transport, how)()))
    harness = Harness(factory)
    protocol = harness.connect()
    harness.feed(b"data")
    if not harness.lost:
        harness.feed_eof()
    assert harness.lost
    assert protocol.heard == []
    assert factory.statistics().opened == 1


def test_what_is_written_when_a_connection_opens_goes_before_the_protocols_own() -> None:
    class Greets(Protocol):
        def connection_made(self) -> None:
            self.transport.write(b"hello")

    factory = Factory(Greets)
    factory.subscribe(on("connection.opened", lambda event: event.transport.write(b"first ")))
    harness = Harness(factory)
    harness.connect()
    assert harness.take() == b"first hello"


def test_what_a_subscriber_does_to_another_connection_runs_in_that_ones_own_turn() -> None:
    running: list[str] = []

    class Watched(Notes):
        def connection_lost(self, reason: Any) -> None:
            assert running == []
            super().connection_lost(reason)

    factory = Factory(Watched)
    one = Harness(factory)
    other = Harness(factory)
    one.connect()
    other.connect()

    def end_the_other(event: Event) -> None:
        if other.transport.closing:
            return
        running.append(event.name)
        other.transport.abort()
        running.pop()

    factory.subscribe(on("connection.closed", end_the_other))
    one.reset()
    assert one.lost
    assert other.lost
    assert other.protocol.heard == ["connection_made", "connection_lost: ConnectionAborted"]


def test_an_error_in_user_code_is_told_of(logged_errors: list[logging.LogRecord]) -> None:
    class Fails(Protocol):
        def data_received(self, data: bytes) -> None:
            raise LookupError(data)

    heard: list[Event] = []
    factory = Factory(Fails)
    factory.subscribe(on("connection.error", heard.append))
    harness = Harness(factory, peer=PEER, callback_errors="log")
    harness.connect()
    harness.feed(b"x")
    (failed,) = heard
    assert isinstance(failed, events.Failed)
    assert failed.peer == PEER
    assert failed.where.endswith("Fails.data_received")
    assert isinstance(failed.error, LookupError)
    assert len(logged_errors) == 1
    assert factory.statistics().errors == {"LookupError": 1}


def events_made(work: Callable[[], object]) -> list[str]:
    """Do some work, and count the events that are put together meanwhile."""
    made: list[str] = []

    def look(frame: Any, what: str, _: object) -> None:
        if what == "call" and frame.f_code.co_name == "__init__":
            self = frame.f_locals.get("self")
            if isinstance(self, Event):
                made.append(type(self).__name__)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


def all_of_it(factory: Factory[Any]) -> None:
    """Have everything happen that is told of."""
    harness = connected(factory)
    harness.feed_eof()
    monitor = factory._monitor
    local = UnknownAddress("harness")
    reason = ConnectionDone()
    reason.__cause__ = LookupError()
    monitor.listener_started(local, "tcp:1")
    monitor.listener_stopped(local, "tcp:1")
    monitor.accepted(PEER, local)
    monitor.refused(PEER, local, "max_connections")
    monitor.never_begun(PEER, local, ConnectionClosed("two\nlines"))
    monitor.failed(PEER, reason)
    monitor.limit_neared("soft_limit", 8, 8)
    monitor.limit_reached("max_connections", 10)
    monitor.drain_started(1, 15, 5)
    monitor.drain_progress("grace", 1)
    monitor.drain_finished(1, 0, 0, 0.5)
    monitor.suspended()
    monitor.resumed()
    monitor.callback_slow("chat.Chat", PEER, 1.5)


def test_when_nobody_listens_no_event_is_made() -> None:
    factory = Factory(Protocol)
    assert events_made(lambda: all_of_it(factory)) == []
    with factory.subscribe(lambda event: None):
        made = events_made(lambda: all_of_it(factory))
    assert set(made) == {kind.__name__ for kind in events.EVENTS}
    assert events_made(lambda: all_of_it(factory)) == []


def test_every_event_has_a_name_of_its_own_and_a_sentence_that_says_who_it_was() -> None:
    heard: list[Event] = []
    factory = Factory(Protocol)
    factory.subscribe(heard.append)
    all_of_it(factory)
    assert {type(event) for event in heard} == set(events.EVENTS)
    assert len({kind.name for kind in events.EVENTS}) == len(events.EVENTS)
    for event in heard:
        text = str(event)
        assert not text.startswith(f"{type(event).__name__}(")  # which is its repr
        assert " " in text
        assert "\n" not in text
        assert "1 connections" not in text
        assert str(getattr(event, "peer", "")) in text
        for field in dataclasses.fields(event):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(event, field.name, None)
        assert not hasattr(event, "__dict__")
