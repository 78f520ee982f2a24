"""What must come of some bytes, and whether it came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from trioproto.framing.codec import Codec
from trioproto.sansio.errors import FramingError

FrameT = TypeVar("FrameT")

ExpectedError: TypeAlias = FramingError | type[FramingError]
"""An error to come: its type, or one of the same type and with the same attributes.

What an instance leaves empty (``None``, ``b""``, ``""``) is not compared:
``FrameTooLong(10)`` stands for any with the limit 10, ``MalformedFrame("", 3)``
for any at offset 3.
"""


@dataclass(frozen=True)
class Case(Generic[FrameT]):
    """Bytes, and what must come of them.

    Attributes:
        data: the bytes.
        frames: what comes of them, in order. Where the codec goes on after an
            error (a line that is discarded), the error is in its place among them.
        error: what ends the codec after the frames, if anything does.
        rest: the end of *data* that is no whole frame yet.
    """

    data: bytes
    frames: Sequence[FrameT | ExpectedError]
    error: ExpectedError | None = None
    rest: bytes = b""

    @property
    def items(self) -> list[FrameT | ExpectedError]:
        """The frames, and the error that ends them."""
        return [*self.frames] if self.error is None else [*self.frames, self.error]


def take(codec: Codec[FrameT], most: int) -> list[FrameT | FramingError]:
    """Take what has arrived: frames, and errors in their place.

    It stops after an error that has ended the codec, and after *most* items: a
    broken codec may never stop by itself.
    """
    came: list[FrameT | FramingError] = []
    while True:
        try:
            for frame in codec.frames():
                came.append(frame)
                if len(came) > most:
                    return came
        except FramingError as error:
            came.append(error)
            if codec.ended or len(came) > most:
                return came
        else:
            return came


def take_one(
    codec: Codec[FrameT], kept: list[Iterator[FrameT]] | None = None
) -> list[FrameT | FramingError]:
    """Begin a loop, take one frame or one error, and leave the loop.

    The loop's iterator dies here, if it is not *kept*.
    """
    try:
        loop = codec.frames()
        if kept is not None:
            kept.append(loop)
        for frame in loop:
            return [frame]
    except FramingError as error:
        return [error]
    return []


def agree(came: Sequence[object], expected: Sequence[object]) -> bool:
    """Whether what came is what was expected."""
    return len(came) == len(expected) and all(map(_same, came, expected))


def alike(came: Sequence[object], before: Sequence[object]) -> bool:
    """Whether what came is what came before, when the bytes were cut in another way.

    How much of a frame had arrived (``begun``) is the one thing that may depend
    on that.
    """
    return len(came) == len(before) and all(map(_equal, came, before))


def is_error(item: object) -> bool:
    """Whether an item is an error, or the type of one."""
    return isinstance(item, FramingError) or _is_error_type(item)


def _same(came: object, expected: object) -> bool:
    if isinstance(came, FramingError) or is_error(expected):
        return _same_error(came, expected)
    return bool(came == expected)


def _equal(came: object, before: object) -> bool:
    if isinstance(came, FramingError) and isinstance(before, FramingError):
        return type(came) is type(before) and _but_begun(came) == _but_begun(before)
    return bool(came == before)


def _but_begun(error: FramingError) -> dict[str, object]:
    return {name: value for name, value in vars(error).items() if name != "begun"}


def _same_error(came: object, expected: object) -> bool:
    if _is_error_type(expected):
        return type(came) is expected
    if not isinstance(expected, FramingError):
        return False
    given = {name: value for name, value in vars(expected).items() if not _left_empty(value)}
    return type(came) is type(expected) and given.items() <= vars(came).items()


def _left_empty(value: object) -> bool:
    return value is None or value == b"" or value == ""


def _is_error_type(item: object) -> bool:
    return isinstance(item, type) and issubclass(item, FramingError)
