"""Protocols that say, step by step, how many bytes they need next."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from trioproto.framing.codec import Codec
from trioproto.framing.fixed import FixedSizeCodec
from trioproto.framing.receiver import FrameReceiver
from trioproto.framing.strings import MAX_LENGTH
from trioproto.sansio.errors import FrameTooLong
from trioproto.sansio.protocol import CallbackResult

State: TypeAlias = tuple[Callable[[bytes], Any], int]
"""What is called next, and with how many bytes. It returns the state after it, or ``None``."""


class StatefulProtocol(FrameReceiver[bytes]):
    """A protocol whose next step is a method, and a number of bytes for it.

    ::

        class Records(StatefulProtocol):
            def initial_state(self):
                return self.header, 2

            def header(self, data):
                return self.body, int.from_bytes(data)

            def body(self, data):
                ...
                return self.header, 2

    A method returns the next state, or ``None`` to stay in its own. It may be
    ``async def``. A state that needs no bytes is entered at once.

    Attributes:
        max_length: bytes that a state may need. The number often comes from the
            peer: a larger one ends the connection with ``FrameTooLong``.

    Origin: Twisted's StatefulProtocol.
    """

    max_length: int = MAX_LENGTH

    _state: State
    _by_size: _BySize
    _entering: Coroutine[Any, Any, State | None] | None = None

    def initial_state(self) -> State:
        """Return the first state."""
        raise NotImplementedError

    def make_codec(self) -> Codec[bytes]:
        """Make a codec that gives as many bytes as the state needs."""
        self._by_size = _BySize(self.max_length)
        return self._by_size

    def attached(self) -> None:
        """Make the receiver's state."""
        super().attached()
        self._enter(self.initial_state())
        if not self.codec.empty:
            self.transport.hold_frames()

    def detached(self) -> None:
        """Let go of async states that were never begun."""
        super().detached()
        if self._entering is not None:
            self._entering.close()
            self._entering = None

    def frame_received(self, frame: bytes) -> CallbackResult:
        """Call the state's method, and enter the next."""
        method, _size = self._state
        result = method(frame)
        if isinstance(result, Coroutine):
            self._entering = result
            return self._enter_when_known()
        self._enter(result)
        return None

    async def _enter_when_known(self) -> None:
        waiting, self._entering = self._entering, None
        assert waiting is not None
        self._enter(await waiting)
        # What has arrived may be enough for the new state, and was not for the old.
        self.transport.hold_frames()

    def _enter(self, state: State | None) -> None:
        if state is None:
            return
        _method, size = state
        if size < 0:
            raise ValueError(f"a state cannot need {size} bytes")
        if size > self.max_length:
            self.transport.close(FrameTooLong(self.max_length, announced=size))
        self._state = state
        self._by_size.size = size


class _BySize(FixedSizeCodec):
    """Frames of a size that may change after each."""

    @property
    def empty(self) -> bool:
        """Whether no frame can be made: one of no bytes can always."""
        return bool(self.size) and super().empty

    def encode(self, frame: bytes) -> bytes:
        """Return *frame* itself."""
        return frame
