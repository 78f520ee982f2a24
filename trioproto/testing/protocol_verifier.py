"""Does a protocol answer the same, however its peer's bytes arrive?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

from trioproto.sansio.errors import AsyncCallbackError
from trioproto.testing.failures import VerificationFailed, tells_all
from trioproto.testing.harness import Harness
from trioproto.testing.partitions import bytewise, cuts, halves, in_pieces
from trioproto.testing.targets import Maker, made_by

__tracebackhide__ = tells_all

Exchange: TypeAlias = tuple[bytes, bytes]
"""What the peer sends, and what it must be answered."""

_UNBOUNDED = 1 << 62


def verify_protocol(factory: Maker, exchanges: Iterable[Exchange]) -> None:
    r"""Hold a conversation in every way in which the peer's bytes may arrive.

    The exchanges are one conversation; one that sends ``b""`` states what is
    written without being asked, such as a greeting::

        verify_protocol(Calculator, [(b"", b"ready\r\n"), (b"1+1\r\n", b"2\r\n")])

    Each way is a connection of its own, and each must bring the same answers:

    * ``whole``: each exchange in one chunk, and its answer before the next;
    * ``byte by byte``;
    * ``at every split``: one exchange cut in two, at every place (above 400
      bytes at 400 places: near the exchanges' ends, and evenly spread);
    * ``many at once``: the whole conversation in one chunk;
    * ``with left-overs``: cut off by the peer's EOF at every place (chosen
      likewise): what was whole has its answer, what was not has none;
    * ``with pauses``: reading is paused while chunks arrive, and resumed; and
      the peer is slow to read its answers, so that output waits
      (``pause_writing``) and receivers stop in mid-chunk.

    Callbacks must not be async, as there is no event loop to run them.

    Args:
        factory: makes a new protocol, or a new factory, for each way: a class
            or a function. A factory itself if nothing in it lasts.
        exchanges: at least one that sends something.

    Raises:
        VerificationFailed: something else came, or a callback raised.
        ValueError: the peer sends nothing.
    """
    exchanges = list(exchanges)
    if not any(sent for sent, _ in exchanges):
        raise ValueError("there is no exchange to verify")
    for way, hold in _WAYS.items():
        conversation = _Conversation(factory, exchanges, way)
        try:
            hold(conversation)
        except (VerificationFailed, AsyncCallbackError):
            raise
        except Exception as error:
            conversation.fail(f"{type(error).__name__} was raised", error, cause=error)


class _Conversation:
    """A conversation, held in one way.

    Attributes:
        exchanges: what is to be said.
        harness: the connection on which it is held now.
        chunks: what was fed to it.
    """

    def __init__(self, target: Maker, exchanges: Sequence[Exchange], way: str) -> None:
        self._target = target
        self._way = way
        self.exchanges = exchanges
        self.chunks: list[bytes] = []
        self._came = bytearray()
        self._expected = bytearray()

    def begin(self, window: int | None = None, **settings: Any) -> Harness[Any]:
        """Open a new connection."""
        self.harness = Harness(made_by(self._target), window=window, **settings)
        self.chunks.clear()
        self._came.clear()
        self._expected.clear()
        self.harness.connect()
        return self.harness

    def feed(self, chunk: bytes) -> None:
        """Let a chunk arrive."""
        self.chunks.append(chunk)
        self.harness.feed(chunk)

    def note(self) -> None:
        """Keep what has come until now."""
        self._came += self.harness.take()

    def expect(self, answer: bytes) -> None:
        """Fail unless what came, with *answer*, is the right answer so far."""
        self.note()
        self._expected += answer
        if self._came != self._expected:
            self.fail("not the right answer", bytes(self._came))

    def end(self) -> None:
        """Let the peer go."""
        if not self.harness.lost:
            self.harness.reset()

    def fail(self, problem: str, came: object, cause: Exception | None = None) -> None:
        """Report what is wrong."""
        expected = bytes(self._expected)
        raise VerificationFailed(self._way, problem, self.chunks, came, expected) from cause

    @property
    def sent(self) -> bytes:
        """All that the peer sends."""
        return b"".join(sent for sent, _ in self.exchanges)

    @property
    def answers(self) -> bytes:
        """All that it is answered."""
        return b"".join(answer for _, answer in self.exchanges)

    def cuts(self) -> list[int]:
        """Return the places at which all that the peer sends is cut."""
        return cuts(len(self.sent), accumulate(len(sent) for sent, _ in self.exchanges))


def _whole(conversation: _Conversation) -> None:
    _hold(conversation, lambda sent: [sent])


def _byte_by_byte(conversation: _Conversation) -> None:
    _hold(conversation, bytewise)


def _hold(conversation: _Conversation, cut: Callable[[bytes], list[bytes]]) -> None:
    """Hold the conversation, with the bytes of each exchange cut in the same way."""
    conversation.begin()
    for sent, answer in conversation.exchanges:
        for chunk in cut(sent) if sent else []:
            conversation.feed(chunk)
        conversation.expect(answer)
    conversation.end()


def _at_every_split(conversation: _Conversation) -> None:
    for cut in conversation.cuts():
        conversation.begin()
        for sent, answer in conversation.exchanges:
            for chunk in halves(sent, max(0, cut)):
                conversation.feed(chunk)
            conversation.expect(answer)
            cut -= len(sent)
        conversation.end()


def _many_at_once(conversation: _Conversation) -> None:
    conversation.begin()
    conversation.feed(conversation.sent)
    conversation.expect(conversation.answers)
    conversation.end()


def _with_left_overs(conversation: _Conversation) -> None:
    """Cut the conversation off; what had been answered byte by byte is the measure."""
    answered = _answered_byte_by_byte(conversation)
    sent = conversation.sent
    for cut in conversation.cuts():
        harness = conversation.begin()
        conversation.feed(sent[:cut])
        conversation.expect(answered[cut])
        harness.feed_eof()
        conversation.expect(b"")
        conversation.end()


def _answered_byte_by_byte(conversation: _Conversation) -> list[bytes]:
    """Return what has been answered after each byte of the conversation."""
    harness = conversation.begin()
    answered = [harness.take()]
    for chunk in bytewise(conversation.sent):
        conversation.feed(chunk)
        answered.append(answered[-1] + harness.take())
    conversation.end()
    return answered


def _with_pauses(conversation: _Conversation) -> None:
    for size in (1, 3, 7, len(conversation.sent)):
        _pause_between_chunks(conversation, size)
    for size in (1, 7, len(conversation.sent)):
        for window in (1, 16):
            _read_slowly(conversation, size, window)


def _pause_between_chunks(conversation: _Conversation, size: int) -> None:
    """Feed chunks of *size* bytes, two at a time, while reading is paused."""
    harness = conversation.begin()
    for sent, answer in conversation.exchanges:
        pieces = in_pieces(sent, size)
        for first in range(0, len(pieces), 2):
            pauses = harness.reading and not harness.transport.closing
            if pauses:
                harness.transport.pause_reading()
            for chunk in pieces[first : first + 2]:
                conversation.feed(chunk)
            if pauses:
                harness.transport.resume_reading()
        conversation.expect(answer)
    conversation.end()


def _read_slowly(conversation: _Conversation, size: int, window: int) -> None:
    """Feed an exchange in chunks of *size* bytes, then take *window* bytes at a time."""
    harness = conversation.begin(0, high_water=1, low_water=0, max_buffered=_UNBOUNDED)
    for sent, answer in conversation.exchanges:
        harness.window = 0
        for chunk in in_pieces(sent, size):
            conversation.feed(chunk)
        conversation.note()
        while harness.transport.buffered:
            harness.window = window
            conversation.note()
        conversation.expect(answer)
    conversation.end()


_WAYS: dict[str, Callable[[_Conversation], None]] = {
    "whole": _whole,
    "byte by byte": _byte_by_byte,
    "at every split": _at_every_split,
    "many at once": _many_at_once,
    "with left-overs": _with_left_overs,
    "with pauses": _with_pauses,
}
