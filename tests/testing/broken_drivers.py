"""The same driver with a defect each, and a test that must find it."""

from __future__ import annotations

from typing import Any

from tests.testing.foreign_driver import SimulatedDriver, SimulatedService
from trioproto.sansio.lifecycle import State
from trioproto.testing.conformance import Service


class DeliversAfterClose(SimulatedDriver):
    def feed(self, size: int) -> None:
        if self.connection.closing:
            self.connection.protocol.data_received(bytes(self.incoming.data))
        super().feed(size)


class LosesTheTail(SimulatedDriver):
    def send(self, data: bytes | memoryview, size: int) -> int:
        if self.connection.closing and size == len(data):
            super().send(data, size - 1)
            return size
        return super().send(data, size)


class CallsConnectionLostTwice(SimulatedDriver):
    def end(self) -> None:
        super().end()
        reason = self.connection.reason
        assert reason is not None
        self.connection.protocol.connection_lost(reason)


class SendsTwice(SimulatedDriver):
    """Takes a write that the peer had not room for as not begun."""

    def send(self, data: bytes | memoryview, size: int) -> int:
        taken = super().send(data, size)
        return taken if taken == len(data) else max(0, taken - 1)


class ReadsTooMuch(SimulatedDriver):
    def feed(self, size: int) -> None:
        super().feed(len(self.incoming.data))


class LetsEOFOvertake(SimulatedDriver):
    def receive(self) -> bool:
        if self.incoming.ended and self.connection.state is State.OPEN:
            self.step(self.connection.feed_eof)
        return super().receive()


class TakesResetsForEOF(SimulatedDriver):
    def receive(self) -> bool:
        if self.incoming.cut:
            self.incoming.cut, self.incoming.ended = False, True
        return super().receive()


class EndsAlwaysCleanly(SimulatedDriver):
    def end(self) -> None:
        super().end()
        self.outgoing.cut = False


class ForgetsDeadlines(SimulatedDriver):
    def is_due(self) -> bool:
        return False


class CallsBackAtOnce(SimulatedDriver):
    """Takes another connection's turn inside of a callback."""

    def changed(self) -> None:
        self.turn()


class SwallowsErrors(SimulatedDriver):
    def turn(self) -> None:
        super().turn()
        self.world.raised.clear()


class DrainsNothing(SimulatedDriver):
    def read_more(self) -> bytes:
        return b""


class CountsNobody(SimulatedDriver):
    def accept(self, factory: Any, peer: Any) -> None:
        factory.accept = factory.connect
        super().accept(factory, peer)


FOUND_BY: dict[type[SimulatedDriver], str] = {
    DeliversAfterClose: "test_nothing_more_is_delivered_after_close",
    LosesTheTail: "test_close_flushes_what_waits_and_ends_with_eof",
    CallsConnectionLostTwice: "test_callbacks_come_in_order",
    SendsTwice: "test_write_eof_waits_for_what_was_written",
    ReadsTooMuch: "test_what_came_at_once_is_read_in_chunks_of_read_size",
    LetsEOFOvertake: "test_a_paused_connection_remembers_a_fin_and_delivers_it_in_order",
    TakesResetsForEOF: "test_a_reset_is_reported_as_a_loss_with_its_cause",
    EndsAlwaysCleanly: "test_a_cut_reply_does_not_look_whole",
    ForgetsDeadlines: "test_what_the_peer_sends_starts_the_time_again",
    CallsBackAtOnce: "test_a_protocol_may_end_another_connection_in_any_callback",
    SwallowsErrors: "test_an_interrupt_in_a_callback_comes_out",
    DrainsNothing: "test_a_drain_delivers_what_the_kernel_has_whatever_the_rate",
    CountsNobody: "test_events_come_before_the_callbacks_that_they_tell_of",
}


def service_with(defect: type[SimulatedDriver]) -> type[Service]:
    members = {"name": defect.__name__, "driver": defect}
    return type(f"{defect.__name__}Service", (SimulatedService,), members)


SERVICES = [service_with(defect) for defect in FOUND_BY]
