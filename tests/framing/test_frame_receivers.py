"""What every receiver of frames does, whatever the format."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.framing.kinds import FIXED, KINDS, Kind, Noting, note
from tests.framing.receivers import every_split, feed
from trioproto import Protocol
from trioproto.errors import CallbackError, ConnectionDone, FramingError, IncompleteFrame
from trioproto.framing import FrameReceiver
from trioproto.testing import Harness, verify_protocol

every_kind = pytest.mark.parametrize("kind", [*KINDS.values(), FIXED], ids=[*KINDS, "fixed"])
kinds_that_fail = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


class Unread(Protocol):
    """Takes over, and keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data


@every_kind
def test_frames_are_delivered_in_any_split(kind: Kind) -> None:
    for pieces in every_split(b"".join(kind.wire)):
        receiver, harness = note(kind)
        feed(harness, pieces)
        assert receiver.heard == [*kind.frames], pieces
        harness.feed_eof()
        assert type(harness.reason) is ConnectionDone
        assert receiver.errors == []


@every_kind
def test_an_echo_answers_the_same_however_it_is_asked(kind: Kind) -> None:
    def echo(self: Any, frame: Any) -> None:
        self.send_frame(frame)

    receiver_class: Any = type("Echo", (kind.base,), {kind.callback: echo})
    codec = note(kind)[0].codec
    answers = [codec.encode(frame) for frame in kind.frames]
    verify_protocol(receiver_class, list(zip(kind.wire, answers, strict=True)))
    verify_protocol(receiver_class, [(b"".join(kind.wire), b"".join(answers))])


@every_kind
def test_eof_after_every_byte_of_a_message_tells_what_it_cut_off(kind: Kind) -> None:
    data = b"".join(kind.wire)
    ends = {len(b"".join(kind.wire[:count])) for count in range(len(kind.wire) + 1)}
    for cut in range(len(data) + 1):
        receiver, harness = note(kind)
        feed(harness, [data[:cut]])
        harness.feed_eof()
        (reason,) = receiver.reasons
        begin = max(end for end in ends if end <= cut)
        if cut == begin:
            assert type(reason) is ConnectionDone, cut
        else:
            assert type(reason) is IncompleteFrame, cut
            assert reason.pending == cut - begin
        assert receiver.heard == [*kind.frames[: len([end for end in ends if 0 < end <= cut])]]
        assert receiver.errors == []


@every_kind
def test_a_pause_stops_after_the_frame_in_hand_and_resuming_goes_on_in_order(kind: Kind) -> None:
    def pause(receiver: Noting, _frame: Any) -> None:
        receiver.transport.pause_reading()

    for pieces in every_split(b"".join(kind.wire)):
        receiver, harness = note(kind, pause)
        for piece in pieces:
            harness.feed(piece)
        for count in range(1, 4):
            assert receiver.heard == [*kind.frames[:count]]
            receiver.transport.resume_reading()
        harness.feed_eof()
        receiver.transport.resume_reading()
        assert receiver.heard == [*kind.frames]
        assert type(harness.reason) is ConnectionDone


@every_kind
def test_resuming_inside_the_callback_neither_nests_nor_reorders(kind: Kind) -> None:
    depth: list[int] = []

    def pause_and_resume(receiver: Noting, _frame: Any) -> None:
        assert not depth
        depth.append(1)
        receiver.transport.pause_reading()
        receiver.transport.resume_reading()
        depth.pop()

    receiver, harness = note(kind, pause_and_resume)
    harness.feed(b"".join(kind.wire))
    assert receiver.heard == [*kind.frames]


@every_kind
@pytest.mark.parametrize("end", ["close", "abort"])
def test_after_close_nothing_more_is_delivered_in_this_chunk_or_a_later_one(
    kind: Kind, end: str
) -> None:
    def at_the_second(receiver: Noting, _frame: Any) -> None:
        if len(receiver.heard) == 2:
            getattr(receiver.transport, end)()

    data = b"".join(kind.wire)
    for pieces in every_split(data):
        receiver, harness = note(kind, at_the_second)
        for piece in pieces:
            if not harness.lost:
                harness.feed(piece)
        if not harness.lost:
            harness.feed(data)
            harness.feed_eof()
        assert receiver.heard == [*kind.frames[:2]], pieces
        assert len(receiver.reasons) == 1


@every_kind
def test_a_frame_whose_callback_raises_is_never_delivered_again(
    kind: Kind, logged_errors: list[logging.LogRecord]
) -> None:
    def fail(receiver: Noting, _frame: Any) -> None:
        if len(receiver.heard) == 2:
            raise ZeroDivisionError

    receiver, harness = note(kind, fail, callback_errors="log")
    harness.feed(b"".join(kind.wire))
    assert receiver.heard == [*kind.frames[:2]]
    (reason,) = receiver.reasons
    assert isinstance(reason, CallbackError)
    assert isinstance(reason.__cause__, ZeroDivisionError)
    assert len(logged_errors) == 1


@every_kind
def test_a_framing_error_that_a_callback_raises_is_the_callbacks(
    kind: Kind, logged_errors: list[logging.LogRecord]
) -> None:
    def fail(receiver: Noting, _frame: Any) -> None:
        raise IncompleteFrame(1)

    receiver, harness = note(kind, fail, callback_errors="log")
    harness.feed(b"".join(kind.wire))
    (reason,) = receiver.reasons
    assert isinstance(reason, CallbackError)
    assert receiver.errors == []
    assert len(receiver.heard) == 1


@every_kind
def test_another_protocol_takes_over_the_unread_rest_in_mid_chunk(kind: Kind) -> None:
    data = b"".join(kind.wire) + kind.wire[0][:1]
    for pieces in every_split(data):
        successor = Unread()

        def switch(receiver: Noting, _frame: Any, successor: Unread = successor) -> None:
            if len(receiver.heard) == 2:
                receiver.transport.switch_protocol(successor)

        receiver, harness = note(kind, switch)
        for piece in pieces:
            harness.feed(piece)
        assert receiver.heard == [*kind.frames[:2]], pieces
        assert successor.data == b"".join(kind.wire[2:]) + kind.wire[0][:1], pieces


@kinds_that_fail
def test_bad_bytes_end_the_connection_after_the_frames_before_them(kind: Kind) -> None:
    data = kind.wire[0] + kind.wire[1] + kind.bad
    for pieces in every_split(data + b"".join(kind.wire)):
        receiver, harness = note(kind)
        feed(harness, pieces)
        assert receiver.heard == [*kind.frames[:2]], pieces
        assert harness.write_closed
        harness.feed_eof()
        (error,) = receiver.errors
        assert type(error) is kind.error
        assert receiver.reasons == [error]


@kinds_that_fail
def test_a_last_word_may_be_written_about_bad_bytes(kind: Kind) -> None:
    def last_word(receiver: Noting, error: FramingError) -> None:
        receiver.transport.write(b"what?")

    _, harness = note(kind, at_error=last_word)
    harness.feed(kind.bad)
    assert harness.take() == b"what?"
    assert harness.write_closed
    assert type(harness.reason) is kind.error


@kinds_that_fail
@pytest.mark.parametrize("end", ["close", "abort"])
def test_whoever_ends_the_connection_for_bad_bytes_hears_of_them_once(kind: Kind, end: str) -> None:
    def close(receiver: Noting, error: FramingError) -> None:
        getattr(receiver.transport, end)()

    receiver, harness = note(kind, at_error=close)
    harness.feed(kind.bad + b"".join(kind.wire))
    if not harness.lost:
        harness.feed_eof()
    assert len(receiver.errors) == 1
    assert receiver.heard == []
    if end == "close":
        assert receiver.reasons == receiver.errors


@kinds_that_fail
def test_what_framing_failed_raises_ends_the_connection_as_any_error_does(
    kind: Kind, logged_errors: list[logging.LogRecord]
) -> None:
    def fail(receiver: Noting, error: FramingError) -> None:
        raise ZeroDivisionError

    receiver, harness = note(kind, at_error=fail, callback_errors="log")
    harness.feed(kind.bad + b"".join(kind.wire))
    (reason,) = receiver.reasons
    assert isinstance(reason, CallbackError)
    assert isinstance(reason.__cause__, ZeroDivisionError)
    assert len(receiver.errors) == 1
    assert receiver.heard == []


@kinds_that_fail
def test_a_pause_before_bad_bytes_puts_the_error_off(kind: Kind) -> None:
    def pause(receiver: Noting, _frame: Any) -> None:
        receiver.transport.pause_reading()

    receiver, harness = note(kind, pause)
    harness.feed(kind.wire[0] + kind.bad)
    assert receiver.errors == []
    assert not harness.write_closed
    receiver.transport.resume_reading()
    assert len(receiver.errors) == 1
    assert type(harness.reason) is kind.error


def test_what_make_codec_raises_comes_alone() -> None:
    with pytest.raises(NotImplementedError):
        Harness(FrameReceiver[bytes]()).connect()
