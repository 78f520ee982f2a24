"""Calling user code, and what becomes of the call.

Callbacks of one connection never nest or overlap. A sync one has ended when its
call returns. An async one is ``pending`` until the driver takes it, awaits it in
the connection's task, and says how it ended; meanwhile ``BUSY`` is held.

Whatever user code raises ends this connection, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from math import inf
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trioproto.sansio import holds
from trioproto.sansio.errors import CallbackError
from trioproto.sansio.lifecycle import State
from trioproto.sansio.transport import Transport

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.driver import Driver, Owner
    from trioproto.sansio.protocol import Protocol
    from trioproto.sansio.settings import Settings

Callback = Callable[..., Any]
T = TypeVar("T")


class Callbacks(Transport):
    """The part of a connection that calls its protocol.

    Attributes:
        protocol: the user's object.
        pending: the coroutine of an async callback that has not been begun.
        crash: an exception that the driver has to raise in the connection's
            task after everything else, or ``None``.
    """

    __slots__ = (
        "_busy_since",
        "_in_eof",
        "_owner",
        "_running",
        "crash",
        "pending",
        "protocol",
    )

    def __init__(
        self,
        protocol: Protocol,
        owner: Owner,
        driver: Driver,
        settings: Settings,
        peer: Address,
        local: Address,
    ) -> None:
        super().__init__(driver, settings, peer, local)
        self.protocol = protocol
        self.pending: Coroutine[Any, Any, Any] | None = None
        self.crash: BaseException | None = None
        self._owner = owner
        self._running: Callback | None = None
        self._busy_since = inf
        self._in_eof = False

    def advance(self) -> None:
        """Make the callbacks that are due, until one is async or none is."""
        raise NotImplementedError

    def _end_of_input(self, *, keep_open: bool) -> None:
        """Act on what ``eof_received`` has returned."""
        raise NotImplementedError

    # What the driver tells us

    def callback_returned(self, result: Any) -> None:
        """Take the result of the coroutine that was ``pending``."""
        callback = self._no_longer_busy()
        if result is not None or self._in_eof:
            self._finished(callback, result)
        if self.holds:
            self.advance()
        if not self.holds & holds.BUSY:
            # From now on we wait for the peer: the idle clock starts again.
            self._await_peer()

    def callback_raised(self, exc: BaseException) -> None:
        """Take the exception of the coroutine that was ``pending``."""
        self.failed(self._name(self._no_longer_busy()), exc)

    def task_raised(self, async_fn: Callback, exc: BaseException) -> None:
        """Take the exception of a task of this connection."""
        self.failed(getattr(async_fn, "__qualname__", repr(async_fn)), exc)

    def take_pending(self) -> Coroutine[Any, Any, Any] | None:
        """Take over the coroutine that is to be awaited now, if there is one."""
        pending, self.pending = self.pending, None
        if pending is not None and State.FLUSHING <= self.state <= State.ENDED:
            # It was not begun before the close, and is not begun after it.
            pending.close()
            self._no_longer_busy()
            self.note_change()
            return None
        return pending

    def delivered(self, result: Any) -> None:
        """Take what a driver's own call of ``data_received`` returned."""
        if result is not None:
            self._returned(self.protocol.data_received, result)
        if self.holds & holds.BUSY:
            return
        self.advance()

    def data_received_raised(self, exc: BaseException) -> None:
        """Take what a driver's own call of ``data_received`` raised."""
        self.failed(self._name(self.protocol.data_received), exc)

    def failed(self, name: str, exc: BaseException) -> None:
        """End the connection because user code raised *exc*."""
        exc = unwrap(exc)
        if self._is_own_end(exc):
            return
        reason = CallbackError(name, exc)
        if not isinstance(exc, Exception) or self.settings.callback_errors == "raise":
            self._crash(exc)
        else:
            self._owner.report(self.peer, reason)
        self._break(reason)

    def _is_own_end(self, exc: BaseException) -> bool:
        """Whether *exc* only says that this connection has ended (from ``send``, say)."""
        if isinstance(exc, BaseExceptionGroup):
            return all(map(self._is_own_end, exc.exceptions))
        return exc is self.reason

    def _name(self, callback: Callback) -> str:
        name = getattr(callback, "__name__", str(callback))
        if name == "deliver_held":
            name = "data_received"  # which the user knows: it is the same, later
        owner = getattr(callback, "__self__", self.protocol)
        return f"{type(owner).__qualname__}.{name}"

    def _crash(self, exc: BaseException) -> None:
        """Keep *exc* to be raised, with what is kept already."""
        if self.crash is None:
            self.crash = exc
        else:
            self.crash = BaseExceptionGroup("errors in one connection", [self.crash, exc])

    # Calling

    def _call(self, callback: Callback, *args: Any) -> None:
        try:
            result = self._driver.invoke(callback, *args)
        except BaseException as exc:
            self.failed(self._name(callback), exc)
        else:
            if result is not None or self._in_eof:
                self._returned(callback, result)

    def _ask(self, method: Callable[[], T], default: T) -> T:
        """Call what a user may have overridden, and is no callback."""
        try:
            return cast(T, self._driver.invoke(method))
        except BaseException as exc:
            self.failed(self._name(method), exc)
            return default

    def _returned(self, callback: Callback, result: Any) -> None:
        """Take what a callback returned: an async one is only begun later."""
        if type(result) is CoroutineType or isinstance(result, Coroutine):
            self.pending = result
            self._running = callback
            if self.settings.callback_timeout is not None:
                self._busy_since = self._driver.time()
            self.holds |= holds.BUSY
        else:
            self._finished(callback, result)

    def _finished(self, callback: Callback, result: Any) -> None:
        if self._in_eof and (result is None or isinstance(result, bool)):
            self._in_eof = False
            self._end_of_input(keep_open=bool(result))
        elif result is not None:
            wrong = TypeError(f"{self._name(callback)} returned {result!r:.100}, not None")
            self.failed(self._name(callback), wrong)

    def _call_eof_received(self) -> None:
        """Make the one callback whose result means something."""
        self._in_eof = True
        self._call(self.protocol.eof_received)

    def _callback_deadline(self) -> float:
        """When the running async callback has to be done."""
        limit = self.settings.callback_timeout
        return inf if limit is None else self._busy_since + limit

    def _no_longer_busy(self) -> Callback:
        callback = self._running
        assert callback is not None
        self._running = None
        self.holds &= ~holds.CALLBACK
        return callback


def unwrap(exc: BaseException) -> BaseException:
    """Take an exception out of groups that hold nothing else."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc
