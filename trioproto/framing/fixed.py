"""Frames that all have the same size."""

from __future__ import annotations

from collections.abc import Iterator

from trioproto.framing.codec import BufferedCodec


class FixedSizeCodec(BufferedCodec[bytes]):
    """Frames of *size* bytes each; any bytes are valid.

    Attributes:
        size: bytes of a frame.

    Args:
        size: bytes of a frame, which is its ``max_length`` as well.

    Raises:
        ValueError: *size* is below 1.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError("size must be at least 1")
        self.max_length = size
        self.size = size

    def frames(self) -> Iterator[bytes]:
        """Take the frames that have arrived."""
        while True:
            begin = self._offset
            end = begin + self.size
            if end > len(self._data):
                if self._lacks(self.size):
                    return
                continue
            self._offset = end
            yield self._data[begin:end]

    def encode(self, frame: bytes) -> bytes:
        """Return *frame* itself.

        Raises:
            ValueError: it has another size.
        """
        if len(frame) != self.size:
            raise ValueError(f"a frame has {self.size} bytes, not {len(frame)}")
        return frame
