"""Whatever happens to connections, in any order: the numbers are right after each step."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.sansio.test_layers import Knock
from trioproto import Protocol, events
from trioproto.errors import ConnectionAborted, ConnectionClosed, ConnectionDone, IdleTimeout
from trioproto.factory import Factory
from trioproto.sansio.counts import KINDS, Counts, Tally
from trioproto.sansio.events import Event
from trioproto.sansio.lifecycle import State
from trioproto.testing import Harness


class Boom(Exception):
    """What user code raises."""


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        if data == b"boom":
            raise Boom
        self.transport.write(data)


class Odd(Factory[Any]):
    """Refuses or fails, as it is told."""

    def __init__(self) -> None:
        """Not the library's, which need not be called."""
        self.plan = ""

    def build_protocol(self, peer: Any) -> Protocol | None:
        if self.plan == "fail":
            raise Boom
        return None if self.plan == "refuse" else Echo()


class Numbers(RuleBasedStateMachine):
    """Some connections of one factory, and what a test knows of them."""

    def __init__(self) -> None:
        super().__init__()
        self.factory = Odd()
        self.factory.configure(callback_errors="raise")
        self.accepted = 0
        self.refused = 0
        self.failed = 0
        self.fed = 0
        self.taken = 0
        self.harnesses: list[Harness[Any]] = []
        self.at_eof: list[Harness[Any]] = []
        self.heard: list[Event] = []
        self.factory.subscribe(self.heard.append)

    @rule(plan=st.sampled_from(["", "knock", "refuse", "fail"]))
    def connect(self, plan: str) -> None:
        self.factory.plan = plan
        self.accepted += 1
        layers = [Knock()] if plan == "knock" else ()
        harness: Harness[Any] = Harness(self.factory, layers=layers)
        try:
            harness.connect()
        except ConnectionRefusedError:
            self.refused += 1
        except Boom:
            self.failed += 1
        else:
            self.harnesses.append(harness)

    def pick(self, number: int) -> Harness[Any] | None:
        live = [each for each in self.harnesses if not each.lost]
        return live[number % len(live)] if live else None

    @rule(number=st.integers(0, 9), data=st.sampled_from([b"!", b"?", b"!data", b"data", b"boom"]))
    def feed(self, number: int, data: bytes) -> None:
        harness = self.pick(number)
        if harness is not None and harness.reading:
            self.fed += len(data)
            with suppress(Boom):
                harness.feed(data)

    @rule(
        number=st.integers(0, 9),
        how=st.sampled_from(["feed_eof", "reset", "cancel", "drain", "close", "abort"]),
    )
    def end(self, number: int, how: str) -> None:
        harness = self.pick(number)
        if harness is None or (how == "feed_eof" and harness in self.at_eof):
            return
        if how == "feed_eof":
            self.at_eof.append(harness)
        getattr(harness if hasattr(harness, how) else harness.transport, how)()

    @rule(number=st.integers(0, 9), seconds=st.sampled_from([1, 11, 61]))
    def wait(self, number: int, seconds: int) -> None:
        harness = self.pick(number)
        if harness is not None:
            harness.advance(seconds)

    @rule(number=st.integers(0, 9))
    def stall(self, number: int) -> None:
        harness = self.pick(number)
        if harness is not None:
            harness.window = 3

    @rule(number=st.integers(0, 9))
    def take_over(self, number: int) -> None:
        harness = self.pick(number)
        if harness is not None and harness.transport.state is State.OPEN:
            harness.transport.switch_protocol(Echo())

    @invariant()
    def the_numbers_are_right(self) -> None:
        now = self.factory.statistics()
        live = [each for each in self.harnesses if not each.lost]
        opened = [each for each in live if each.transport.made]  # type: ignore[attr-defined]
        assert now.accepted == self.accepted
        assert now.open == len(opened) == len(self.factory.connections)
        assert now.opening == len(live) - len(opened)
        reasons = Counter(type(each.reason).__name__ for each in self.harnesses if each.lost)
        reasons.update({"ConnectionDone": self.refused, "CallbackError": self.failed})
        assert dict(now.closed) == dict(+reasons)
        assert now.refused == ({"protocol": self.refused} if self.refused else {})
        assert now.accepted == now.opening + now.open + sum(now.closed.values())

    @invariant()
    def every_byte_is_counted(self) -> None:
        now = self.factory.statistics()
        self.taken += sum(len(each.take()) for each in self.harnesses)
        assert now.bytes_received == self.fed
        assert now.bytes_sent == self.taken
        assert now.buffered == sum(
            each.transport.buffered for each in self.harnesses if not each.lost
        )

    @invariant()
    def each_live_connection_is_described(self) -> None:
        described = self.factory.connection_info()
        live = [each.transport for each in self.harnesses if not each.lost]
        assert Counter(info.state for info in described) == Counter(
            each.state.name.lower() for each in live
        )
        assert sum(info.buffered for info in described) == self.factory.statistics().buffered

    @invariant()
    def the_events_tell_the_same(self) -> None:
        now = self.factory.statistics()
        count = Counter(type(event) for event in self.heard)
        assert count[events.Accepted] == now.accepted
        assert count[events.Opened] == now.opened
        assert count[events.Closed] == sum(now.closed.values())
        closed = [event for event in self.heard if isinstance(event, events.Closed)]
        assert Counter(type(event.reason).__name__ for event in closed) == Counter(now.closed)
        assert sum(event.opened for event in closed) == now.opened - now.open
        each_once = {id(event.transport) for event in closed if event.transport is not None}
        assert len(each_once) == len(closed) - self.refused - self.failed

    def teardown(self) -> None:
        """When all have ended, nothing is left."""
        for harness in self.harnesses:
            if not harness.lost:
                harness.cancel()
        now = self.factory.statistics()
        assert now.open == now.opening == now.buffered == 0
        assert self.factory.connection_info() == ()
        assert now.accepted == sum(now.closed.values())


TestNumbers = Numbers.TestCase


class Mine(ConnectionClosed):
    """A reason of a user's."""


def test_a_users_own_reason_is_counted_by_its_name() -> None:
    factory = Factory(Protocol)
    harness = Harness(factory)
    harness.connect()
    harness.transport.abort(Mine())
    assert factory.statistics().closed == {"Mine": 1}


def test_names_that_users_make_up_are_counted_apart_up_to_a_limit() -> None:
    tally = Tally()
    for number in range(KINDS + 5):
        tally.add(f"name {number}")
    tally.add("name 0")
    assert len(tally) == KINDS + 1
    assert tally["name 0"] == 2
    assert tally[f"name {KINDS - 1}"] == 1
    assert tally["other"] == 5


def test_ended_connections_add_up_with_the_live_ones() -> None:
    counts = Counts()
    counts.accepted = 3
    counts.end(ConnectionDone(), 10, 20)
    counts.end(ConnectionAborted(), 1, 2)
    now = counts.statistics(open=1, received=100, sent=200, buffered=7)
    assert (now.bytes_received, now.bytes_sent, now.buffered) == (111, 222, 7)
    assert (now.accepted, now.opening, now.open) == (3, 0, 1)
    assert now.closed == {"ConnectionDone": 1, "ConnectionAborted": 1}


def test_statistics_do_not_change_afterwards() -> None:
    factory = Factory(Protocol)
    harness = Harness(factory)
    harness.connect()
    before = factory.statistics()
    harness.advance(100)
    assert isinstance(harness.reason, IdleTimeout)
    assert before.closed == {}
    assert factory.statistics().closed == {"IdleTimeout": 1}


def test_a_connection_is_described_as_it_is() -> None:
    factory = Factory(Echo)
    harness = Harness(factory, window=3)
    harness.connect()
    harness.advance(5)
    harness.feed(b"data")
    harness.advance(2)
    (info,) = factory.connection_info()
    assert info.peer == harness.transport.peer
    assert info.local == harness.transport.local
    assert info.protocol == f"{__name__}.Echo"
    assert (info.state, info.draining) == ("open", False)
    assert (info.age, info.idle_for) == (7, 2)
    assert (info.bytes_received, info.bytes_sent, info.buffered) == (4, 3, 1)
    assert info.tls is None
    harness.drain()
    (info,) = factory.connection_info()
    assert (info.state, info.draining) == ("flushing", True)
    harness.reset()
    assert factory.connection_info() == ()
