"""What all codecs have in common: bytes in, frames out, and the other way round.

A codec knows one format and nothing else: no connection, no stream, no callback.
It serves both styles, the receivers (callbacks) and ``FrameChannel`` (pull)::

    codec.feed(data)
    for frame in codec.frames():
        ...

There are three answers. More bytes are needed: the loop ends. A frame: it has
been taken off the buffer when the loop's body runs, so that nothing which
happens there brings it a second time. An error: it is raised in the place of
the frame that it concerns, after everything before it.

The loop may be left at any time, and another begun: it goes on with the next
frame. Bytes may be fed at any time; those that are fed inside the loop are looked
at by the next one at the latest. ``take_rest`` gives back what no frame was made of
yet, exactly as it came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, NoReturn, TypeVar

from trioproto.sansio.errors import FramingError, IncompleteFrame

FrameT = TypeVar("FrameT")


class Codec(ABC, Generic[FrameT]):
    """One format: cuts bytes into frames, and makes bytes of frames.

    A codec belongs to one connection, as decoding has state. Encoding has none.

    Attributes:
        max_length: bytes that a frame may have; what counts, the format says.
        error: what ``frames()`` raised last, or ``None``.
        skipping: whether bytes are being dropped up to the next frame.
    """

    max_length: int
    error: FramingError | None = None
    skipping: bool = False

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take bytes that have arrived, cut anywhere."""

    @abstractmethod
    def frames(self) -> Iterator[FrameT]:
        """Take the frames that have arrived, one after the other.

        Raises:
            FramingError: the bytes in front are no frame of this format;
                ``error`` was set to it before. The codec has ended, unless its
                documentation says otherwise.
        """

    @abstractmethod
    def take_rest(self) -> bytes:
        """Return, and forget, every byte that is not part of a frame taken already."""

    @property
    @abstractmethod
    def pending(self) -> int:
        """Bytes that are not part of a frame taken already."""

    @property
    def ended(self) -> bool:
        """Whether an error was final; ``frames()`` then raises it again, and drops what is fed."""
        return self.error is not None

    @property
    def empty(self) -> bool:
        """Whether nothing is pending."""
        return not self.pending

    @abstractmethod
    def encode(self, frame: FrameT) -> bytes:
        """Return the bytes of one frame.

        Raises:
            ValueError: this format has no such frame.
            StringTooLong: it is longer than the format can say.
        """

    def check_end(self) -> None:
        """Take the end of input, when every frame has been taken.

        Raises:
            IncompleteFrame: it cuts a frame off.
        """
        if self.pending:
            raise IncompleteFrame(self.pending)


class BufferedCodec(Codec[FrameT]):
    """A codec that looks for one frame at a time in front of what has arrived.

    ``frames`` of a subclass is a generator. It works on ``_data`` from ``_offset``
    on, which it moves before it yields; if ``_data`` has changed after that, it
    begins anew. It calls ``_lacks`` when it needs more.

    Where a frame was cut, only that frame is joined: the rest of a chunk stays as
    it came, in ``_next``, until it is in front. What arrives while a large frame is
    not whole waits in ``_later``, and is joined once. So the cost is linear in the
    bytes, and nothing is ever allocated because a peer has announced it.
    """

    _data: bytes
    _offset: int
    _next: bytes
    _next_offset: int
    _later: bytearray
    _wanted: int
    """Bytes from ``_offset`` on without which there is nothing to do; 0: look first."""

    def __init__(self) -> None:
        self._forget()

    def feed(self, data: bytes) -> None:
        """Take bytes that have arrived, cut anywhere."""
        if self.error is not None:
            return
        pending = self.pending
        if not pending:
            self._data = data
            self._offset = 0
            if len(data) >= self._wanted:
                self._wanted = 0
        elif 0 < self._wanted <= pending + len(data) and not self._next:
            cut = self._wanted - pending
            self._join(data[:cut])
            if cut < len(data):
                self._next = data
                self._next_offset = cut
        else:
            self._let_go()
            self._later += data

    def take_rest(self) -> bytes:
        """Return, and forget, every byte that is not part of a frame taken already."""
        parts = (self._data[self._offset :], self._next[self._next_offset :], self._later)
        self._forget()
        return b"".join(parts)

    @property
    def pending(self) -> int:
        """Bytes that are not part of a frame taken already."""
        in_front = len(self._data) - self._offset
        return in_front + len(self._next) - self._next_offset + len(self._later)

    def _lacked(self) -> bool:
        """Raise what has ended this codec; or say whether what lacked has still not come."""
        if self.error is not None:
            raise self.error.with_traceback(None)
        return self.pending < self._wanted

    def _lacks(self, wanted: int, at_once: int = 0) -> bool:
        """Say that *wanted* bytes from ``_offset`` on are needed; return whether they lack.

        Args:
            wanted: without so many nothing can be done.
            at_once: bytes to join at least, if there are so many.
        """
        self._wanted = 0
        if self._next:
            self._move_up(max(wanted, at_once))
            return False
        if self.pending < wanted:
            self._wanted = wanted
            self._let_go()
            return True
        if self._later:
            self._join(b"")
        return False

    def _move_up(self, wanted: int) -> None:
        """Put *wanted* bytes in front, or all of ``_next`` if nothing is there."""
        rest = self._data[self._offset :]
        begin = self._next_offset
        if rest:
            end = min(len(self._next), begin + max(wanted - len(rest), 0))
            self._data = rest + self._next[begin:end]
            self._offset = 0
            self._next_offset = end
        else:
            self._data = self._next
            self._offset = begin
        if not rest or self._next_offset == len(self._next):
            self._next = b""
            self._next_offset = 0

    def _join(self, data: bytes) -> None:
        """Put everything in front, and *data* behind it."""
        self._data = b"".join((memoryview(self._data)[self._offset :], self._later, data))
        self._offset = 0
        self._later.clear()
        self._wanted = 0

    def _let_go(self) -> None:
        """Keep nothing of what was taken."""
        if self._offset:
            self._data = self._data[self._offset :]
            self._offset = 0

    def _forget(self) -> None:
        self._data = b""
        self._offset = 0
        self._next = b""
        self._next_offset = 0
        self._later = bytearray()
        self._wanted = 0

    def _fail(self, error: FramingError) -> NoReturn:
        """End this codec."""
        self.error = error
        self._forget()
        raise error
