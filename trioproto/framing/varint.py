"""Frames with a variable-length number before them, as Protocol Buffers are streamed."""

from __future__ import annotations

from collections.abc import Iterator

from trioproto.framing.codec import BufferedCodec
from trioproto.framing.receiver import FrameReceiver
from trioproto.framing.strings import MAX_LENGTH
from trioproto.sansio.errors import FrameTooLong, MalformedFrame

MAX_DIGITS = 10
"""Bytes of a number: 64 bits, seven in each."""


class VarintCodec(BufferedCodec[bytes]):
    """Frames with their length before them, seven bits in a byte, the lowest first.

    The highest bit of a byte says that another follows. A length may have zeros
    at its end that it does not need, within its ten bytes.

    Args:
        max_length: bytes that a frame may have.

    Raises:
        ValueError: *max_length* is below 0.

    Origin: the base 128 varints of the Protocol Buffers encoding; LEB128.
    """

    def __init__(self, *, max_length: int = MAX_LENGTH) -> None:
        super().__init__()
        if max_length < 0:
            raise ValueError("max_length must be at least 0")
        self.max_length = max_length

    def frames(self) -> Iterator[bytes]:
        """Take the frames that have arrived.

        Raises:
            FrameTooLong: a length is above ``max_length``.
            MalformedFrame: a length has more than ten bytes.
        """
        if self._lacked():
            return
        most = self.max_length
        while True:
            data = self._data
            begin = start = self._offset
            length = 0
            for byte in data[begin : begin + MAX_DIGITS]:
                length |= (byte & 0x7F) << (7 * (start - begin))
                start += 1
                if byte < 0x80:
                    break
            else:
                if start - begin == MAX_DIGITS:
                    problem = "a length without end"
                    self._fail(MalformedFrame(problem, MAX_DIGITS - 1, data[begin:start]))
                if self._lacks(start - begin + 1):
                    return
                continue
            if length > most:
                self._fail(FrameTooLong(most, announced=length))
            end = start + length
            if end > len(data):
                if self._lacks(end - begin):
                    return
                continue
            self._offset = end
            yield data[start:end]

    def encode(self, frame: bytes) -> bytes:
        """Return *frame* with its length, in as few bytes as it needs."""
        length = len(frame)
        digits = bytearray()
        while length > 0x7F:
            digits.append(length & 0x7F | 0x80)
            length >>= 7
        digits.append(length)
        return bytes(digits) + frame


class VarintReceiver(FrameReceiver[bytes]):
    """A protocol of frames with a varint before each.

    Attributes:
        max_length: bytes that a frame may have.
    """

    max_length: int = MAX_LENGTH

    def make_codec(self) -> VarintCodec:
        """Make a codec of the class's attributes."""
        return VarintCodec(max_length=self.max_length)
