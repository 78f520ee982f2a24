"""The way with left-overs: input that ends in a frame, or is taken away from the codec.

Codecs may drop at once what stands between frames and means nothing (an empty
line, say), so less may be left than was fed since the last frame. It may not be
part of a frame, though: what is behind it must read the same without it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TypeVar

from trioproto.framing.codec import Codec
from trioproto.testing.codec_cases import is_error
from trioproto.testing.codec_trial import CodecTrial
from trioproto.testing.failures import tells_all
from trioproto.testing.partitions import halves

__tracebackhide__ = tells_all

FrameT = TypeVar("FrameT")


def with_left_overs(trial: CodecTrial[FrameT]) -> None:
    """End the input at every place; take frames away before they are read."""
    end = len(trial.case.data) if trial.case.error is None else trial.ends[-1]
    for cut in trial.cuts():
        if cut < end:
            _end_at(trial, cut)
            _take_away_at(trial, cut)
    for count in range(len(trial.sound)):
        _take_away_after(trial, count)
    if len(trial.sound) == len(trial.came):
        _take_away_after_each(trial)


def _end_at(trial: CodecTrial[FrameT], cut: int) -> None:
    """Cut the input off, look at what is said about the end, and go on after all."""
    codec, count = _read_to(trial, cut)
    if not _skips(trial, count):
        rest = _read_to(trial, cut)[0].take_rest()
        _check_rest(trial, count, cut, rest)
        trial.check_pending(codec, len(rest))
    codec.feed(trial.case.data[cut:])
    trial.check(trial.take(codec), trial.came[count:])
    trial.check_end(codec)


def _take_away_at(trial: CodecTrial[FrameT], cut: int) -> None:
    """Take the unfinished frame away, and give it back together with its end."""
    codec, count = _read_to(trial, cut)
    if _skips(trial, count):
        return
    rest = codec.take_rest()
    trial.check_pending(codec, 0)
    if rest:
        codec.feed(rest + trial.case.data[cut:])
        trial.check(trial.take(codec), trial.came[count:])
        trial.check_end(codec)


def _take_away_after(trial: CodecTrial[FrameT], count: int) -> None:
    """Take away what comes after *count* frames of many, and give it back."""
    data = trial.case.data
    codec = trial.new([data])
    codec.feed(data)
    for item in trial.came[:count]:
        trial.check_one(codec, item)
    pending = codec.pending
    rest = codec.take_rest()
    _check_rest(trial, count, len(data), rest)
    if pending != len(rest):
        trial.fail("`pending` is not the length of the rest", pending, len(rest))
    trial.check_pending(codec, 0)
    codec.feed(rest)
    trial.check(trial.take(codec), trial.came[count:])
    trial.check_end(codec)


def _take_away_after_each(trial: CodecTrial[FrameT]) -> None:
    """Take the rest away after each frame, and give it back at once."""
    data = trial.case.data
    codec = trial.new([data])
    codec.feed(data)
    for item in trial.came:
        trial.check_one(codec, item)
        rest = codec.take_rest()
        if rest:
            codec.feed(rest)
    trial.check(trial.take(codec), [])
    trial.check_end(codec)


def _read_to(trial: CodecTrial[FrameT], cut: int) -> tuple[Codec[FrameT], int]:
    """Return a codec that has got the bytes before *cut*, and how many items it gave."""
    data = trial.case.data
    codec = trial.new(halves(data, cut))
    codec.feed(data[:cut])
    count = bisect_right(trial.ends, cut)
    trial.check(trial.take(codec), trial.came[:count])
    return codec, count


def _skips(trial: CodecTrial[FrameT], count: int) -> bool:
    """Whether the last item was an error, so that any bytes may be dropped now."""
    return count > 0 and is_error(trial.came[count - 1])


def _check_rest(trial: CodecTrial[FrameT], count: int, cut: int, rest: bytes) -> None:
    """Fail unless *rest* is what was fed before *cut* and is in none of *count* frames."""
    begin = trial.ends[count - 1] if count else 0
    left = trial.case.data[begin:cut]
    dropped = len(left) - len(rest)
    if not left.endswith(rest) or (dropped and not trial.may_drop(count, begin + dropped)):
        trial.fail("`take_rest` does not give the rest", rest, left)
