"""One case of one codec, while it is tried in one way after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Generic, NoReturn, TypeVar

from trioproto.framing.codec import Codec
from trioproto.sansio.errors import FramingError, IncompleteFrame
from trioproto.testing.codec_cases import Case, alike, is_error, take, take_one
from trioproto.testing.failures import VerificationFailed, tells_all
from trioproto.testing.partitions import cuts

__tracebackhide__ = tells_all

FrameT = TypeVar("FrameT")


class CodecTrial(Generic[FrameT]):
    """What the ways have in common.

    Attributes:
        case: what is tried.
        came: what came of it when it was fed whole, which is right.
        ends: for each item that came, the bytes that had to arrive for it.
        way: the name of the way that is being tried.
        chunks: the bytes as they are being fed.
    """

    def __init__(self, factory: Callable[[], Codec[FrameT]], case: Case[FrameT]) -> None:
        self._factory = factory
        self.case = case
        self.came: list[FrameT | FramingError] = []
        self.ends: list[int] = []
        self.way = ""
        self.chunks: Sequence[bytes] = ()

    def new(self, chunks: Sequence[bytes]) -> Codec[FrameT]:
        """Return a new codec, to be fed with *chunks*."""
        self.chunks = chunks
        return self._factory()

    def take(self, codec: Codec[FrameT]) -> list[FrameT | FramingError]:
        """Take what has arrived, and not many more items than can be right."""
        return take(codec, len(self.case.items))

    @property
    def sound(self) -> list[FrameT | FramingError]:
        """What came before the first error."""
        return list(takewhile(lambda item: not is_error(item), self.came))

    @property
    def repeatable(self) -> bool:
        """Whether the case's data may follow itself."""
        case = self.case
        return bool(case.data) and not case.rest and len(self.sound) == len(self.came)

    def may_drop(self, count: int, end: int) -> bool:
        """Whether the bytes after *count* items and before *end* mean nothing.

        They do not if the case without them reads the same, or if a new codec
        can begin behind them.
        """
        data = self.case.data
        begin = self.ends[count - 1] if count else 0
        return self._reads_as(data[:begin] + data[end:], 0) or self._reads_as(data[end:], count)

    def _reads_as(self, data: bytes, count: int) -> bool:
        """Whether a new codec makes of *data* what comes after *count* items."""
        codec = self._factory()
        if data:
            codec.feed(data)
        return alike(self.take(codec), self.came[count:]) and codec.take_rest() == self.case.rest

    def check_one(self, codec: Codec[FrameT], expected: FrameT | FramingError) -> None:
        """Fail unless a loop that is left after its first frame gives what is expected."""
        came = take_one(codec)
        self.check(came, [expected])

    def cuts(self) -> list[int]:
        """Return the places at which to cut the case's data in two."""
        return cuts(len(self.case.data), self.ends)

    def check(self, came: Sequence[object], expected: Sequence[object] | None = None) -> None:
        """Fail unless *came* is what came before, or *expected*."""
        expected = self.came if expected is None else expected
        if not alike(came, expected):
            self.fail("not what was to come", list(came), list(expected))

    def check_end(self, codec: Codec[FrameT]) -> None:
        """Fail unless the codec keeps the case's rest, and no more."""
        if self.case.error is None:
            self.check_pending(codec, len(self.case.rest))
            rest = codec.take_rest()
            if rest != self.case.rest:
                self.fail("`take_rest` does not give the rest", rest, self.case.rest)

    def check_pending(self, codec: Codec[FrameT], pending: int) -> None:
        """Fail unless the codec says in each way that *pending* bytes are left."""
        if codec.pending != pending:
            self.fail("`pending` is wrong", codec.pending, pending)
        if codec.empty is not (not pending):
            self.fail("`empty` is wrong", codec.empty, not pending)
        came = _error_at_end(codec)
        if came != (pending or None):
            expected = f"IncompleteFrame({pending})" if pending else None
            self.fail("`check_end` is wrong", came and f"IncompleteFrame({came})", expected)

    def fail(self, problem: str, came: object, expected: object) -> NoReturn:
        """Report what is wrong."""
        raise VerificationFailed(self.way, problem, self.chunks, came, expected)


def _error_at_end(codec: Codec[FrameT]) -> int | None:
    try:
        codec.check_end()
    except IncompleteFrame as error:
        return error.pending
    return None
