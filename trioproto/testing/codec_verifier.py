"""Is a codec right, however its bytes arrive?

A decoder that passes when it is fed a whole message may still fail when the
message is cut in an unlucky place, when two come at once, when the reader stops
between them, or when something follows an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from trioproto.framing.codec import Codec
from trioproto.sansio.errors import FramingError
from trioproto.testing.codec_cases import Case, ExpectedError, agree, take
from trioproto.testing.codec_left_overs import with_left_overs
from trioproto.testing.codec_pauses import with_pauses
from trioproto.testing.codec_trial import CodecTrial
from trioproto.testing.failures import VerificationFailed, tells_all
from trioproto.testing.partitions import bytewise, halves

__tracebackhide__ = tells_all

FrameT = TypeVar("FrameT")

AnyCase: TypeAlias = (
    Case[FrameT]
    | tuple[bytes, Sequence[FrameT | ExpectedError]]
    | tuple[bytes, Sequence[FrameT | ExpectedError], ExpectedError]
)

_AT_ONCE = 16 * 1024
"""Bytes to which a case is repeated for "many at once"."""


def verify_codec(
    codec_factory: Callable[[], Codec[FrameT]], cases: Iterable[AnyCase[FrameT]]
) -> None:
    r"""Try each case in every way in which its bytes may arrive, and be read.

    A case is ``(data, frames)``, ``(data, frames, error)`` or a :class:`Case`::

        verify_codec(
            NetstringCodec,
            [
                (b"0:,1:a,", [b"", b"a"]),
                (b"1:a,x", [b"a"], MalformedFrame("", 0, b"x")),
                Case(b"1:a,2:b", [b"a"], rest=b"2:b"),
            ],
        )

    The ways, in this order:

    * ``whole``: in one chunk;
    * ``byte by byte``;
    * ``at every split``: cut in two at every place (above 400 bytes at 400
      places: near the ends of the frames and of the data, and evenly spread);
    * ``many at once``: the data several times over in one chunk, if it holds
      whole frames only;
    * ``with left-overs``: ended at every place (chosen likewise): ``pending``,
      ``empty`` and ``check_end`` tell what is left, ``take_rest`` gives it
      back, also when there are frames still to be taken, and when it is fed
      again all goes on;
    * ``with pauses``: the loop is left after each frame and begun again, and
      more is fed meanwhile, also inside the loop;
    * ``after an error``: nothing but the same error comes, and nothing is kept;
    * ``encoded again``: what ``encode`` makes of the frames gives the same ones.

    Each byte is fed hundreds of times: good cases have some hundred bytes.

    Args:
        codec_factory: makes a new codec: a class, or a function.
        cases: at least one.

    Raises:
        VerificationFailed: something else came; the first that was found.
        ValueError: there is no case.
    """
    cases = list(cases)
    if not cases:
        raise ValueError("there is no case to verify")
    for case in cases:
        _verify(CodecTrial(codec_factory, _as_case(case)))


def _as_case(case: AnyCase[FrameT]) -> Case[FrameT]:
    if isinstance(case, Case):
        return case
    if len(case) == 2:
        return Case(case[0], case[1])
    return Case(case[0], case[1], case[2])


def _verify(trial: CodecTrial[FrameT]) -> None:
    for trial.way, tried in _WAYS.items():
        try:
            tried(trial)
        except VerificationFailed:
            raise
        except Exception as error:
            raised = f"{type(error).__name__} was raised"
            raise VerificationFailed(
                trial.way, raised, trial.chunks, error, trial.case.items
            ) from error


def _whole(trial: CodecTrial[FrameT]) -> None:
    data = trial.case.data
    codec = trial.new([data])
    codec.feed(data)
    came = trial.take(codec)
    if not agree(came, trial.case.items):
        trial.fail("not what was to come", came, trial.case.items)
    trial.came = came
    trial.check_end(codec)


def _byte_by_byte(trial: CodecTrial[FrameT]) -> None:
    """Read so, and note where each frame has ended."""
    chunks = bytewise(trial.case.data)
    codec = trial.new(chunks)
    came: list[FrameT | FramingError] = []
    for number, chunk in enumerate(chunks, 1):
        codec.feed(chunk)
        came += trial.take(codec)
        trial.ends += [number] * (len(came) - len(trial.ends))
        if codec.ended or len(came) > len(trial.came):
            break
    trial.check(came)
    trial.check_end(codec)


def _at_every_split(trial: CodecTrial[FrameT]) -> None:
    for cut in trial.cuts():
        chunks = halves(trial.case.data, cut)
        codec = trial.new(chunks)
        came: list[FrameT | FramingError] = []
        for chunk in chunks:
            if not codec.ended:
                codec.feed(chunk)
                came += trial.take(codec)
        trial.check(came)
        trial.check_end(codec)


def _many_at_once(trial: CodecTrial[FrameT]) -> None:
    data = trial.case.data
    if not trial.repeatable:
        return
    for times in (2, 3, max(4, min(100, _AT_ONCE // len(data)))):
        codec = trial.new([data * times])
        codec.feed(data * times)
        came = take(codec, len(trial.came) * times)
        trial.check(came, trial.came * times)
        trial.check_end(codec)


def _after_an_error(trial: CodecTrial[FrameT]) -> None:
    data = trial.case.data
    if trial.case.error is None:
        return
    last = trial.came[-1:]
    for chunks in ([data], bytewise(data)):
        codec = trial.new([*chunks, data])
        for chunk in chunks:
            codec.feed(chunk)
            came = trial.take(codec)
            if came and codec.ended:
                if codec.error is not came[-1]:
                    trial.fail("`error` is not what was raised", codec.error, came[-1])
                break
        pending = codec.pending
        for again in (False, True, True):
            if again:
                codec.feed(data)
            trial.check(trial.take(codec), last)
            if codec.pending > pending or not codec.ended:
                trial.fail("what is fed to a codec that has ended is kept", codec.pending, pending)


def _encoded_again(trial: CodecTrial[FrameT]) -> None:
    frames = [item for item in trial.came if not isinstance(item, FramingError)]
    encoder = trial.new([trial.case.data])
    data = b"".join([encoder.encode(frame) for frame in frames])
    codec = trial.new([data])
    if data:
        codec.feed(data)
    trial.check(trial.take(codec), frames)
    trial.check_pending(codec, 0)


_WAYS: dict[str, Callable[[CodecTrial[Any]], None]] = {
    "whole": _whole,
    "byte by byte": _byte_by_byte,
    "at every split": _at_every_split,
    "many at once": _many_at_once,
    "with left-overs": with_left_overs,
    "with pauses": with_pauses,
    "after an error": _after_an_error,
    "encoded again": _encoded_again,
}
