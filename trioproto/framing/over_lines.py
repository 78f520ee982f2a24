"""Formats in which each frame is a line, written in a way of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from trioproto.framing.codec import Codec, FrameT
from trioproto.framing.line_codec import LineCodec
from trioproto.sansio.errors import FrameTooLong, FramingError


class OverLinesCodec(Codec[FrameT]):
    """Makes frames of lines.

    Args:
        delimiter: the bytes that end a line.
        max_length: bytes that a line may have.
    """

    def __init__(self, delimiter: bytes, *, max_length: int) -> None:
        self.max_length = max_length
        self._lines = LineCodec(delimiter, max_length=max_length)

    def feed(self, data: bytes) -> None:
        """Take bytes that have arrived, cut anywhere."""
        if self.error is None:
            self._lines.feed(data)

    def frames(self) -> Iterator[FrameT]:
        """Take the frames that have arrived.

        Raises:
            FrameTooLong: a frame is too long.
            MalformedFrame: a line is none of this format.
        """
        if self.error is not None:
            raise self.error.with_traceback(None)
        try:
            for line in self._lines.frames():
                yield from self._decode(line)
            return
        except FramingError as error:
            failure = error.with_traceback(None)
        self._lines.take_rest()
        if isinstance(failure, FrameTooLong):
            failure = FrameTooLong(self.max_length, begun=failure.begun)
        self.error = failure
        raise failure

    def take_rest(self) -> bytes:
        """Return, and forget, every byte that is not part of a frame taken already."""
        return self._lines.take_rest()

    @property
    def pending(self) -> int:
        """Bytes that are not part of a frame taken already."""
        return self._lines.pending

    @property
    def empty(self) -> bool:
        """Whether nothing is pending; cheaper than to count it."""
        return self._lines.empty

    @abstractmethod
    def _decode(self, line: bytes) -> Iterator[FrameT]:
        """Make a frame of *line*, or none if it means nothing."""
