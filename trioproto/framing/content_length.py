r"""Messages with headers, as the Language Server Protocol has them.

``Content-Length: 5\r\n\r\nhello``
"""

from __future__ import annotations

from collections.abc import Iterator

from trioproto.framing.codec import BufferedCodec
from trioproto.sansio.errors import FrameTooLong, MalformedFrame

MAX_LENGTH = 16 * 1024 * 1024
"""Bytes in a body: editors send whole files."""
MAX_HEADER = 1024
"""Bytes in the headers of one message: there are two, and they are short."""

_USUAL_HEADER = 64

_END = b"\r\n\r\n"


class ContentLengthCodec(BufferedCodec[bytes]):
    """Bodies, with a ``Content-Length`` header before each.

    Other headers (the protocol has ``Content-Type``) are read over. Names are
    compared without regard to case.

    Args:
        max_length: bytes that a body may have.
        max_header: bytes that the headers of one body may have, with the empty
            line at their end.

    Raises:
        ValueError: a limit is below 0.

    Origin: Language Server Protocol, base protocol, header part.
    """

    def __init__(self, *, max_length: int = MAX_LENGTH, max_header: int = MAX_HEADER) -> None:
        super().__init__()
        if max_length < 0 or max_header < 0:
            raise ValueError("a limit must be at least 0")
        self.max_length = max_length
        self._max_header = max_header

    def frames(self) -> Iterator[bytes]:
        """Take the bodies that have arrived.

        Raises:
            FrameTooLong: a body is announced to be longer than ``max_length``,
                or the headers are longer than ``max_header``.
            MalformedFrame: a header has no colon, or there is not exactly one
                ``Content-Length`` of plain digits.
        """
        if self._lacked():
            return
        while True:
            data = self._data
            begin = self._offset
            end = data.find(_END, begin, begin + self._max_header)
            if end < 0:
                size = len(data) - begin
                if size >= self._max_header:
                    self._fail(FrameTooLong(self._max_header, begun=data[begin : begin + 100]))
                # Twice as much at a time, so that a long header is linear however it was cut.
                if self._lacks(size + 1, at_once=max(_USUAL_HEADER, 2 * size)):
                    return
                continue
            length = self._length(data[begin:end])
            start = end + len(_END)
            if start + length > len(data):
                if self._lacks(start + length - begin):
                    return
                continue
            self._offset = start + length
            yield data[start : start + length]

    def encode(self, frame: bytes) -> bytes:
        """Return *frame* with its header."""
        return b"Content-Length: %d\r\n\r\n%b" % (len(frame), frame)

    def _length(self, headers: bytes) -> int:
        """Return the length that *headers* announce."""
        length = None
        offset = 0
        for line in headers.split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if not colon:
                self._fail(MalformedFrame("a header without a colon", offset, line))
            if name.lower() == b"content-length":
                digits = value.strip(b" \t")
                if length is not None or not digits.isdigit():
                    self._fail(MalformedFrame("not one length in digits", offset, line))
                length = self._number(digits)
            offset += len(line) + 2
        if length is None:
            self._fail(MalformedFrame("no Content-Length", 0, headers))
        return length

    def _number(self, digits: bytes) -> int:
        """Return what *digits* say, unless that is too much."""
        digits = digits.lstrip(b"0") or b"0"
        if len(digits) > len(str(self.max_length)) or int(digits) > self.max_length:
            announced = int(digits) if len(digits) < 20 else None
            self._fail(FrameTooLong(self.max_length, announced=announced))
        return int(digits)
