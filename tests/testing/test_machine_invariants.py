"""What a state machine holds every protocol to, seen to fail for one that breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant

from tests.testing.machines import EchoMachine, LineEcho, connected, failure_of
from trioproto import Factory, Statistics
from trioproto.errors import ConnectionClosed
from trioproto.sansio.connection import Connection


class MadeTwice(Connection):
    __slots__ = ()

    def feed(self, data: bytes, now: float) -> None:
        self._call(self.protocol.connection_made)
        super().feed(data, now)


class DataFirst(Connection):
    __slots__ = ()

    def open(self) -> None:
        self.protocol.transport = self
        self._call(self.protocol.quiesce)
        super().open()


class LostTwice(Connection):
    __slots__ = ()

    def report_lost(self) -> None:
        super().report_lost()
        self._call(self.protocol.connection_lost, self.reason)


class NeverLost(Connection):
    __slots__ = ()

    def report_lost(self) -> None:
        self.made = False
        super().report_lost()


class DataAfterLoss(Connection):
    __slots__ = ()

    def report_lost(self) -> None:
        super().report_lost()
        self._call(self.protocol.data_received, b"late")


class DataAfterClose(Connection):
    __slots__ = ()

    def feed(self, data: bytes, now: float) -> None:
        super().feed(data, now)
        if self.closing:
            self._call(self.protocol.data_received, data)


class DataAfterEOF(Connection):
    __slots__ = ()

    def feed_eof(self) -> None:
        super().feed_eof()
        self._call(self.protocol.data_received, b"late")


class Nested(Connection):
    __slots__ = ()

    def pause_reading(self) -> None:
        self._call(self.protocol.pause_writing)


class Unlimited(Connection):
    __slots__ = ()

    def _write_slowly(self, data: bytes) -> None:
        if self.may_write:
            self.outbound.append(data)
            self.note_change()


class BrokenFactory(Factory):
    """Makes connections of a kind that is broken."""

    kind: type[Connection] = Connection
    makes: type[LineEcho] = LineEcho

    def connect(
        self,
        driver: Any,
        peer: Any,
        local: Any,
        layers: Iterable[Any] = (),
        settings: Any = None,
    ) -> Connection:
        connection = self.kind(self.makes(), self, driver, settings, peer, local, layers)
        self._monitor.begun(connection)
        return connection


class Keeping(LineEcho):
    """Keeps its connection open when the peer has ended."""

    def eof_received(self) -> bool:
        return True


def nameless(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function as a decorator does that does not keep its name."""

    def call(*args: Any) -> Any:
        return function(*args)

    return call


class Unnamed(Keeping):
    """Its callbacks are functions of any name."""

    connection_made = nameless(Keeping.connection_made)
    data_received = nameless(Keeping.data_received)
    eof_received = nameless(Keeping.eof_received)
    pause_writing = nameless(Keeping.pause_writing)
    resume_writing = nameless(Keeping.resume_writing)
    timed_out = nameless(Keeping.timed_out)
    quiesce = nameless(Keeping.quiesce)
    connection_lost = nameless(Keeping.connection_lost)


def talk(factory: Factory) -> None:
    """Have peers do what is needed to break something, by hand."""

    class Machine(EchoMachine):
        def make_factory(self) -> Factory:
            return factory

        def check(self) -> None: ...

    machine = Machine()
    peer, slow, eager = connected(machine), connected(machine), connected(machine)
    machine.stall(slow)
    for _ in range(3):
        machine.send(slow, b"one\r\n")
    machine.send(eager, b"one\r\n")
    machine.send_eof(eager)
    machine.send(peer, b"pause\r\n")
    machine.reset(peer)
    machine.send_together(connected(machine), [b"close\r\n", b"one\r\n"])
    machine.teardown()


ORDER: list[tuple[type[Connection], str]] = [
    (MadeTwice, "connection_made was called twice"),
    (DataFirst, "quiesce was called before connection_made"),
    (LostTwice, "connection_lost was called after connection_lost"),
    (NeverLost, "connection_lost was not called"),
    (DataAfterLoss, "data_received was called after connection_lost"),
    (DataAfterClose, "data_received was called on a connection that is closing"),
    (DataAfterEOF, "data_received was called after eof_received"),
    (Nested, "pause_writing was called inside data_received"),
]


@pytest.mark.parametrize(
    "factory", [Factory(LineEcho), Factory(Keeping), Factory(Unnamed), BrokenFactory()]
)
def test_what_is_not_broken_passes(factory: Factory) -> None:
    talk(factory)


@pytest.mark.parametrize("protocol", [Keeping, Unnamed])
@pytest.mark.parametrize(("connection", "problem"), ORDER)
def test_the_order_of_callbacks_is_watched(
    connection: type[Connection], problem: str, protocol: type[LineEcho]
) -> None:
    class Broken(BrokenFactory):
        kind = connection
        makes = protocol

    with pytest.raises(AssertionError, match=rf"peers_\d: {problem}$"):
        talk(Broken())


# The factory's books


class Leaking(Factory):
    def closed(self, connection: Connection) -> None:
        """Forget to take it out."""


class Forgetting(Factory):
    def opened(self, connection: Connection) -> None:
        super().opened(connection)
        if len(self.connections) == 2:
            del self._monitor.open[connection]


class Miscounting(Factory):
    def statistics(self) -> Statistics:
        counted = super().statistics()
        return replace(counted, accepted=counted.accepted + (counted.open == 2))


class Hiding(Factory):
    """Says that who has ended had not."""

    def statistics(self) -> Statistics:
        counted = super().statistics()
        closed = sum(counted.closed.values())
        return replace(counted, closed={}, opening=counted.opening + closed)


class NotBuffering(Factory):
    def output_waits(self, change: int, limit: int) -> None:
        """Forget what waits."""


class TooMuch(Factory):
    def output_waits(self, change: int, limit: int) -> None:
        self._buffered += change


class ReadsOn(LineEcho):
    auto_pause = False


class UnlimitedFactory(BrokenFactory):
    kind = Unlimited
    makes = ReadsOn


BOOKS: list[tuple[type[Factory], dict[str, Any], str]] = [
    (Leaking, {}, "are open"),
    (Forgetting, {}, "are open"),
    (Miscounting, {}, r"accepted is not opening \+ open \+ closed"),
    (Hiding, {}, "have not ended"),
    (NotBuffering, {}, "bytes wait to be sent"),
    (TooMuch, {"max_buffered_total": 4}, "max_buffered_total is 4"),
    (UnlimitedFactory, {"max_buffered": 4, "high_water": 4, "low_water": 4}, "max_buffered is 4"),
]


@pytest.mark.parametrize(("factory", "options", "problem"), BOOKS)
def test_the_books_of_a_factory_are_checked(
    factory: type[Factory], options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(AssertionError, match=problem):
        talk(factory(LineEcho, **options))


# Errors


class Failing(EchoMachine):
    messages = st.sampled_from([b"one\r\n", b"fail\r\n"])


SHRINKING = settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    print_blob=False,
    stateful_step_count=20,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)


def test_an_error_in_a_callback_comes_out_as_it_is_with_what_has_happened() -> None:
    error = failure_of(Failing, SHRINKING)
    assert isinstance(error, ZeroDivisionError)
    assert str(error) == "as it was told"
    _, *lines = "\n".join(error.__notes__).splitlines()
    assert lines == [
        "state = Failing()",
        "peers_0 = state.connect()",
        "state.send(message=b'fail\\r\\n', peer=peers_0)",
        "state.teardown()",
        "the exchange (< received, > sent):",
        "     0.000   peers_0 connects",
        "     0.000   peers_0 < b'fail\\r\\n'",
        "     0.000   ZeroDivisionError was raised",
    ]


class FailsAtTheEnd(LineEcho):
    def connection_lost(self, reason: ConnectionClosed) -> None:
        raise ZeroDivisionError


def test_an_error_at_the_end_of_all_is_found() -> None:
    class Ending(EchoMachine):
        leave_out = ("send_eof", "reset", "start_drain", "pass_time", "pass_deadline")

        def make_factory(self) -> Factory:
            return Factory(FailsAtTheEnd)

    assert isinstance(failure_of(Ending), ZeroDivisionError)


@pytest.mark.parametrize("place", ["on_connected", "on_sent", "on_lost", "check"])
def test_what_a_hook_raises_is_not_hidden_by_errors_of_the_end(place: str) -> None:
    def fail(*_: Any) -> None:
        raise LookupError(place)

    machine = EchoMachine()
    peer = connected(machine)
    peer.protocol.connection_lost = lambda _: 1 / 0
    other = connected(machine)
    setattr(machine, place, fail)
    steps: dict[str, Callable[[], object]] = {
        "on_connected": machine.connect,
        "on_lost": partial(machine.reset, other),
    }
    with pytest.raises(LookupError, match=place):
        steps.get(place, partial(machine.send, peer, b"one\r\n"))()
    machine.teardown()
    assert len(machine.factory.connections) == 0


def test_what_an_invariant_raises_comes_with_what_has_happened() -> None:
    class Model(EchoMachine):
        @invariant()
        def nobody_says_anything(self) -> None:
            assert all(peer.received == b"" for peer in self.live)

    error = failure_of(Model, SHRINKING)
    assert isinstance(error, AssertionError)
    assert "     0.000   peers_0 > b'one\\r\\n'" in "\n".join(error.__notes__).splitlines()


def test_what_has_gone_wrong_ends_all_and_is_not_checked_any_more() -> None:
    machine = Failing()
    peer, other = connected(machine), connected(machine)
    with pytest.raises(ZeroDivisionError):
        machine.send(peer, b"fail\r\n")
    checks = machine.checks
    machine.teardown()
    assert other.lost
    assert machine.checks == checks
    assert len(machine.factory.connections) == 0
