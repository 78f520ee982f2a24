"""Whatever is done to a connection, in any order: what must hold, holds.

The walks of the behaviour suite go over all drivers, and hold the bytes of both
ways to a pattern. Here hypothesis looks for the shortest order that breaks a
rule, also with what the protocol does inside its callbacks, and after each step
the connection's own books are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trioproto import Factory, Protocol
from trioproto.errors import ConnectionClosed, ConnectionDone
from trioproto.sansio.connection import Connection
from trioproto.sansio.lifecycle import State
from trioproto.testing import Harness

CALLBACKS = (
    "connection_made",
    "data_received",
    "eof_received",
    "pause_writing",
    "resume_writing",
    "timed_out",
    "quiesce",
    "connection_lost",
)
ACTS = (
    "write",
    "write_much",
    "close",
    "abort",
    "write_eof",
    "pause_reading",
    "resume_reading",
    "fail",
)
HIGH_WATER = 20
LOW_WATER = 5
SETTINGS: dict[str, Any] = {
    "high_water": HIGH_WATER,
    "low_water": LOW_WATER,
    "max_buffered": 60,
    "max_buffered_total": 100,
    "callback_errors": "raise",
}


class Boom(Exception):
    """What a callback raises."""


@contextmanager
def booms() -> Iterator[None]:
    """Let any number of them come out."""
    try:
        yield
    except* Boom:
        pass


class Witness(Protocol):
    """Checks each call against those before it, and then does as it was told."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.received = bytearray()
        self.written = bytearray()
        self.plans: dict[str, list[str]] = {}
        self.keeps_open = False
        self.depth = 0
        self.seed = 0

    # Callbacks

    def connection_made(self) -> None:
        assert self.heard == []
        self.hear("connection_made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        assert "eof_received" not in self.heard
        self.received += data
        self.hear("data_received")

    def eof_received(self) -> bool:
        assert "eof_received" not in self.heard
        self.hear("eof_received")
        return self.keeps_open

    def pause_writing(self) -> None:
        assert self.transport.buffered > HIGH_WATER
        assert self.heard.count("pause_writing") == self.heard.count("resume_writing")
        self.hear("pause_writing")

    def resume_writing(self) -> None:
        assert self.transport.buffered <= LOW_WATER
        assert self.heard.count("pause_writing") == self.heard.count("resume_writing") + 1
        self.hear("resume_writing")

    def timed_out(self) -> None:
        self.hear("timed_out")
        super().timed_out()

    def quiesce(self) -> None:
        assert "quiesce" not in self.heard
        self.hear("quiesce")
        if not self.keeps_open:
            super().quiesce()

    def connection_lost(self, reason: ConnectionClosed) -> None:
        assert reason is self.transport.reason
        assert self not in self.factory.connections
        self.hear("connection_lost")

    # What is behind them

    def hear(self, callback: str) -> None:
        assert self.depth == 0, "callbacks of one connection never nest"
        assert "connection_lost" not in self.heard, "nothing follows connection_lost"
        if callback != "connection_made":
            assert "connection_made" in self.heard
        if callback != "connection_lost":
            assert not self.transport.closing, "nothing is delivered to who is closing"
        self.heard.append(callback)
        self.depth += 1
        try:
            for act in self.plans.pop(callback, []):
                self.act(act)
        finally:
            self.depth -= 1

    def act(self, act: str) -> None:
        if act == "fail":
            raise Boom
        if act == "write":
            self.write(7)
        elif act == "write_much":
            self.write(50)
        else:
            getattr(self.transport, act)()

    def write(self, size: int) -> None:
        data = bytes((self.seed + index) % 251 for index in range(size))
        self.seed += size
        if self.transport.state in (State.OPEN, State.READ_ENDED):
            self.written += data
        self.transport.write(data)


class AnyOrder(RuleBasedStateMachine):
    """One connection, to which anything may happen at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.fed = bytearray()
        self.taken_so_far = bytearray()
        self.eof = False
        self.side_ended = False
        self.states = [State.OPENING]

    @initialize(
        window=st.sampled_from([None, 0, 10]),
        auto_pause=st.booleans(),
        keeps_open=st.booleans(),
        made=st.lists(st.sampled_from(ACTS), max_size=2),
    )
    def connect(
        self, window: int | None, auto_pause: bool, keeps_open: bool, made: list[str]
    ) -> None:
        self.witness = Witness()
        self.witness.auto_pause = auto_pause
        self.witness.keeps_open = keeps_open
        if made:
            self.witness.plans["connection_made"] = made
        self.factory = Factory(lambda: self.witness, **SETTINGS)
        self.harness: Harness[Witness] = Harness(self.factory, window=window)
        with booms():
            self.harness.connect()

    @property
    def taken(self) -> bytes:
        self.taken_so_far += self.harness.take()
        return bytes(self.taken_so_far)

    @property
    def connection(self) -> Connection:
        connection = self.harness.transport
        assert isinstance(connection, Connection)
        return connection

    # What may happen

    @rule(callback=st.sampled_from(CALLBACKS), acts=st.lists(st.sampled_from(ACTS), max_size=3))
    def plan(self, callback: str, acts: list[str]) -> None:
        """Have the protocol do something in the next such callback."""
        self.witness.plans[callback] = acts

    @precondition(lambda self: not self.eof)
    @rule(data=st.binary(min_size=1, max_size=30))
    def feed(self, data: bytes) -> None:
        if "quiesce" in self.witness.heard and not self.harness.reading:
            return  # no driver would
        self.fed += data
        with booms():
            self.harness.feed(data)

    @precondition(lambda self: not self.side_ended)
    @rule()
    def feed_eof(self) -> None:
        self.eof = self.side_ended = True
        with booms():
            self.harness.feed_eof()

    @precondition(lambda self: len(self.witness.heard) > 5)
    @rule()
    def reset(self) -> None:
        self.eof = True
        with booms():
            self.harness.reset()

    @precondition(lambda self: len(self.witness.heard) > 5)
    @rule()
    def cancel(self) -> None:
        with booms():
            self.harness.cancel()

    @rule()
    def drain(self) -> None:
        with booms():
            self.harness.drain()

    @rule(seconds=st.sampled_from([0.5, 3, 20, 40]))
    def advance(self, seconds: float) -> None:
        with booms():
            self.harness.advance(seconds)

    @rule(size=st.sampled_from([None, 0, 1, 10, 30]))
    def open_window(self, size: int | None) -> None:
        with booms():
            self.harness.window = size

    @rule(size=st.sampled_from([1, 10, 30]))
    def write(self, size: int) -> None:
        with booms():
            self.witness.write(size)

    @rule(act=st.sampled_from(["pause_reading", "resume_reading", "write_eof"]))
    def do(self, act: str) -> None:
        with booms():
            self.witness.act(act)

    @precondition(lambda self: len(self.witness.heard) > 3)
    @rule(act=st.sampled_from(["close", "abort"]))
    def end(self, act: str) -> None:
        with booms():
            self.witness.act(act)
        assert self.harness.transport.closing

    # What holds all the while

    @invariant()
    def callbacks_frame_the_life(self) -> None:
        heard = self.witness.heard
        assert heard[0] == "connection_made"
        assert heard.count("connection_made") == 1
        assert heard.count("connection_lost") == self.harness.lost
        assert (heard[-1] == "connection_lost") == self.harness.lost
        assert (self.harness.reason is not None) or not self.harness.transport.closing

    @invariant()
    def states_only_grow(self) -> None:
        self.states.append(self.harness.transport.state)
        assert self.states == sorted(self.states)
        assert self.harness.transport.state is not State.ENDED, "only passed through"

    @invariant()
    def what_is_delivered_is_a_prefix_of_what_was_fed(self) -> None:
        received = self.witness.received
        assert received == self.fed[: len(received)]
        if self.connection.state is State.OPEN and self.harness.reading:
            assert received == self.fed, "what nobody holds back is delivered at once"

    @invariant()
    def what_is_taken_is_a_prefix_of_what_was_written(self) -> None:
        taken = self.taken
        assert taken == self.witness.written[: len(taken)]
        if not self.harness.transport.closing:
            assert len(taken) + self.harness.transport.buffered == len(self.witness.written)

    @invariant()
    def a_clean_end_has_delivered_all_output(self) -> None:
        if self.harness.lost and not self.harness.transport.broken:
            assert self.taken == self.witness.written
            assert self.harness.write_closed
        if self.harness.lost and type(self.harness.reason) is ConnectionDone:
            assert not self.harness.transport.broken

    @invariant()
    def the_peer_sees_our_eof_after_all_that_was_written(self) -> None:
        if self.harness.write_closed and not self.harness.transport.broken:
            assert self.taken == self.witness.written

    @invariant()
    def only_an_open_connection_is_plain(self) -> None:
        if not self.connection.holds:
            assert self.connection.state is State.OPEN
            assert not self.eof
            assert not self.harness.transport.buffered

    @invariant()
    def nothing_is_read_after_eof_or_the_end(self) -> None:
        if self.eof or self.harness.lost:
            assert not self.harness.reading

    @invariant()
    def the_factory_counts_what_waits(self) -> None:
        assert self.factory._buffered == self.harness.transport.buffered
        assert len(self.factory.connections) == (not self.harness.lost)

    @invariant()
    def whatever_the_library_waits_for_has_a_deadline(self) -> None:
        connection = self.connection
        if connection.state is State.LOST:
            assert not connection.buffered
        elif connection.closing or connection.buffered or self.harness.reading:
            assert connection.deadline < inf

    def teardown(self) -> None:
        """In the end it ends, whatever has happened before."""
        if not hasattr(self, "harness"):
            return
        self.witness.plans.clear()
        self.witness.keeps_open = False
        self.harness.transport.resume_reading()
        self.harness.window = None
        self.harness.advance(200)
        assert self.harness.lost
        self.callbacks_frame_the_life()
        self.what_is_taken_is_a_prefix_of_what_was_written()
        self.a_clean_end_has_delivered_all_output()
        self.the_factory_counts_what_waits()


TestAnyOrder: Any = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=max(200, settings().max_examples))
