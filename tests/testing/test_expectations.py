"""What a harness can be told to expect, and what it shows when that fails."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from trioproto import Factory, Protocol
from trioproto.errors import ConnectionDone, ConnectionLost, IdleTimeout
from trioproto.framing import LineReceiver
from trioproto.testing import Harness, State, TranscriptError


class Calculator(LineReceiver):
    def line_received(self, line: bytes) -> None:
        self.send_line(b"%d" % sum(map(int, line.split(b"+"))))


def connected() -> Harness[Calculator]:
    harness = Harness(Factory(Calculator))
    harness.connect()
    return harness


def test_an_exchange_is_fed_and_answered() -> None:
    harness = connected()
    harness.exchange(b"1+1\r\n", b"2\r\n")
    harness.exchange(b"1+", b"")
    harness.exchange(b"2\r\n3", b"3\r\n")
    harness.expect(b"")


def test_a_wrong_answer_shows_the_whole_exchange() -> None:
    harness = connected()
    harness.exchange(b"1+1\r\n", b"2\r\n")
    harness.advance(5)
    with pytest.raises(TranscriptError) as caught:
        harness.exchange(b"2+2\r\n", b"5\r\n")
    shown_in_the_docs = Path(__file__).with_name("transcript_error.txt")
    assert f"TranscriptError: {caught.value}\n" == shown_in_the_docs.read_text(encoding="utf-8")


def test_what_nobody_took_is_part_of_the_next_answer() -> None:
    harness = connected()
    harness.feed(b"1+1\r\n")
    with pytest.raises(TranscriptError):
        harness.exchange(b"2+2\r\n", b"4\r\n")
    assert harness.take() == b"", "what was compared has been taken"


def test_the_end_is_returned_if_it_is_the_right_one() -> None:
    harness = connected()
    harness.advance(61)
    harness.feed_eof()
    assert harness.expect_lost(IdleTimeout) is harness.reason


def test_another_end_or_none_is_a_failure() -> None:
    harness = connected()
    with pytest.raises(TranscriptError, match="the connection has not ended, it is OPEN"):
        harness.expect_lost(ConnectionDone)
    harness.reset()
    with pytest.raises(TranscriptError, match="has ended otherwise") as caught:
        harness.expect_lost(ConnectionDone)
    assert caught.value.came is harness.reason
    assert "\n  expected: ConnectionDone\n" in str(caught.value)
    assert "reset received" in str(caught.value)
    harness.expect_lost(ConnectionLost)


def test_who_lingers_has_not_ended() -> None:
    harness = connected()
    harness.transport.close()
    with pytest.raises(TranscriptError, match="it is LINGERING"):
        harness.expect_lost(ConnectionDone)
    harness.feed_eof()
    harness.expect_lost(ConnectionDone)


def test_what_happens_besides_bytes_is_in_the_transcript() -> None:
    harness = connected()
    harness.feed_eof()
    events = [entry.data for entry in harness.transcript.entries]
    assert events[:3] == ["connected", "EOF received", "EOF sent"]
    assert str(events[3]).startswith("ended by ConnectionDone(")


def test_the_state_and_the_next_deadline_can_be_seen() -> None:
    harness = Harness(Calculator, idle_timeout=10)
    harness.connect()
    assert (harness.state, harness.deadline) == (State.OPEN, 10)
    harness.advance(4)
    harness.feed(b"1")
    assert harness.deadline == 14
    harness.transport.close()
    closing = harness.state
    harness.advance(5)
    assert (closing, harness.state) == (State.LINGERING, State.LOST)


def test_without_deadlines_the_next_one_is_never() -> None:
    harness = Harness(Protocol, idle_timeout=None)
    harness.connect()
    assert harness.deadline == inf


def test_settings_that_change_between_connections_count_for_the_next() -> None:
    factory = Factory(Calculator, idle_timeout=10)
    first = Harness(factory)
    first.connect()
    factory.configure(idle_timeout=20)
    second = Harness(factory)
    second.connect()
    assert (first.deadline, second.deadline) == (10, 20)


def test_a_client_does_not_count_as_a_server() -> None:
    harness = Harness(Protocol(), server_side=False)
    harness.connect()
    assert not harness.server_side


def test_what_cannot_be_ended_alone_is_said_so() -> None:
    harness = Harness(Protocol(), half_close=False)
    harness.connect()
    assert not harness.transport.can_write_eof


def test_what_is_caused_in_a_connection_of_another_factory_waits_for_its_own_turn() -> None:
    """As in a server, no callback is called inside of one of another connection."""
    log: list[str] = []

    class Full(Protocol):
        def pause_writing(self) -> None:
            log.append("paused")

    class Writes(Protocol):
        def data_received(self, data: bytes) -> None:
            full.transport.write(bytes(100_000))
            log.append("written")

    full = Full()
    other = Harness(full, window=0)
    harness = Harness(Writes)
    other.connect()
    harness.connect()
    harness.feed(b"go")
    assert log == ["written", "paused"]
