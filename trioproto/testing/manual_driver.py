"""The driver beneath the harness: it moves when it is told to, and never waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from math import inf
from os import PathLike
from typing import TYPE_CHECKING, Any, NoReturn

from trioproto.sansio.errors import AsyncCallbackError, NotSupported
from trioproto.sansio.lifecycle import State
from trioproto.testing.failures import TranscriptError, tells_all
from trioproto.testing.tracebacks import users_part
from trioproto.testing.transcript import Transcript

if TYPE_CHECKING:
    from trioproto.sansio.connection import Connection

__tracebackhide__ = tells_all

_NO_LOOP = (
    "a harness has no event loop: serve the protocol over a memory stream "
    "(trioproto.testing.connected) to run async callbacks and tasks"
)


_MOST_REFILLS = 10_000
"""How often in one step as much may be written again as has just been sent."""

_marked: ContextVar[list[ManualDriver] | None] = ContextVar(
    "trioproto.testing.marked", default=None
)
"""Who has a turn after the step that is being taken; ``None``: none is."""


class ManualDriver:
    """Moves the bytes of one connection when a test says so.

    Attributes:
        transcript: what was said.
        write_closed: whether the peer has seen our EOF.
    """

    can_write_eof = True
    server_side = True

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._now = 0.0
        self.transcript = Transcript()
        self.write_closed = False

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("connect() first")
        return self._connection

    # What the peer's end does

    def _room(self, size: int) -> int:
        """Return how many of *size* bytes may be sent now."""
        raise NotImplementedError

    def _put(self, data: bytes | memoryview) -> int:
        """Send; return how many bytes were taken."""
        raise NotImplementedError

    def _end(self) -> None:
        """Tell the peer that nothing more comes."""

    def _lose(self) -> None:
        """Close the peer's end; reset it if the connection is ``broken``."""

    # Steps

    def _step(self, action: Callable[..., None], *args: Any) -> None:
        """Take a step, and then those that it has led to in other harnesses.

        So no connection's callback is called inside that of another.
        """
        if _marked.get() is not None:
            raise RuntimeError("a harness cannot be driven from inside a callback")
        marked: list[ManualDriver] = []
        token = _marked.set(marked)
        try:
            self._open.tell = False
            action(*args)
            self._turn()
        finally:
            try:
                # Also if what has marked them has raised.
                if marked:
                    _take_turns(marked)
            finally:
                _marked.reset(token)

    def _take_turn(self) -> None:
        """Take a step in which nothing happens but a turn."""
        self._step(lambda: None)

    def _turn(self) -> None:
        """Do what a driver does after each event."""
        connection = self._open
        connection.begin_turn()
        if connection.pending is not None:
            self._refuse_async(connection)
        refills = 0
        while (waited := connection.outbound.size) or connection.holds:
            if not self._flush(connection):
                break
            refills += 0 < waited <= connection.outbound.size
            if refills > _MOST_REFILLS:
                raise TranscriptError("it never stops writing: set a window", self.transcript)
        if connection.state is State.ENDED:
            self._report_lost(connection)
        connection.tell = True
        crash, connection.crash = connection.crash, None
        if crash is not None:
            raise crash.with_traceback(users_part(crash.__traceback__))

    def _flush(self, connection: Connection) -> bool:
        """Send what can be sent; say whether the connection may have changed."""
        if not connection.holds and connection.outbound.size <= connection.settings.low_water:
            self._send(connection)
            return True  # unless all is sent, for which nobody waits
        before = self._progress(connection)
        self._send(connection)
        if connection.wants_shutdown:
            self._shut_down(connection)
        connection.advance()
        if connection.pending is not None:
            self._refuse_async(connection)
        if connection.state >= State.ENDED:
            return False
        return before != self._progress(connection)

    @staticmethod
    def _progress(connection: Connection) -> object:
        """Return what is another after a flush that more may follow from."""
        sent = connection.bytes_sent
        return connection.state, sent, connection.buffered, connection.sendable

    def _send(self, connection: Connection) -> None:
        sent = 0
        connection.encode_output()
        wire = connection.wire
        while data := wire.peek():
            count = self._room(len(data))
            count = count and connection.send_size(count, self._now)
            taken = self._put(data[:count]) if count else 0
            if taken:
                self.transcript.sent(data[:taken], self._now)
                wire.sent(taken)
                connection.spend_sent(taken, self._now)
                sent += taken
            if not taken or taken < count:
                break
            connection.encode_output()
        connection.output_tried(sent, self._now)

    def _shut_down(self, connection: Connection) -> None:
        if not self.write_closed:
            self.write_closed = True
            self.transcript.happened("EOF sent", self._now)
            self._end()
        connection.shut_down()

    def _report_lost(self, connection: Connection) -> None:
        self.transcript.happened(f"ended by {connection.reason!r}", self._now)
        self._lose()
        connection.report_lost()
        self._refuse_async(connection)

    def _refuse_async(self, connection: Connection) -> None:
        pending = connection.take_pending()
        if pending is not None:
            pending.close()
            whose = type(connection.protocol).__qualname__
            problem = f"{whose} has an async callback, and {_NO_LOOP}"
            connection.callback_raised(AsyncCallbackError(problem))

    # The driver's interface

    def time(self) -> float:
        """Return the time that ``advance`` has reached, in seconds."""
        return self._now

    def invoke(self, callback: Callable[..., Any], *args: Any) -> Any:
        """Call user code."""
        return callback(*args)

    def opened(self) -> None:
        """Count nothing: there are no limits."""

    def exempt(self) -> None:
        """Count nothing: there are no limits."""

    def changed(self) -> None:
        """Take a turn: at once, or when the running step is over."""
        marked = _marked.get()
        if marked is None:
            self._take_turn()
        else:
            marked.append(self)

    def offer(self, *, one_turn: bool = False) -> None:
        """Send what can be sent."""
        self._send(self._open)

    def read_more(self) -> bytes:
        """Return nothing: what was fed has been taken already."""
        return b""

    def start_soon(
        self, async_fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> NoReturn:
        """Refuse: there is no nursery."""
        raise AsyncCallbackError(_NO_LOOP)

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> NoReturn:
        """Refuse: there is no socket."""
        raise NotSupported("there is no socket")

    def setsockopt(self, level: int, option: int, value: int | bytes) -> NoReturn:
        """Refuse: there is no socket."""
        raise NotSupported("there is no socket")

    async def wait_writable(self) -> None:
        """Refuse: there is nothing to wait with."""
        raise AsyncCallbackError(_NO_LOOP)

    async def wait_closed(self) -> None:
        """Refuse: there is nothing to wait with."""
        raise AsyncCallbackError(_NO_LOOP)

    async def wait_draining(self) -> None:
        """Refuse: there is nothing to wait with."""
        raise AsyncCallbackError(_NO_LOOP)

    async def send_file(self, path: str | PathLike[str], offset: int, count: int | None) -> int:
        """Refuse: there is nothing to wait with."""
        raise AsyncCallbackError(_NO_LOOP)


def _take_turns(marked: list[ManualDriver]) -> None:
    """Let each have its turn, also if that of another raises."""
    try:
        while marked:
            marked.pop(0)._turn()
    finally:
        if marked:
            _take_turns(marked)


def checked_seconds(seconds: float) -> float:
    """Return how much time is to pass.

    Raises:
        ValueError: they are below 0, or no number that time can reach.
    """
    if not 0 <= seconds < inf:
        raise ValueError(f"time does not go back, nor on for ever: {seconds}")
    return seconds
