"""Receivers of strings: what netstrings and length-prefixed ones have in common."""

from __future__ import annotations

from collections.abc import Callable

from trioproto.framing.receiver import FrameReceiver
from trioproto.sansio.errors import FrameTooLong, FramingError
from trioproto.sansio.protocol import CallbackResult

MAX_LENGTH = 99_999
"""Bytes in a string, as in Twisted."""


class StringReceiver(FrameReceiver[bytes]):
    """A protocol of byte strings whose length comes before them.

    Attributes:
        max_length: bytes that a string may have.
    """

    max_length: int = MAX_LENGTH

    def string_received(self, string: bytes) -> CallbackResult:
        """A string has arrived; it may be empty."""

    def length_limit_exceeded(self, length: int) -> CallbackResult:
        """The peer has announced a string above ``max_length``, of which nothing is read.

        It may write a last word; the connection is closed afterwards, whatever
        this does.

        Args:
            length: the announced one; of one with too many digits, only a bound.
        """

    def send_string(self, string: bytes) -> None:
        """Write a string with its length.

        Raises:
            StringTooLong: the length cannot be said; nothing was written.
        """
        self.transport.write(self.codec.encode(string))

    def framing_failed(self, error: FramingError) -> CallbackResult:
        """Call ``length_limit_exceeded`` if that is what happened."""
        if isinstance(error, FrameTooLong):
            return self.length_limit_exceeded(error.announced or error.limit + 1)
        return None

    def _callback(self) -> Callable[[bytes], CallbackResult]:
        return self.string_received
