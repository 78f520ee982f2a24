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
from trioproto.runtime.arriving import Arrival
from trioproto.runtime.ended import EndedDriver
from trioproto.runtime.files import Files
from trioproto.runtime.groups import merge
from trioproto.runtime.refusal import RefusingFactory, has_words
from trioproto.runtime.slots import UNCOUNTED
from trioproto.runtime.user_code import call_user, shielded
from trioproto.sansio import holds
from trioproto.sansio.errors import (
    CallbackError,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefused,
    HandshakeFailed,
    HandshakeTimeout,
    ServerCancelled,
    ServerDraining,
)
from trioproto.sansio.lifecycle import State

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.layers.opening import Networks
    from trioproto.layers.proxy_header import ProxyHeader
    from trioproto.runtime.deadlines import Entry
    from trioproto.runtime.scope import Scope
    from trioproto.runtime.slots import Slot
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.layer import Layer

_SOFTLY = (ConnectionDone, ConnectionRefused, ServerDraining)
"""Why a connection may end before it begins, and its peer sees no reset."""
PATIENCE = 32
"""Ticks for which output may wait for more from an async callback that goes on writing."""


class BaseDriver(Files):
    """The part of a driver that does not depend on the kind of stream.

    A subclass moves the bytes: it has ``_serve``, ``turn`` and ``_close``.
    """

    __slots__ = (
        "_parked",
        "_patience",
        "_size_seen",
        "_slot",
        "_task",
        "_unwanted",
        "arrival",
        "begun",
        "context",
        "deadline_entry",
        "factory",
        "marked",
        "scope",
        "server_side",
        "time",
    )

    can_write_eof: bool
    invoke = staticmethod(call_user)

    context: Context
    _task: trio.lowlevel.Task

    def __init__(self, scope: Scope, factory: Factory[Any] | None = None) -> None:
        super().__init__()
        self.scope = scope
        self.factory = factory or scope.factory
        self.server_side = True
        self.time = scope.time
        scope.entered(self)
        self.marked = False
        self.arrival: Arrival | None = None
        self.begun = False
        self._unwanted = False
        self.deadline_entry: Entry | None = None
        self._parked = False
        self._size_seen = 0
        self._patience = PATIENCE
        self._slot: Slot = UNCOUNTED

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

    # Before there is a connection

    async def _wait_for(self, slot: Slot) -> None:
        """Have the place, or be refused; if this raises, the stream is closed."""
        try:
            await slot.wait()
        except BaseException:
            await self._close(reset=True)
            raise

    async def _arrive(self, peer: Address, local: Address, opening: Opening) -> bytes | None:
        """Find out who has come, and build what is to talk to it.

        Returns:
            What has come already; ``None`` if nobody is to talk to it. Then the stream
            is closed, as it is if this raises.
        """
        monitor = self.factory._monitor
        refused = self._slot.refused
        if refused is None:
            monitor.accepted(peer, local)
        else:
            monitor.refused(peer, local, refused)
        problem: ConnectionClosed | None = None
        try:
            header, rest = await self._meet(peer, opening)
            if header is not None:
                peer = header.source or peer
                local = header.destination or local
            self._let_in(peer, local, opening)
            layers = self._make_layers(opening, peer)
            connection = self.factory.connect(self, peer, local, layers)
            if connection is None:
                problem = ConnectionDone()
            else:
                self.connection = connection
                self.begun = True
                connection.proxy_header = header
                return rest
        except ConnectionClosed as reason:
            problem = reason.with_traceback(None)
        except Exception:
            problem = CallbackError("build_protocol")
            raise
        except BaseException:
            problem = ServerCancelled()
            raise
        finally:
            if problem is not None:
                await self._close(reset=self._slot.silent or not isinstance(problem, _SOFTLY))
            limit = self._slot.refused
            if limit is not None:
                problem = ConnectionRefused(limit)
            if problem is not None and refused is None:
                monitor.never_begun(peer, local, problem)
        return None

    async def _meet(self, peer: Address, opening: Opening) -> tuple[ProxyHeader | None, bytes]:
        """Receive the PROXY header, if there is to be one; return also what came after it.

        Raises:
            ConnectionClosed: there is none, or nobody wants to know.
        """
        if self._unwanted or self.scope.ended:
            raise ServerCancelled
        if self._slot.refused is not None:
            self._refuse(self._slot.refused, opening)
        if opening.trusted is None:
            return None, b""
        return await self._receive_header(peer, opening.trusted)

    def _let_in(self, peer: Address, local: Address, opening: Opening) -> None:
        """Count the connection as its peer's, or see that it is refused.

        Raises:
            ConnectionRefused: it is, without a word.
        """
        slot = self._slot
        if slot.refused is None:
            slot.claim(peer)
            if slot.refused is not None:
                self.factory._monitor.refused(peer, local, slot.refused)
                self._refuse(slot.refused, opening)

    def _refuse(self, limit: str, opening: Opening) -> None:
        """Have the peer told that it is refused, if there is something to say.

        Raises:
            ConnectionRefused: there is not, or too many are told already.
        """
        speaks = has_words(self.factory.settings, layered=opening.layers is not None)
        if self._slot.silent or not speaks:
            raise ConnectionRefused(limit)
        self.factory = RefusingFactory(self.factory)

    def _make_layers(self, opening: Opening, peer: Address) -> tuple[Layer, ...]:
        """Make the layers; what is wrong with a context ends this connection only.

        Raises:
            CallbackError: there are none, which is logged.
        """
        try:
            return () if opening.layers is None else opening.layers()
        except Exception as exc:
            reason = CallbackError("making a connection's layers")
            reason.__cause__ = exc
            self.factory.report(peer, reason)
            raise reason from exc

    async def _receive_header(self, peer: Address, trusted: Networks) -> tuple[ProxyHeader, bytes]:
        """Receive the PROXY header; log why not.

        Raises:
            ConnectionClosed: there is none.
        """
        factory = self.factory
        arrival = self.arrival = Arrival(self._receive_early, factory.settings.handshake_timeout)
        if self.scope.draining:
            arrival.turn_away()
        try:
            return await arrival.header(peer, trusted)
        except (HandshakeFailed, HandshakeTimeout) as reason:
            factory.opening_failed(peer, reason)
            raise
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise ConnectionLost(str(exc)) from exc
        finally:
            self.arrival = None

    def _open(self, rest: bytes) -> None:
        """Open the connection; in a drain, which it has come too late for, drain it.

        Who has begun to shake hands before it was accepted may go on with that.
        """
        connection = self.connection
        connection.open()
        if rest:
            connection.feed(rest, self.time())
        if self.scope.draining:
            heard = b"".join(self.read_rest()) if connection.state is State.OPENING else b""
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

    async def _receive_early(self) -> bytes | bytearray:
        """Receive bytes while there is no connection yet; ``b""`` is the peer's EOF."""
        raise NotImplementedError

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

    def opened(self) -> None:
        """Take it that the handshake is over."""
        self._slot.opened()

    def exempt(self) -> None:
        """Count the connection in no limit any more."""
        self._slot.exempt()

    @property
    def refused(self) -> bool:
        """Whether the connection only tells its peer that it is refused."""
        return self._slot.refused is not None

    def read_rest(self) -> list[bytes]:
        """Return what can be read without waiting: nothing, in general."""
        return []

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> int | bytes:
        """Read an option of the socket."""
        raise NotImplementedError

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the socket."""
        raise NotImplementedError
