"""Lines: frames that end with a delimiter.

A chunk is split into all its lines at once, which is what makes lines cheap: the
loop over them is then one over a list. An unfinished line waits in a
``bytearray`` and is searched only where it was not searched before. So the cost
is linear in the bytes, however they were cut.

Who takes the rest of a chunk away (for raw data, or for another protocol) would
have it split in vain, again and again. So at first, and after ``take_rest``, one
line is split off, then two, then four, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from operator import length_hint
from typing import Literal, NoReturn, TypeAlias

from trioproto.framing.codec import Codec
from trioproto.sansio.errors import FrameTooLong

MAX_LENGTH = 16_384
"""Bytes in a line, as in Twisted."""

OnTooLong: TypeAlias = Literal["close", "discard"]

_NOTHING: Iterator[bytes] = iter(())
_ALL = -1
_LEAST_HOP = 1024
"""Bytes of a longest line from which on it is faster to hop over lines than to measure them."""
_MANY = 4096
"""Lines at once from which on a chunk is split whole again."""


class LineCodec(Codec[bytes]):
    r"""Lines of bytes, without their delimiter; they may be empty.

    Args:
        delimiter: the bytes that end a line.
        max_length: bytes that a line may have without its delimiter.
        on_too_long: what a longer line does: ``"close"`` ends the codec with
            ``FrameTooLong``; ``"discard"`` raises the same once for it, and
            goes on after its delimiter.

    Raises:
        ValueError: *delimiter* is empty, *max_length* below 0, or *on_too_long*
            something else.

    Origin: Twisted's LineOnlyReceiver; RFC 5321 section 2.3.8 for ``\r\n``.
    """

    def __init__(
        self,
        delimiter: bytes = b"\r\n",
        *,
        max_length: int = MAX_LENGTH,
        on_too_long: OnTooLong = "close",
    ) -> None:
        if not delimiter:
            raise ValueError("delimiter must not be empty")
        if max_length < 0:
            raise ValueError("max_length must be at least 0")
        if on_too_long not in ("close", "discard"):
            raise ValueError('on_too_long must be "close" or "discard"')
        self.delimiter = delimiter
        self.max_length = max_length
        self.on_too_long = on_too_long
        self._lines: Iterator[bytes] = _NOTHING
        self._fed: list[bytes] = []
        self._tail = bytearray()
        self._overlong = False
        """Whether one of the following two had something in it; most often not."""
        self._doubtful: Iterator[bytes] = _NOTHING
        """A line that is too long, and those after it; they come after ``_lines``."""
        self._overfull = False
        """Whether the unfinished line is too long already."""
        self._batch = 1
        self._longest = len(delimiter)
        self._last_byte = delimiter[-1:]
        """With which every delimiter ends; empty, if they end differently."""

    def feed(self, data: bytes) -> None:
        """Take bytes that have arrived, cut anywhere."""
        if self._tail and self._only_lengthens(data):
            self._tail += data
        elif not self.ended:
            self._fed.append(data)

    def frames(self) -> Iterator[bytes]:
        """Take the lines that have arrived.

        Raises:
            FrameTooLong: a line is too long; ``begun`` is what has arrived of
                it, at least one byte more than ``max_length``.
        """
        if self.error is not None:
            if self.ended:
                raise self.error.with_traceback(None)
            self.error = None
        if self._fed and not length_hint(self._lines) and not self._more_without_cut:
            self._cut()
        if self._fed or self._overlong:
            return self._one_by_one()
        return self._lines

    def take_rest(self) -> bytes:
        """Return, and forget, every byte that is not part of a line taken already."""
        whole = self._rejoin([*self._lines, *self._doubtful])
        rest = b"".join([whole, self._unfinished(), *self._fed])
        self._fed.clear()
        self._forget()
        self._batch = 1
        return rest

    @property
    def pending(self) -> int:
        """Bytes that are not part of a line taken already; to count them costs as much."""
        whole = len(self._rejoin([*copy(self._lines), *copy(self._doubtful)]))
        return whole + len(self._unfinished()) + sum(map(len, self._fed))

    @property
    def ended(self) -> bool:
        """Whether a line was too long, and that was to end the codec."""
        return self.error is not None and self.on_too_long == "close"

    @property
    def empty(self) -> bool:
        """Whether nothing is pending; cheaper than to count it."""
        if length_hint(self._lines) or (self._overlong and self._more_without_cut):
            return False
        # A loop that was left at the last line has not let go of the list.
        self._lines = self._doubtful = _NOTHING
        return not (self._fed or (self._tail and not self.skipping))

    def encode(self, frame: bytes) -> bytes:
        """Return *frame* with the delimiter after it.

        Raises:
            ValueError: *frame* contains the delimiter, or makes one together
                with what follows it: it would be two lines.
        """
        delimiter = self.delimiter
        line = frame + delimiter
        # The last byte first: looking for one byte costs a fifth of looking for two.
        if delimiter[-1] in frame and line.find(delimiter) < len(frame):
            raise ValueError(f"line contains the delimiter {delimiter!r}")
        return line

    def _one_by_one(self) -> Iterator[bytes]:
        """Take lines where there is more than one list of them, or an error."""
        while True:
            yield from self._lines
            for line in self._doubtful:
                if len(line) > self.max_length:
                    self._fail(line)
                yield line
            if self._overfull:
                self._raise_overfull()
            if not self._fed:
                return
            self._cut()

    @property
    def _more_without_cut(self) -> bool:
        """Whether something comes after ``_lines`` that needs no look at what was fed."""
        return self._overlong and (self._overfull or length_hint(self._doubtful) > 0)

    def _cut(self) -> None:
        """Make lines of what was fed; all earlier ones have been taken."""
        fed = self._fed
        data = fed[0] if len(fed) == 1 else b"".join(fed)
        fed.clear()
        if self.skipping:
            data = self._skip(bytes(self._tail) + data)
        if self._tail:
            data = self._with_tail(data)
        lines = self._split(data)
        rest = lines.pop()
        if len(lines) == self._batch:
            self._batch = 2 * self._batch if self._batch < _MANY else _ALL
            if rest:
                fed.append(rest)
        elif rest:
            self._tail += rest
        self._overlong = False
        if len(data) > self.max_length and self._may_be_overlong(data):
            self._set_apart(lines)
        self._lines = iter(lines)
        if len(self._tail) > self.max_length:
            certain = len(self._tail) - self._delimiter_begun(self._tail)
            self._overfull = certain > self.max_length
            self._overlong |= self._overfull

    def _only_lengthens(self, data: bytes) -> bool:
        """Whether *data* just lengthens the unfinished line, as no delimiter can end in it."""
        return (
            self._last_byte not in data
            and len(self._tail) + len(data) <= self.max_length
            and not (self._fed or self.skipping)
        )

    def _with_tail(self, data: bytes) -> bytes:
        """Put the unfinished line and *data* together, once it pays."""
        tail = self._tail
        if len(data) < len(tail):
            # Look only where nobody has looked: or each of many small pieces costs the whole line.
            begin = max(0, len(tail) - self._longest + 1)
            tail += data
            if self._find(tail, begin) is None:
                return b""
            data = b""
        data = b"".join((tail, data))
        tail.clear()
        return data

    def _unfinished(self) -> bytearray | bytes:
        """Return the unfinished line; of one that is skipped nothing counts."""
        return b"" if self.skipping else self._tail

    # Lines that are too long

    def _may_be_overlong(self, data: bytes) -> bool:
        """Whether some line of *data* may be too long; hops, as measuring each costs a sixth."""
        hop = self.max_length - len(self.delimiter)
        if hop < _LEAST_HOP:
            return True
        begin = 0
        while len(data) - begin > hop:
            found = data.rfind(self.delimiter, begin, begin + hop)
            if found < 0:
                return True
            begin = found + len(self.delimiter)
        return False

    def _set_apart(self, lines: list[bytes]) -> None:
        """Cut *lines* off before the first that is too long."""
        if lines and max(map(len, lines)) > self.max_length:
            index = next(i for i, line in enumerate(lines) if len(line) > self.max_length)
            self._doubtful = iter(lines[index:])
            self._overlong = True
            del lines[index:]

    def _raise_overfull(self) -> NoReturn:
        """Raise for the unfinished line; the rest of it is skipped."""
        begun = self._delimiter_begun(self._tail)
        line = bytes(self._tail[: len(self._tail) - begun])
        del self._tail[: len(line)]
        self._overfull = False
        self.skipping = True
        self._fail(line)

    def _fail(self, line: bytes) -> NoReturn:
        self.error = FrameTooLong(self.max_length, begun=line)
        if not length_hint(self._doubtful):
            self._doubtful = _NOTHING  # its list with it: the loop over it ends here
        if self.ended:
            self._fed.clear()
            self._forget()
        raise self.error

    def _skip(self, data: bytes) -> bytes:
        """Drop what belongs to a line that is too long; return what comes after it."""
        self._tail.clear()
        found = self._find(data, 0)
        if found is not None:
            self.skipping = False
            return data[found:]
        begun = self._delimiter_begun(data)
        if begun:
            self._tail += data[-begun:]
        return b""

    def _forget(self) -> None:
        self._lines = self._doubtful = _NOTHING
        self._tail = bytearray()
        self._overfull = False
        self.skipping = False

    # What depends on the delimiter

    def _split(self, data: bytes) -> list[bytes]:
        """Return at most ``_batch`` lines of *data*, and what comes after them."""
        return data.split(self.delimiter, self._batch)

    def _rejoin(self, lines: list[bytes]) -> bytes:
        """Undo ``_split``, for the last *lines* that came of it."""
        return self.delimiter.join([*lines, b""])

    def _find(self, data: bytes | bytearray, begin: int) -> int | None:
        """Return where the first delimiter from *begin* on has ended."""
        found = data.find(self.delimiter, begin)
        return None if found < 0 else found + len(self.delimiter)

    def _delimiter_begun(self, data: bytes | bytearray) -> int:
        """Return how many bytes at the end of *data* may be the beginning of a delimiter."""
        return delimiter_begun(data, self.delimiter)


def delimiter_begun(data: bytes | bytearray, delimiter: bytes) -> int:
    """Return how many bytes at the end of *data* are a beginning of *delimiter*."""
    for length in range(min(len(delimiter) - 1, len(data)), 0, -1):
        if data.endswith(delimiter[:length]):
            return length
    return 0
