"""The pure factory: what it builds, and its books.

Settings and the usual ways to give a protocol are covered with the serving
factory; here is what goes wrong, and what many connections share.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from trioproto import Protocol
from trioproto.errors import CallbackError, OutboundOverflow
from trioproto.factory import Factory
from trioproto.testing import Harness
from trioproto.testing.conformance.recorder import Recorder


def connected(factory: Factory[Any], window: int | None = None) -> Harness[Any]:
    harness = Harness(factory, window=window, callback_errors=factory.settings.callback_errors)
    harness.connect()
    return harness


# What makes a protocol


def plain_function() -> Protocol:
    return Recorder()


class Maker:
    def __call__(self) -> Protocol:
        return Recorder()

    def method(self) -> Protocol:
        return Recorder()


@pytest.mark.parametrize(
    "make",
    [Recorder, plain_function, partial(Recorder), Maker(), Maker().method],
    ids=["class", "function", "partial", "object", "method"],
)
@pytest.mark.parametrize("place", ["argument", "class attribute", "instance attribute"])
def test_a_protocol_may_be_made_by_any_callable_in_any_place(
    make: Callable[[], Protocol], place: str
) -> None:
    class Own(Factory[Any]):
        pass

    factory = Own(make) if place == "argument" else Own()
    if place == "class attribute":
        setattr(Own, "protocol", make)  # noqa: B010 - mypy takes no generic attribute
    if place == "instance attribute":
        factory.protocol = make
    assert type(Harness(factory).connect()) is Recorder


def test_a_static_method_of_the_factory_may_make_protocols() -> None:
    class Own(Factory[Any]):
        @staticmethod
        def protocol() -> Protocol:
            return Recorder()

    assert type(Harness(Own()).connect()) is Recorder


def test_the_instances_own_protocol_goes_before_the_class() -> None:
    class Own(Factory[Any]):
        protocol = Protocol

    factory = Own(Recorder)
    assert type(Harness(factory).connect()) is Recorder
    assert type(Harness(Own()).connect()) is Protocol


def test_a_factory_without_any_protocol_says_so() -> None:
    with pytest.raises(TypeError, match="Factory has neither protocol nor build_protocol"):
        Harness(Factory[Any]()).connect()


# What must not be built


class Builds(Factory[Any]):
    """Builds whatever it was made with."""

    def __init__(self, thing: Any) -> None:
        super().__init__()
        self.thing = thing

    def build_protocol(self, peer: object) -> Any:
        return self.thing


@pytest.mark.parametrize("thing", [5, "echo", Recorder, object(), b""])
def test_what_is_no_protocol_is_a_type_error(thing: object) -> None:
    with pytest.raises(TypeError, match="not a Protocol"):
        Harness(Builds(thing)).connect()


def test_the_name_of_a_thing_that_is_no_protocol_is_cut_short() -> None:
    with pytest.raises(TypeError) as caught:
        Harness(Builds("x" * 10_000)).connect()
    assert len(str(caught.value)) < 300


def test_an_async_build_protocol_is_a_type_error_and_is_never_begun() -> None:
    class Async(Factory[Any]):
        async def build_protocol(self, peer: object) -> Any:
            raise AssertionError("there is nothing to run this")

    with pytest.raises(TypeError, match="not a Protocol"):
        Harness(Async()).connect()


def test_a_protocol_in_use_is_not_used_twice_and_not_disturbed() -> None:
    shared = Recorder()
    factory = Factory(lambda: shared)
    first = Harness(factory)
    first.connect()
    with pytest.raises(RuntimeError, match="in use already"):
        Harness(factory).connect()
    assert shared.transport is first.transport
    assert len(factory.connections) == 1
    first.feed(b"still mine")
    assert shared.received == b"still mine"


def test_a_protocol_that_is_still_closing_is_in_use() -> None:
    shared = Recorder()
    first = Harness(Factory(lambda: shared))
    first.connect()
    shared.transport.close()
    with pytest.raises(RuntimeError, match="in use already"):
        Harness(Factory(lambda: shared)).connect()
    assert not first.lost


def test_a_protocol_whose_connection_has_ended_may_be_used_again() -> None:
    shared = Recorder()
    factory = Factory(lambda: shared)
    first = Harness(factory)
    first.connect()
    first.reset()
    second = Harness(factory)
    second.connect()
    assert shared.transport is second.transport
    assert shared.heard == ["connection_made", "connection_lost", "connection_made"]


@pytest.mark.parametrize("thing", [5, RuntimeError("no")])
def test_a_failed_build_is_logged_once_and_ends_that_connection_only(
    thing: Any, logged_errors: list[Any]
) -> None:
    class Fails(Builds):
        def build_protocol(self, peer: object) -> Any:
            if isinstance(self.thing, Exception):
                raise self.thing
            return self.thing

    factory = Fails(thing)
    with pytest.raises(CallbackError) as caught:
        Harness(factory, callback_errors="log").connect()
    assert isinstance(caught.value.__cause__, TypeError | RuntimeError)
    assert caught.value.callback.endswith("Fails.build_protocol")
    (record,) = logged_errors
    assert record.exc_info[1] is caught.value.__cause__
    assert len(factory.connections) == 0
    factory.thing = Recorder()
    assert Harness(factory, callback_errors="log").connect() is factory.thing


def test_under_raise_a_failed_build_comes_out_as_it_was() -> None:
    error = RuntimeError("no")

    def fail() -> Protocol:
        raise error

    with pytest.raises(RuntimeError) as caught:
        Harness(Factory(fail)).connect()
    assert caught.value is error


# Settings


def test_configure_changes_all_that_it_is_given_or_nothing() -> None:
    factory = Factory(Recorder, linger=1)
    before = factory.settings
    with pytest.raises(ValueError, match="backlog"):
        factory.configure(linger=5, backlog=0)
    with pytest.raises(TypeError, match="nothing_of_the_kind"):
        factory.configure(linger=5, nothing_of_the_kind=1)
    assert factory.settings is before


def test_values_that_are_right_only_together_are_set_together() -> None:
    factory = Factory(Recorder)
    with pytest.raises(ValueError, match="high_water"):
        factory.configure(high_water=10)
    factory.configure(high_water=10, low_water=5)
    assert (factory.settings.high_water, factory.settings.low_water) == (10, 5)


def test_a_bad_class_attribute_is_found_when_the_factory_is_made() -> None:
    class Wrong(Factory[Any]):
        linger = -1

    with pytest.raises(ValueError, match="linger"):
        Wrong()


def test_settings_of_a_base_class_are_inherited() -> None:
    class Base(Factory[Any]):
        linger = 7
        backlog = 5

    class Derived(Base):
        linger = 9

    assert (Derived().settings.linger, Derived().settings.backlog) == (9, 5)


def test_configure_does_not_change_a_connection_that_is_open() -> None:
    factory = Factory(Recorder, idle_timeout=10)
    harness = connected(factory)
    factory.configure(idle_timeout=1)
    harness.advance(5)
    assert not harness.transport.closing


def test_a_subclass_that_calls_no_init_has_books_of_its_own() -> None:
    class Careless(Factory[Any]):
        protocol = Recorder

        def __init__(self, path: str) -> None:
            self.path = path

    first, second = Careless("one"), Careless("two")
    protocol = Harness(first).connect()
    assert list(first.connections) == [protocol]
    assert list(second.connections) == []
    second.configure(linger=1)
    assert first.settings.linger == 2


# The connections


def test_iterating_over_the_connections_takes_a_snapshot() -> None:
    factory = Factory(Recorder)
    harnesses = [connected(factory) for _ in range(3)]
    seen = 0
    for protocol in factory.connections:
        protocol.transport.abort()
        connected(factory)
        seen += 1
    assert seen == 3
    assert all(harness.lost for harness in harnesses)
    assert len(factory.connections) == 3


def test_the_connections_are_in_the_order_of_their_coming() -> None:
    factory = Factory(Recorder)
    protocols = [connected(factory).protocol for _ in range(5)]
    protocols.pop(2).transport.abort()
    assert list(factory.connections) == protocols


def test_a_connection_is_known_by_itself_and_not_by_what_it_equals() -> None:
    class Equal(Recorder):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return True

    factory = Factory(Equal)
    one, two = connected(factory), connected(factory)
    assert one.protocol in factory.connections
    assert Equal() not in factory.connections
    assert "anything" not in factory.connections
    one.reset()
    assert one.protocol not in factory.connections
    assert two.protocol in factory.connections
    assert len(factory.connections) == 1


# What waits for all of them together

TOTAL: dict[str, Any] = {"max_buffered_total": 100, "callback_errors": "raise"}


def test_over_the_total_who_has_most_waiting_is_aborted_and_its_share_is_free() -> None:
    factory = Factory(Recorder, **TOTAL)
    few, most, last = (connected(factory, window=0) for _ in range(3))
    few.transport.write(bytes(30))
    most.transport.write(bytes(60))
    last.transport.write(bytes(11))
    assert [each.lost for each in (few, most, last)] == [False, True, False]
    assert type(most.reason) is OutboundOverflow
    assert (most.reason.buffered, most.reason.limit) == (101, 100)
    assert factory._buffered == 41
    last.transport.write(bytes(59))
    assert not last.lost


def test_the_log_says_who_is_aborted_over_the_total_ten_times_and_then_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    factory = Factory(Recorder, **TOTAL)
    for size in range(101, 113):
        connected(factory, window=0).transport.write(bytes(size))
    said = [record.getMessage() for record in caplog.records]
    whose = "connection from harness"
    total = "max_buffered_total is 100"
    assert said == [f"{whose}: {n} bytes of output waiting, {total}" for n in range(101, 111)]


def test_at_the_total_nobody_is_aborted() -> None:
    factory = Factory(Recorder, **TOTAL)
    harnesses = [connected(factory, window=0) for _ in range(4)]
    for harness in harnesses:
        harness.transport.write(bytes(25))
    assert not any(harness.lost for harness in harnesses)


def test_in_a_broadcast_no_more_are_aborted_than_are_too_many() -> None:
    """The first one aborted counts no more for those that come in the same turn."""

    def broadcast(self: Recorder) -> None:
        for each in self.factory.connections:
            each.transport.write(bytes(10))

    factory = Factory(lambda: Recorder(data_received=broadcast), **TOTAL)
    slow = connected(factory, window=0)
    others = [connected(factory, window=0) for _ in range(8)]
    slow.transport.write(bytes(60))
    others[0].feed(b"tell all")
    assert slow.lost
    assert [other.lost for other in others] == [False] * 8
    assert factory._buffered == 80


def test_when_all_have_ended_nothing_counts_as_waiting() -> None:
    factory = Factory(Recorder, **TOTAL)
    harnesses = [connected(factory, window=5) for _ in range(3)]
    for harness in harnesses:
        harness.transport.write(bytes(30))
    harnesses[0].transport.abort()
    harnesses[1].reset()
    harnesses[2].transport.close()
    assert factory._buffered == 25
    harnesses[2].window = None
    assert factory._buffered == 0


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("callback_errors", ["log", "raise"])
def test_what_comes_of_nothing_is_not_opening_for_ever(
    raised: type[BaseException], callback_errors: str, logged_errors: list[Any]
) -> None:
    def build() -> Recorder:
        raise raised

    factory = Factory(build, callback_errors=callback_errors)
    with pytest.raises((raised, CallbackError)):
        connected(factory)
    now = factory.statistics()
    assert (now.accepted, now.opening, now.open) == (1, 0, 0)
    assert now.closed == {"CallbackError": 1}


def test_an_error_in_build_protocol_leaves_nothing_to_the_collector() -> None:
    class OopsError(Exception):
        pass

    def build() -> Recorder:
        raise OopsError

    def raised() -> weakref.ref[OopsError]:
        try:
            connected(Factory(build, callback_errors="raise"))
        except OopsError as error:
            return weakref.ref(error)
        raise AssertionError("nothing was raised")

    gc.disable()
    try:
        assert raised()() is None
    finally:
        gc.enable()
