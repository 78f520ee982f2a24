"""What every driver on trio shares: the connection's task and its endings.

A connection is one task. It opens the protocol, awaits its async callbacks, and
ends it exactly once. What can be done without waiting is done in *turns*: plain
calls, made in the connection's context by whoever has news of it (its own task,
the poller, the flusher, the deadlines). After each turn the task is woken only
if there is something that only a task can do.
"""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import Context
from typing import TYPE_CHECKING, Any

import trio

from trioproto.layers.opening import PLAIN, Opening
from trioproto.runtime.arrivals import Arrivals
from trioproto.runtime.ended import EndedDriver
from trioproto.runtime.groups import merge
from trioproto.runtime.slots import UNCOUNTED
from trioproto.runtime.user_code import call_user, shielded
from trioproto.sansio import holds
from trioproto.sansio.lifecycle import State

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.runtime.deadlines import Entry
    from trioproto.runtime.scope import Scope
    from trioproto.runtime.slots import Slot
    from trioproto.sansio.addresses import Address

PATIENCE = 32
"""Ticks for which output may wait for more from an async callback that goes on writing."""


class BaseDriver(Arrivals):
    """The part of a driver that does not depend on the kind of stream.

    A subclass moves the bytes: it has ``_serve``, ``turn`` and ``_close``.
    """

    __slots__ = (
        "_parked",
        "_patience",
        "_size_seen",
        "_task",
        "context",
        "deadline_entry",
        "marked",
        "server_side",
        "time",
    )

    can_write_eof: bool
    invoke = staticmethod(call_user)

    context: Context
    _task: trio.lowlevel.Task

    def __init__(self, scope: Scope, factory: Factory[Any] | None = None) -> None:
        super().__init__(scope, factory)
        self.server_side = True
        self.time = scope.time
        scope.entered(self)
        self.marked = False
        self.deadline_entry: Entry | None = None
        self._parked = False
        self._size_seen = 0
        self._patience = PATIENCE

    # The connection's task

    @trio.lowlevel.enable_ki_protection
    async def run(
        self,
        peer: Address,
        local: Address,
        opening: Opening = PLAIN,
        slot: Slot = UNCOUNTED,
    ) -> None:
        """Be the connection's task, from building to the end, in its *slot*.

        Raises:
            Cancelled: the task was cancelled; the connection was reset, and
                ``connection_lost`` has been called all the same.
            BaseException: what user code raised, if it is no ``Exception`` or
                ``callback_errors`` is ``"raise"``.
        """
        self.server_side = opening.server_side
        self._task = trio.lowlevel.current_task()
        self.context = self._task.context
        self._slot = slot
        raised: BaseException | None = None
        try:
            async with slot:
                await self._wait_for(slot)
                rest = await self._arrive(peer, local, opening)
                if rest is None:
                    return
                connection = self.connection
                try:
                    await self._serve(rest)
                except BaseException as exc:
                    raised = exc
                    connection.cancel()
                await self._end()
                raised = merge(raised, connection.crash)
                if raised is not None:
                    raise raised
        finally:
            raised = None
            self.begun = False
            self.scope.left(self)
            if self._opened is not None:
                self._opened.set()

    def _open(self, rest: bytes) -> None:
        """Open the connection; in a drain, which it has come too late for, drain it.

        Who has begun to shake hands before it was accepted may go on with that.
        """
        connection = self.connection
        connection.open()
        if rest:
            connection.feed(rest, self.time())
        if self.scope.draining:
            heard = self.read_more() if connection.state is State.OPENING else b""
            if heard:
                connection.feed(heard, self.time())
            connection.drain()

    async def wait_opened(self) -> None:
        """Wait until ``connection_made`` was called, or the task has ended.

        If cancelled, the connection is closed; or reset, if it is not open yet.
        """
        self._opened = trio.Event()
        try:
            await self._opened.wait()
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """See that a connection ends that nobody wants any more."""
        if not self.begun:
            self._unwanted = True
        elif self.connection.made:
            self.connection.close()
        else:
            self.connection.abort()

    async def _serve(self, rest: bytes) -> None:
        """Serve until the connection has ended; *rest* has arrived already."""
        raise NotImplementedError

    def turn(self) -> None:
        """Do what can be done without waiting; in the connection's context."""
        raise NotImplementedError

    async def _close(self, *, reset: bool) -> None:
        """Close the stream, whatever its state; also when cancelled."""
        raise NotImplementedError

    async def _end(self) -> None:
        """Close the stream, and make the last callback."""
        connection = self.connection
        connection.tell = False
        self.scope.deadlines.disarm(self)
        await self._close(reset=connection.broken)
        self.scope.watchdog.watch(self, connection.report_lost)
        last = connection.take_pending()
        try:
            if last is not None:
                with shielded(connection.settings.cleanup_timeout):
                    await self._run_callbacks(last)
        finally:
            reason = connection.end_as_error()
            connection.let_go(EndedDriver(reason, can_write_eof=self.can_write_eof))
            self._release_waiters()

    # Waking the task

    def _park(self) -> Awaitable[None]:
        """Wait until ``_wake``."""
        self._parked = True
        return trio.lowlevel.wait_task_rescheduled(self._unpark)  # noqa: ASYNC105 - by the caller

    def _unpark(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._parked = False
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        """Let a parked task go on; exactly once."""
        if self._parked:
            self._parked = False
            trio.lowlevel.reschedule(self._task)

    def _stop_user_code(self) -> None:
        """Cancel what must not run on in the state that has been reached."""
        self._cancel_tasks()
        if self.connection.state >= State.ENDED:
            if self._nursery is not None:
                self._nursery.cancel_scope.cancel()
            self._wake()

    # Turns that others give

    def take_turn(self) -> None:
        """Take a turn given by the flusher."""
        self.marked = False
        if self.connection.state is not State.LOST:
            self.context.run(self.turn)

    def deadline_passed(self, now: float) -> None:
        """Take a turn given by the deadlines."""
        self.scope.watchdog.watch(self, self.context.run, self._timeout_turn, now)

    def _timeout_turn(self, now: float) -> None:
        self.connection.tell = False
        self.connection.on_timeout(now)
        self.turn()

    # The connection's view of its driver

    def changed(self) -> None:
        """Have a turn soon."""
        if not self.marked:
            self.marked = True
            if self.connection.holds & holds.BUSY and not self.connection.closing:
                self.scope.flusher.mark_busy(self)
            else:
                self.scope.flusher.mark(self)

    def step_took(self, seconds: float) -> None:
        """Tell, if it was too long."""
        self.scope.watchdog.look(self, seconds)

    def still_writing(self) -> bool:
        """Whether a running callback has written since this was last asked.

        Then a little patience joins what it writes next. It ends with the
        callback, when the callback really waits, or after so many askings.
        """
        connection = self.connection
        size = connection.outbound.size
        if size <= self._size_seen or self._patience == 0 or connection.closing:
            self._size_seen = 0
            self._patience = PATIENCE
            return False
        self._size_seen = size
        self._patience -= 1
        return True

    def read_more(self) -> bytes:
        """Return what can be read without waiting: nothing, in general."""
        return b""

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> int | bytes:
        """Read an option of the socket."""
        raise NotImplementedError

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the socket."""
        raise NotImplementedError
