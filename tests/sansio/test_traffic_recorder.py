"""The recorder in a connection with no event loop: what it takes, hides and has written."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from errno import ENOTCONN
from typing import Any, Literal

import pytest

from tests.sansio.test_layers import Knock, Xor, connected, flipped
from trioproto import Factory, Protocol
from trioproto.errors import (
    CallbackError,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    IncompleteFrame,
    MalformedFrame,
)
from trioproto.framing import NetstringReceiver
from trioproto.layers import Direction, Recording, TrafficLog
from trioproto.sansio.connection import Connection
from trioproto.testing import Harness
from trioproto.testing.conformance.recorder import Recorder, keep_open

RECEIVED, SENT = Direction.RECEIVED, Direction.SENT


class Upper(Protocol):
    """Answers in capitals, or fails."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())
        if data == b"fail":
            raise ZeroDivisionError


def recorded(
    protocol: Protocol | None = None,
    *,
    callback_errors: Literal["log", "raise"] = "raise",
    **log: Any,
) -> Harness[Any]:
    """Connect a protocol that is recorded."""
    harness: Harness[Any] = Harness(
        protocol or Upper(), traffic_log=TrafficLog(**log), callback_errors=callback_errors
    )
    harness.connect()
    return harness


def taken(harness: Harness[Any]) -> Recording:
    recording = harness.transport.traffic()
    assert recording is not None
    return recording


def pieces(harness: Harness[Any]) -> list[tuple[Direction, bytes]]:
    return [(each.direction, each.data) for each in taken(harness).pieces]


def test_what_passes_is_taken_in_order() -> None:
    harness = recorded()
    for word in (b"one", b"two"):
        harness.feed(word)
    assert pieces(harness) == [
        (RECEIVED, b"one"),
        (SENT, b"ONE"),
        (RECEIVED, b"two"),
        (SENT, b"TWO"),
    ]
    assert harness.take() == b"ONETWO"


def test_nothing_is_recorded_unless_asked_for() -> None:
    harness: Harness[Any] = Harness(Upper())
    harness.connect()
    harness.feed(b"one")
    assert harness.transport.traffic() is None
    assert harness._open.layer is None


def test_the_times_are_the_connections_own() -> None:
    harness = recorded()
    harness.advance(2)
    harness.feed(b"later")
    recording = taken(harness)
    assert [each.time - recording.began for each in recording.pieces] == pytest.approx([2, 2])


def test_only_the_last_bytes_are_kept() -> None:
    harness = recorded(size=100)
    for _ in range(100):
        harness.feed(b"x" * 10)
    recording = taken(harness)
    assert sum(len(each.data) + 16 for each in recording.pieces) == 100
    assert recording.received_before + recording.sent_before == 2000 - (100 - 16 * 4)


def test_a_recording_does_not_change_any_more() -> None:
    harness = recorded()
    harness.feed(b"one")
    recording = taken(harness)
    harness.feed(b"two")
    assert len(recording.pieces) == 2
    assert len(taken(harness).pieces) == 4


def test_a_large_write_passes_in_parts_and_whole() -> None:
    data = bytes(each % 251 for each in range(300_000))
    harness = recorded(size=1 << 20)
    harness.transport.write(data)
    assert harness.take() == data
    assert b"".join(part for _, part in pieces(harness)) == data


# Other layers


def test_it_is_above_all_other_layers() -> None:
    log = TrafficLog()
    harness = connected(Recorder(), Knock(), Xor(0x55), traffic_log=log)
    harness.feed(b"!" + flipped(b"question"))
    harness.transport.write(b"answer")
    assert pieces(harness) == [(RECEIVED, b"question"), (SENT, b"answer")]
    assert harness.take() == b"?" + flipped(b"answer")


class Defective(Xor):
    def receive(self, data: bytes) -> bytes:
        raise ZeroDivisionError


def test_a_defect_of_another_layer_is_logged_by_that_ones_name(
    logged_errors: list[logging.LogRecord],
) -> None:
    harness = connected(
        Recorder(), Defective(0x55), traffic_log=TrafficLog(), callback_errors="log"
    )
    harness.feed(b"hello")
    assert type(harness.reason) is CallbackError
    assert [each.getMessage() for each in logged_errors] == ["error in Defective, peer harness"]


def test_alone_it_leaves_the_ends_of_the_two_sides_as_they_are() -> None:
    protocol = Recorder(eof_received=keep_open)
    harness = recorded(protocol)
    assert harness.transport.tls is None
    harness.transport.write_eof()
    assert harness.write_closed
    harness.feed(b"still heard")
    assert protocol.received == b"still heard"
    harness.feed_eof()
    assert type(harness.reason) is ConnectionDone
    assert harness.lost


def test_a_side_is_kept_open_where_it_cannot_be_ended_alone() -> None:
    protocol = Recorder(eof_received=keep_open)
    harness: Harness[Any] = Harness(protocol, traffic_log=TrafficLog(), half_close=False)
    harness.connect()
    harness.feed_eof()
    assert not harness.transport.closing
    harness.transport.write(b"more")
    assert harness.take() == b"more"


class CannotShutDown(Harness[Any]):
    """Meets an error when it shuts our side down, as a socket that was reset does."""

    def _shut_down(self, connection: Connection) -> None:
        connection.lost(OSError(ENOTCONN, "not connected"))


@pytest.mark.parametrize("log", [None, TrafficLog()])
def test_a_shutdown_that_fails_is_a_loss_with_it_as_without(log: TrafficLog | None) -> None:
    protocol = Recorder()
    harness = CannotShutDown(protocol, traffic_log=log)
    harness.connect()
    harness.feed_eof()
    assert type(protocol.reason) is ConnectionLost


def test_it_never_has_news_so_that_input_takes_the_short_way() -> None:
    harness = recorded()
    harness.feed(b"one")
    layer = harness._open.layer
    assert layer is not None
    assert not layer.news


# Redaction

PASSWORD = re.compile(rb"(?m)^(PASS )([^\r\n]*)")


def hide(data: bytes, direction: Direction, cut: bool) -> bytes:
    return PASSWORD.sub(lambda found: found[1] + b"*" * len(found[2]), data)


def test_secrets_are_hidden_from_recordings_and_from_nobody_else() -> None:
    protocol = Recorder()
    harness = recorded(protocol, redact=hide)
    harness.feed(b"USER me\r\nPASS secret\r\n")
    assert pieces(harness) == [(RECEIVED, b"USER me\r\nPASS ******\r\n")]
    assert protocol.received == b"USER me\r\nPASS secret\r\n"


def test_a_secret_is_found_however_it_was_cut() -> None:
    harness = recorded(Recorder(), redact=hide)
    for part in (b"PA", b"SS sec", b"r", b"et\r\nNOOP\r\n"):
        harness.feed(part)
        harness.transport.write(b"go on\n")
    received = [data for way, data in pieces(harness) if way is RECEIVED]
    assert received == [b"PA", b"SS ***", b"*", b"**\r\nNOOP\r\n"]
    assert len(pieces(harness)) == 8


def test_the_hook_gets_each_direction_alone_and_is_told_what_is_cut() -> None:
    calls = []

    def note(data: bytes, direction: Direction, cut: bool) -> bytes:
        calls.append((data, direction, cut))
        return data

    harness = recorded(Recorder(), redact=note, size=100)
    assert pieces(harness) == []
    assert calls == []
    harness.feed(b"x" * 84)
    assert pieces(harness) == [(RECEIVED, b"x" * 84)]
    harness.transport.write(b"y")
    assert pieces(harness) == [(RECEIVED, b"x" * 67), (SENT, b"y")]
    assert calls == [
        (b"x" * 84, RECEIVED, False),
        (b"x" * 67, RECEIVED, True),
        (b"y", SENT, False),
    ]


def fails(data: bytes, direction: Direction, cut: bool) -> bytes:
    if direction is RECEIVED:
        raise ZeroDivisionError("the hook is broken")
    return data


def of_another_length(data: bytes, direction: Direction, cut: bool) -> bytes:
    return data[1:] if direction is RECEIVED else data


def of_another_type(data: bytes, direction: Direction, cut: bool) -> Any:
    return bytearray(data) if direction is RECEIVED else data


@pytest.mark.parametrize("redact", [fails, of_another_length, of_another_type])
def test_a_hook_that_fails_shows_nothing_and_harms_nobody(
    redact: Any, logged_errors: list[logging.LogRecord]
) -> None:
    harness = recorded(redact=redact)
    harness.feed(b"secret")
    assert pieces(harness) == [(RECEIVED, b"******"), (SENT, b"SECRET")]
    (record,) = logged_errors
    assert record.getMessage() == "error in traffic_log.redact, peer harness"
    assert record.exc_info is not None
    harness.feed(b"go on")
    assert harness.take() == b"SECRETGO ON"


# At the end


def ended(act: Callable[[Harness[Any]], object], protocol: Protocol | None = None) -> list[Any]:
    """What was written of a connection that this has ended."""
    written: list[Any] = []
    harness = recorded(protocol, callback_errors="log", write=written.append)
    harness.feed(b"hello")
    act(harness)
    assert harness.lost
    for recording in written:
        assert recording.reason is harness.reason
        assert recording.pieces[0].data == b"hello"
    return written


def test_an_error_is_written_once(logged_errors: list[logging.LogRecord]) -> None:
    (recording,) = ended(lambda harness: harness.feed(b"fail"))
    assert type(recording.reason) is CallbackError
    assert [each.data for each in recording.pieces] == [b"hello", b"HELLO", b"fail"]
    assert len(logged_errors) == 1


@pytest.mark.parametrize(
    "reason", [ConnectionAborted(), ConnectionClosed(), IncompleteFrame(3), MalformedFrame("x", 0)]
)
def test_other_bad_ends_are_written(reason: ConnectionClosed) -> None:
    assert len(ended(lambda harness: harness.transport.abort(reason))) == 1


def test_what_the_peer_breaks_is_written() -> None:
    (recording,) = ended(lambda harness: harness.reset())
    assert type(recording.reason) is ConnectionLost
    written: list[Recording] = []
    malformed = recorded(NetstringReceiver(), write=written.append)
    malformed.feed(b"garbage")
    malformed.feed_eof()
    assert [type(each.reason) for each in written] == [MalformedFrame]


@pytest.mark.parametrize(
    "end",
    [
        lambda harness: harness.feed_eof(),
        lambda harness: (harness.transport.close(), harness.feed_eof()),
        lambda harness: harness.advance(60),  # idle
        lambda harness: (harness.drain(), harness.feed_eof()),
        lambda harness: harness.cancel(),
    ],
)
def test_a_good_end_is_not_written(end: Callable[[Harness[Any]], object]) -> None:
    def finish(harness: Harness[Any]) -> None:
        end(harness)
        if not harness.lost:
            harness.feed_eof()

    assert ended(finish) == []


def test_a_connection_with_nothing_to_show_is_not_written() -> None:
    written: list[Recording] = []
    harness = recorded(write=written.append)
    harness.transport.abort()
    assert harness.lost
    assert written == []


def test_what_is_written_is_redacted() -> None:
    written: list[Recording] = []
    harness = recorded(Recorder(), redact=hide, write=written.append)
    harness.feed(b"PASS secret\r\n")
    harness.transport.abort()
    (recording,) = written
    assert b"secret" not in recording.to_pcapng()
    assert "secret" not in recording.to_text()


@pytest.mark.parametrize("callback_errors", ["log", "raise"])
def test_a_writer_that_fails_harms_nobody(
    callback_errors: Any, logged_errors: list[logging.LogRecord]
) -> None:
    def write(recording: Recording) -> None:
        raise OSError(28, "No space left on device")

    protocol = Recorder()
    harness = recorded(protocol, write=write, callback_errors=callback_errors)
    harness.feed(b"hello")
    harness.transport.abort()
    assert type(protocol.reason) is ConnectionAborted
    assert harness.lost
    (record,) = logged_errors
    assert record.getMessage() == "error in traffic_log.write, peer harness"


def test_an_interrupt_in_a_writer_is_not_swallowed() -> None:
    def write(recording: Recording) -> None:
        raise KeyboardInterrupt

    protocol = Recorder()
    harness = recorded(protocol, write=write)
    harness.feed(b"hello")
    with pytest.raises(KeyboardInterrupt):
        harness.transport.abort()
    assert type(protocol.reason) is ConnectionAborted


def test_a_recording_can_be_taken_in_connection_lost_and_after() -> None:
    seen: list[Any] = []
    protocol = Recorder(connection_lost=lambda self: seen.append(self.transport.traffic()))
    harness = recorded(protocol)
    harness.feed(b"hello")
    harness.feed_eof()
    (recording,) = seen
    assert [each.data for each in recording.pieces] == [b"hello"]
    assert recording.reason is protocol.reason
    assert taken(harness) == recording


# The setting


def test_it_is_a_factorys_setting_as_others_are() -> None:
    class Recording(Factory[Upper]):
        protocol = Upper
        traffic_log = TrafficLog(size=100)

    assert Recording().settings.traffic_log == TrafficLog(size=100)
    factory = Factory(Upper)
    harness: Harness[Upper] = Harness(factory)
    factory.configure(traffic_log=TrafficLog())
    later: Harness[Upper] = Harness(factory)
    harness.connect()
    later.connect()
    assert harness.transport.traffic() is None
    assert later.transport.traffic() is not None


async def a_coroutine(recording: Recording) -> None: ...


@pytest.mark.parametrize(
    ("error", "values"),
    [
        (ValueError, {"size": 63}),
        (TypeError, {"write": "file"}),
        (TypeError, {"write": a_coroutine}),
        (TypeError, {"redact": rb"PASS .*"}),
    ],
)
def test_a_bad_value_is_told_at_once(error: type[Exception], values: dict[str, Any]) -> None:
    with pytest.raises(error, match=f"^{next(iter(values))} must be "):
        TrafficLog(**values)


def test_the_smallest_size_is_64() -> None:
    assert TrafficLog(size=64).size == 64
