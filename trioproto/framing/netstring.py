"""Netstrings: ``5:hello,``."""

from __future__ import annotations

from collections.abc import Iterator

from trioproto.framing.codec import BufferedCodec
from trioproto.framing.strings import MAX_LENGTH, StringReceiver
from trioproto.sansio.errors import FrameTooLong, MalformedFrame

_ZERO, _NINE, _COLON, _COMMA = b"09:,"


class NetstringCodec(BufferedCodec[bytes]):
    """Strings with their length in decimal before them and a comma after them.

    The length is plain digits: no sign, no space, no leading zero. A frame is
    refused at the first byte that shows it to be wrong or too long.

    Args:
        max_length: bytes that a string may have.

    Raises:
        ValueError: *max_length* is below 0.

    Origin: https://cr.yp.to/proto/netstrings.txt
    """

    def __init__(self, *, max_length: int = MAX_LENGTH) -> None:
        super().__init__()
        if max_length < 0:
            raise ValueError("max_length must be at least 0")
        self.max_length = max_length
        self._digits = len(str(max_length))

    def frames(self) -> Iterator[bytes]:
        """Take the strings that have arrived.

        Raises:
            FrameTooLong: a length is above ``max_length``.
            MalformedFrame: no digits, a leading zero, anything but a digit or
                a colon in the length, or no comma at the end.
        """
        if self._lacked():
            return
        most = self.max_length
        while True:
            data = self._data
            begin = self._offset
            colon = data.find(b":", begin, begin + self._digits + 1)
            if colon < 0:
                self._check_length(data[begin : begin + self._digits + 1])
                if self._lacks(len(data) - begin + 1):
                    return
                continue
            digits = data[begin:colon]
            if not digits.isdigit() or digits[0] == _ZERO:
                self._check_length(data[begin : colon + 1])
            length = int(digits)
            if length > most:
                self._fail(FrameTooLong(most, announced=length))
            end = colon + 1 + length
            if end >= len(data):
                if self._lacks(end + 1 - begin):
                    return
                continue
            if data[end] != _COMMA:
                offset = end - begin
                self._fail(MalformedFrame("no comma", offset, data[end : end + 1]))
            self._offset = end + 1
            yield data[colon + 1 : end]

    def encode(self, frame: bytes) -> bytes:
        """Return *frame* as a netstring."""
        return b"%d:%b," % (len(frame), frame)

    def _check_length(self, begun: bytes) -> None:
        """Refuse what no frame can begin with."""
        for offset, byte in enumerate(begun):
            if byte == _COLON and offset:
                return
            if not _ZERO <= byte <= _NINE:
                problem = "no length" if byte == _COLON else "not a digit"
                self._fail(MalformedFrame(problem, offset, begun[offset : offset + 1]))
            if offset == 1 and begun[0] == _ZERO:
                self._fail(MalformedFrame("a leading zero", 0, begun[:2]))
            if offset == self._digits:
                self._fail(FrameTooLong(self.max_length))


class NetstringReceiver(StringReceiver):
    """A protocol of netstrings.

    Attributes:
        max_length: bytes that a string may have.

    Origin: Twisted's NetstringReceiver.
    """

    def make_codec(self) -> NetstringCodec:
        """Make a codec of the class's attributes."""
        return NetstringCodec(max_length=self.max_length)
