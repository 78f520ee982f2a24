"""Lines that end with one of several delimiters: a small addition to ordinary ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trioproto.framing.line_codec import MAX_LENGTH, LineCodec, OnTooLong, delimiter_begun
from trioproto.sansio.errors import SHOWN


class AnyLineCodec(LineCodec):
    r"""Lines that end with one of several delimiters.

    Where several begin at the same byte, the longest counts: with ``\r`` and
    ``\r\n`` a ``\n`` after a ``\r`` that ended a line belongs to that delimiter,
    also when it arrives later (but not to who takes the rest over in between).
    ``encode`` uses the first one.

    Args:
        delimiters: each ends a line.
        max_length: bytes that a line may have without its delimiter.
        on_too_long: what a longer line does, as in ``LineCodec``.

    Raises:
        ValueError: there is no delimiter, one is empty, or one has another one
            inside it, so that a line would end sooner or later by the way in
            which it is cut.
    """

    def __init__(
        self,
        delimiters: Sequence[bytes] = (b"\r\n", b"\n"),
        *,
        max_length: int = MAX_LENGTH,
        on_too_long: OnTooLong = "close",
    ) -> None:
        if not delimiters or not all(delimiters):
            raise ValueError("at least one delimiter is needed, and none may be empty")
        super().__init__(delimiters[0], max_length=max_length, on_too_long=on_too_long)
        by_length = sorted(set(delimiters), key=len, reverse=True)
        self._delimiters = by_length
        self._longest = len(by_length[0])
        last_bytes = {delimiter[-1:] for delimiter in delimiters}
        self._last_byte = last_bytes.pop() if len(last_bytes) == 1 else b""
        self._pattern = re.compile(b"(" + b"|".join(map(re.escape, by_length)) + b")")
        self._whole = b""
        """What was split last, up to the end of its last line."""
        self._longer: dict[bytes, bytes] = {}
        """For a delimiter: the bytes of which one makes a longer one of it."""
        for short in by_length:
            for long in by_length:
                if long[:-1] == short:
                    self._longer[short] = self._longer.get(short, b"") + long[-1:]
                elif short in long[:-1]:
                    raise ValueError(f"delimiter {long!r} has {short!r} inside it")
        self._ignored = b""
        """Bytes of which one, if it comes next, belongs to the last delimiter."""

    @property
    def empty(self) -> bool:
        """Whether nothing is pending; cheaper than to count it."""
        empty = super().empty
        if empty:
            self._whole = b""
        return empty

    def encode(self, frame: bytes) -> bytes:
        """Return *frame* with the first delimiter after it.

        Raises:
            ValueError: *frame* contains a delimiter, or makes another one
                together with what stands before or after it.
        """
        line = frame + self.delimiter
        if frame[:1] and frame[0] in self._longer.get(self.delimiter, b""):
            raise ValueError(f"line begins with the end of a delimiter: {frame[:1]!r}")
        found = self._pattern.search(line)
        if found is None or found.start() < len(frame):
            raise ValueError(f"line contains a delimiter: {line[-SHOWN:]!r}")
        return line

    def frames(self) -> Iterator[bytes]:
        """Take the lines that have arrived; as in ``LineCodec``."""
        return self._then_let_go(super().frames())

    def _then_let_go(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        yield from lines
        self._whole = b""

    def _split(self, data: bytes) -> list[bytes]:
        if data:
            if data[0] in self._ignored:
                data = data[1:]
            self._ignored = b""
        pieces = self._pattern.split(data, max(0, self._batch))
        rest = pieces[-1]
        self._whole = data[: len(data) - len(rest)]
        if not rest and len(pieces) > 1:
            self._ignored = self._longer.get(pieces[-2], b"")
        return pieces[::2]

    def _rejoin(self, lines: list[bytes]) -> bytes:
        pieces = self._pattern.split(self._whole)
        return b"".join(pieces[len(pieces) - 1 - 2 * len(lines) : -1])

    def _find(self, data: bytes | bytearray, begin: int) -> int | None:
        found = self._pattern.search(data, begin)
        return None if found is None else found.end()

    def _delimiter_begun(self, data: bytes | bytearray) -> int:
        return max(delimiter_begun(data, delimiter) for delimiter in self._delimiters)

    def _skip(self, data: bytes) -> bytes:
        rest = super()._skip(data)
        if not rest and not self.skipping:
            end = next(filter(data.endswith, self._delimiters))
            self._ignored = self._longer.get(end, b"")
        return rest

    def _forget(self) -> None:
        super()._forget()
        self._whole = b""
        self._ignored = b""
