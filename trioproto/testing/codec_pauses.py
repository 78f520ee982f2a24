"""The way with pauses: the reader stops between frames, and more arrives meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from trioproto.sansio.errors import FramingError
from trioproto.testing.codec_cases import take_one
from trioproto.testing.codec_trial import CodecTrial
from trioproto.testing.failures import tells_all
from trioproto.testing.partitions import bytewise, halves, in_pieces, spread

__tracebackhide__ = tells_all

FrameT = TypeVar("FrameT")

_PAUSED_CUTS = 40
"""Places at which the data is cut here."""


def with_pauses(trial: CodecTrial[FrameT]) -> None:
    """Leave the loop and begin it again, feed inside it, and look around in it."""
    data = trial.case.data
    partitions = [[data], bytewise(data), in_pieces(data, 3), in_pieces(data, 7)]
    partitions += [halves(data, cut) for cut in spread(trial.cuts(), _PAUSED_CUTS)]
    for chunks in partitions:
        _leave_the_loop(trial, chunks, trial.came, close=True)
        _leave_the_loop(trial, chunks, trial.came, close=False)
        _feed_in_the_loop(trial, chunks, trial.came)
    if trial.repeatable:
        _leave_the_loop(trial, [data * 2, data, data], trial.came * 4, close=True)
        _feed_in_the_loop(trial, [data * 2, data, data], trial.came * 4)
    _look_in_the_loop(trial)


def _leave_the_loop(
    trial: CodecTrial[FrameT],
    chunks: Sequence[bytes],
    expected: Sequence[FrameT | FramingError],
    *,
    close: bool,
) -> None:
    """Take one frame in each loop, feeding a chunk after each, or when none comes.

    A generator that is left is closed at once, or kept for longer.
    """
    codec = trial.new(chunks)
    waiting = list(chunks)
    kept: list[Iterator[FrameT]] = []
    came: list[FrameT | FramingError] = []
    while not codec.ended and len(came) <= len(expected):
        item = take_one(codec, None if close else kept)
        came += item
        if waiting:
            codec.feed(waiting.pop(0))
        elif not item:
            break
    trial.check(came, expected)
    trial.check_end(codec)


def _feed_in_the_loop(
    trial: CodecTrial[FrameT], chunks: Sequence[bytes], expected: Sequence[FrameT | FramingError]
) -> None:
    """Feed a chunk after each frame, inside the loop."""
    codec = trial.new(chunks)
    waiting = list(chunks)
    came: list[FrameT | FramingError] = []
    while not codec.ended and len(came) <= len(expected):
        before = len(came)
        try:
            for frame in codec.frames():
                came.append(frame)
                if len(came) > len(expected):
                    break
                if waiting:
                    codec.feed(waiting.pop(0))
        except FramingError as error:
            came.append(error)
        if waiting:
            codec.feed(waiting.pop(0))
        elif len(came) == before:
            break
    trial.check(came, expected)
    trial.check_end(codec)


def _look_in_the_loop(trial: CodecTrial[FrameT]) -> None:
    """Ask what is pending inside the loop, which changes nothing."""
    codec = trial.new([trial.case.data])
    codec.feed(trial.case.data)
    came: list[FrameT | FramingError] = []
    pending = [codec.pending]
    with suppress(FramingError):
        for frame in codec.frames():
            came.append(frame)
            pending.append(codec.pending)
            if len(came) > len(trial.came):
                break
    trial.check(came, trial.sound)
    if pending != sorted(set(pending), reverse=True):
        trial.fail("`pending` does not fall in the loop", pending, sorted(pending, reverse=True))
