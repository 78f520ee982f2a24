"""Delivering frames to callbacks: what all receivers have in common.

A receiver is a protocol with a codec. A frame is taken off the codec's buffer
before its callback runs; delivery stops after a callback that is async, pauses,
closes, or lets much output wait, and goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, Generic

from trioproto.framing.codec import Codec, FrameT
from trioproto.sansio.errors import FramingError
from trioproto.sansio.protocol import CallbackResult, Protocol


class FrameReceiver(Protocol, Generic[FrameT]):
    """A protocol of frames, in any format.

    Give it a codec and a callback::

        class Jobs(FrameReceiver[bytes]):
            def make_codec(self):
                return VarintCodec(max_length=4096)

            def frame_received(self, frame):
                self.send_frame(frame)

    Bytes that are no frame of the format end the connection, with the codec's
    error as the reason; the frames before them are delivered, nothing after.

    Attributes:
        codec: this connection's, made when it opens.
    """

    codec: Codec[FrameT]

    _waiting: Coroutine[Any, Any, None] | None = None
    _fatal: FramingError | None = None
    _skipping = False

    def make_codec(self) -> Codec[FrameT]:
        """Make the codec of one connection."""
        raise NotImplementedError

    def frame_received(self, frame: FrameT) -> CallbackResult:
        """A frame has arrived.

        Receivers that have a name of their own for this call that instead.
        """

    def framing_failed(self, error: FramingError) -> CallbackResult:
        """The peer's bytes are no frame; called once for each *error*.

        It may write a last word. If *error* has ended the codec, the connection
        is closed afterwards, whatever this does.
        """

    def send_frame(self, frame: FrameT) -> None:
        """Write a frame.

        Raises:
            ValueError: the format has no such frame; nothing was written.
        """
        self.transport.write(self.codec.encode(frame))

    # What a connection calls

    def attached(self) -> None:
        """Make the receiver's state."""
        self.codec = self.make_codec()
        self._waiting = None
        self._fatal = None
        self._skipping = False

    def data_received(self, data: bytes) -> CallbackResult:
        """Cut bytes into frames and deliver them."""
        self.codec.feed(data)
        return self.deliver_held()

    def deliver_held(self) -> CallbackResult:
        """Deliver frames until all are delivered, or something stops us.

        From the first async callback on, the rest is one coroutine: so a run of
        frames costs a connection no more than one callback.
        """
        waiting = self._deliver_until_async()
        if waiting is None:
            return None
        if type(waiting) is not CoroutineType and not isinstance(waiting, Coroutine):
            return waiting  # a mistake, of which the connection tells
        if self._all_delivered():
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

    def cut_off(self) -> FramingError | None:
        """Return the codec's error if the peer's input ends here."""
        try:
            self.codec.check_end()
        except FramingError as error:
            return error.with_traceback(None)
        return None

    def in_frame(self) -> bool | None:
        """Return whether the peer has begun a frame and not ended it."""
        return self.cut_off() is not None

    def take_rest(self) -> bytes:
        """Give up what has arrived and was not delivered."""
        return self.codec.take_rest()

    # Delivering

    async def _deliver_rest(self) -> None:
        """Await an async callback, and deliver what follows, in order."""
        waiting = self._waiting
        self._waiting = None
        while waiting is not None:
            await waiting
            waiting = None if self._held_back() else self._deliver_until_async()

    def _deliver_until_async(self) -> CallbackResult:
        """Deliver until all is delivered, we are stopped, or a callback is async."""
        return self._deliver_frames()

    def _callback(self) -> Callable[[FrameT], CallbackResult]:
        """Return what is called with each frame."""
        return self.frame_received

    def _deliver_frames(self) -> CallbackResult:
        if self._fatal is not None:
            self.transport.close(self._fatal)
            return None
        codec = self.codec
        transport = self.transport
        received = self._callback()
        while True:
            try:
                frames = codec.frames()
                if codec.skipping is not self._skipping:
                    self._note_skipping()
                for frame in frames:
                    result = received(frame)
                    if result is not None:
                        return result
                    if transport.holds and self._held_back():
                        return None
                return None
            except FramingError as error:
                if error is not codec.error:
                    raise  # a callback's own
                failure = error.with_traceback(None)
            result = self._failed(failure)
            if result is not None or self._fatal is not None or self._held_back():
                return result

    def _failed(self, error: FramingError) -> CallbackResult:
        """Have the user told of an error; if it is final, close then."""
        codec = self.codec
        if codec.skipping is not self._skipping:
            self._note_skipping()
        if codec.ended:
            self._fatal = error
        result = self.framing_failed(error)
        if result is None and self._fatal is not None:
            self.transport.close(error)
        return result

    def _note_skipping(self) -> None:
        """Say that bytes are being dropped, or are no more: that is no activity."""
        self._skipping = self.codec.skipping
        self.transport.skip_input(self._skipping)

    def _held_back(self) -> bool:
        """Whether we are stopped; then say so if there is more to deliver."""
        if not self.transport.stopped:
            return False
        if not self._all_delivered():
            self.transport.hold_frames()
        return True

    def _all_delivered(self) -> bool:
        """Whether there is nothing more to deliver, nor to do after it."""
        return self.codec.empty and self._fatal is None
