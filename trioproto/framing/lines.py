"""Line receivers: the helper protocols of the howto."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trioproto.framing.line_codec import MAX_LENGTH, LineCodec, OnTooLong
from trioproto.framing.receiver import FrameReceiver
from trioproto.sansio.errors import FrameTooLong, FramingError
from trioproto.sansio.protocol import CallbackResult


class LineOnlyReceiver(FrameReceiver[bytes]):
    r"""A protocol of lines.

    Attributes:
        delimiter: the bytes that end a line; they are not part of it.
        max_length: bytes that a line may have without its delimiter.
        on_too_long: after a longer one, ``"close"`` the connection with
            ``FrameTooLong``, or ``"discard"`` that line and go on.

    Raises:
        ValueError: a subclass is made whose attributes are out of range.

    Origin: Twisted's LineOnlyReceiver; RFC 5321 section 2.3.8 for ``\r\n``.
    """

    delimiter: bytes = b"\r\n"
    max_length: int = MAX_LENGTH
    on_too_long: OnTooLong = "close"

    _plain_end: bytes

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse limits that no codec could have."""
        super().__init_subclass__(**kwargs)
        try:
            LineCodec(cls.delimiter, max_length=cls.max_length, on_too_long=cls.on_too_long)
        except ValueError as error:
            raise ValueError(f"{cls.__name__}: {error}") from None

    def make_codec(self) -> LineCodec:
        """Make a codec of the class's attributes."""
        return LineCodec(self.delimiter, max_length=self.max_length, on_too_long=self.on_too_long)

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
        end = self._plain_end
        if end and end[-1] not in line:
            # As the codec does it, without the call: a line is sent more often than anything.
            self.transport.write(line + end)
        else:
            self.transport.write(self.codec.encode(line))

    def attached(self) -> None:
        """Make the receiver's state."""
        super().attached()
        codec = self.codec
        self._plain_end = codec.delimiter if type(codec) is LineCodec else b""

    def framing_failed(self, error: FramingError) -> CallbackResult:
        """Call ``line_length_exceeded`` if that is what happened."""
        if isinstance(error, FrameTooLong):
            return self.line_length_exceeded(error.begun)
        return None

    def _callback(self) -> Callable[[bytes], CallbackResult]:
        return self.line_received


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
            self._raw = self.codec.take_rest()
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
            self.codec.feed(rest)
            self.transport.hold_frames()

    def clear_line_buffer(self) -> bytes:
        """Forget, and return, everything that has not been delivered."""
        rest, self._raw = self._raw, b""
        return rest + self.codec.take_rest()

    def attached(self) -> None:
        """Make the receiver's state."""
        super().attached()
        self._line_mode = True
        self._raw = b""

    def data_received(self, data: bytes) -> CallbackResult:
        """Cut bytes into lines and deliver them, or hand them on."""
        if self._line_mode:
            self.codec.feed(data)
        else:
            self._raw += data
        return self.deliver_held()

    def in_frame(self) -> bool | None:
        """Return whether the peer has begun a line; ``None`` in raw mode."""
        return super().in_frame() if self._line_mode else None

    def take_rest(self) -> bytes:
        """Give up what has arrived and was not delivered."""
        return self.clear_line_buffer()

    def _all_delivered(self) -> bool:
        return not self._raw and self.codec.empty and self._fatal is None

    def _deliver_until_async(self) -> CallbackResult:
        while True:
            result = self._deliver_frames()
            if result is not None or not self._raw or self._held_back():
                return result
            data, self._raw = self._raw, b""
            result = self.raw_data_received(data)
            if result is not None or self._held_back():
                return result
