"""Line receivers: the helper protocols of the howto."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Literal

from trioproto.framing.line_buffer import LineBuffer
from trioproto.sansio.errors import FrameTooLong
from trioproto.sansio.protocol import CallbackResult, Protocol

MAX_LENGTH = 16_384
"""Bytes in a line, as in Twisted."""


class LineOnlyReceiver(Protocol):
    r"""A protocol of lines.

    Attributes:
        delimiter: the bytes that end a line; they are not part of it.
        max_length: bytes that a line may have without its delimiter.
        on_too_long: after a longer one, ``"close"`` the connection with
            ``FrameTooLong``, or ``"discard"`` that line and go on.

    Raises:
        ValueError: a subclass is made with an empty delimiter.

    Origin: Twisted's LineOnlyReceiver; RFC 5321 section 2.3.8 for ``\r\n``.
    """

    delimiter: bytes = b"\r\n"
    max_length: int = MAX_LENGTH
    on_too_long: Literal["close", "discard"] = "close"

    _line_buffer: LineBuffer
    _skipping = False
    _must_close = False
    _waiting: Coroutine[Any, Any, None] | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a delimiter that cannot end a line."""
        super().__init_subclass__(**kwargs)
        if not cls.delimiter:
            raise ValueError(f"{cls.__name__}.delimiter must not be empty")

    def line_received(self, line: bytes) -> CallbackResult:
        """A line has arrived, without its delimiter; it may be empty."""

    def line_length_exceeded(self, line: bytes) -> CallbackResult:
        """A line is longer than ``max_length``; called once for it.

        It may write a last word. With ``on_too_long = "close"`` the connection
        is closed afterwards, whatever this does.

        Args:
            line: what has arrived of it.
        """

    def send_line(self, line: bytes) -> None:
        """Write a line and its delimiter.

        Raises:
            ValueError: *line* contains the delimiter: it would be two lines.
        """
        delimiter = self.delimiter
        # The last byte first: looking for one byte costs a fifth of looking for two.
        if delimiter[-1] in line and delimiter in line:
            raise ValueError(f"line contains the delimiter {delimiter!r}")
        self.transport.write(line + delimiter)

    # What a connection calls

    def attached(self) -> None:
        """Make the receiver's state."""
        self._line_buffer = LineBuffer(self.delimiter)
        self._skipping = False
        self._must_close = False
        self._waiting = None

    def data_received(self, data: bytes) -> CallbackResult:
        """Cut bytes into lines and deliver them."""
        self._line_buffer.feed(data)
        return self.deliver_held()

    def deliver_held(self) -> CallbackResult:
        """Deliver lines until all are delivered, or something stops us.

        From the first async callback on, the rest is one coroutine: so a run of
        lines costs a connection no more than one callback.
        """
        waiting = self._deliver_until_async()
        if waiting is None or not isinstance(waiting, Coroutine):
            return waiting
        if self._line_buffer.empty and not self._must_close:
            return waiting
        if self.transport.settings.callback_timeout is not None:
            # Each callback has its own time, so each is awaited alone.
            self.transport.hold_frames()
            return waiting
        self._waiting = waiting
        return self._deliver_rest()

    def detached(self) -> None:
        """Let go of an async callback that was never begun."""
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None

    async def _deliver_rest(self) -> None:
        """Await an async callback, and deliver what follows, in order."""
        waiting = self._waiting
        self._waiting = None
        while waiting is not None:
            await waiting
            waiting = None if self._held_back() else self._deliver_until_async()

    def incomplete_frame(self) -> int:
        """Return the bytes of a line whose end has not come."""
        return self._line_buffer.pending

    def _deliver_until_async(self) -> CallbackResult:
        """Deliver until all is delivered, we are stopped, or a callback is async."""
        return self._deliver_lines()

    def _deliver_lines(self) -> CallbackResult:
        transport = self.transport
        buffer = self._line_buffer
        received = self.line_received
        limit = self.max_length
        if self._must_close:
            self._close_too_long()
            return None
        if self._skipping:
            self._end_skip()
        while True:
            lines = buffer.lines
            for line in lines:
                result = received(line) if len(line) <= limit else self._too_long(line)
                if result is not None:
                    return result
                if transport.holds and self._held_back():
                    return None
            if buffer.lines is lines and not buffer.more():
                break
        return self._check_unfinished(limit) if buffer.pending else None

    def _held_back(self) -> bool:
        """Whether we are stopped; then say that there may be more to deliver."""
        if not self.transport.stopped:
            return False
        self.transport.hold_frames()
        return True

    # Lines that are too long

    def _end_skip(self) -> None:
        """Drop the end of a line that is being skipped, if it has come."""
        for _end in self._line_buffer.lines:
            self._skip(False)
            break

    def _check_unfinished(self, limit: int) -> CallbackResult:
        buffer = self._line_buffer
        if self._skipping:
            buffer.skip()
        elif buffer.pending > limit and buffer.unfinished > limit:
            line = buffer.peek()
            buffer.skip()
            self._skip(True)
            return self._too_long(line)
        return None

    def _skip(self, skipping: bool) -> None:
        self._skipping = skipping
        self.transport.skip_input(skipping)

    def _too_long(self, line: bytes) -> CallbackResult:
        result = self.line_length_exceeded(line)
        if self.on_too_long == "close":
            self._must_close = True
            if result is None:
                self._close_too_long()
        return result

    def _close_too_long(self) -> None:
        self.transport.close(FrameTooLong(self.max_length))


class LineReceiver(LineOnlyReceiver):
    """A protocol of lines and, in between, of raw data.

    It starts with lines. Both modes may change in any callback, in the middle
    of a chunk too; what was received stays in order.

    Origin: Twisted's LineReceiver; Twisted howto "Writing Servers", Helper
    Protocols.
    """

    _line_mode = True
    _raw = b""

    def raw_data_received(self, data: bytes) -> CallbackResult:
        """Bytes have arrived in raw mode: everything there is, never empty."""

    def set_raw_mode(self) -> None:
        """Deliver what follows the current line as raw data."""
        if self._line_mode:
            self._line_mode = False
            self._skip(False)
            self._raw = self._line_buffer.take_rest()
            if self._raw:
                self.transport.hold_frames()

    def set_line_mode(self, extra: bytes = b"") -> None:
        """Deliver lines again.

        Args:
            extra: bytes that are parsed first, before what is still buffered:
                the end of a raw chunk that was raw data no more.
        """
        self._line_mode = True
        rest = extra + self.clear_line_buffer()
        if rest:
            self._line_buffer.feed(rest)
            self.transport.hold_frames()

    def clear_line_buffer(self) -> bytes:
        """Forget, and return, everything that has not been delivered."""
        rest, self._raw = self._raw, b""
        return rest + self._line_buffer.take_rest()

    def attached(self) -> None:
        """Make the receiver's state."""
        super().attached()
        self._line_mode = True
        self._raw = b""

    def data_received(self, data: bytes) -> CallbackResult:
        """Cut bytes into lines and deliver them, or hand them on."""
        if self._line_mode:
            self._line_buffer.feed(data)
        else:
            self._raw += data
        return self.deliver_held()

    def _deliver_until_async(self) -> CallbackResult:
        while True:
            result = self._deliver_lines()
            if result is not None or not self._raw or self.transport.stopped:
                return result
            data, self._raw = self._raw, b""
            result = self.raw_data_received(data)
            if result is not None or self._held_back():
                return result
