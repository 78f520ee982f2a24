"""The driver for any trio stream.

One task receives, feeds and sends, in turn. A second, the sender, is started
when something is written while that task waits for something else: by another
connection, by a task, by a callback that waits. Only one of them sends at a
time, and whoever sends goes on until nothing is left.

A protocol with ``auto_pause = False`` has to be read from while output to it is
stuck, so there only the sender sends.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from time import perf_counter
from typing import TYPE_CHECKING, Any

import trio

from trioproto.runtime.driver import BaseDriver
from trioproto.runtime.socket_options import reset_on_close
from trioproto.runtime.user_code import call_user, shielded
from trioproto.runtime.watchdog import NOTICEABLE
from trioproto.sansio.errors import ConnectionLost, NotSupported
from trioproto.sansio.lifecycle import State

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.runtime.scope import Scope

_CHUNK = 64 * 1024
"""Bytes sent at once; over a stream, progress is only seen when all are gone."""
_FIRST_CHUNK = 16 * 1024
"""The same, before it is known how fast the peer is."""
_SLOW_CHUNK = 4 * 1024
"""The same, while a peer is slow."""
_EARLY = 4096
"""Bytes read at once before the protocol is built."""
_SLOW = 0.05
"""Seconds from which on a peer counts as slow."""
_POSIX = os.name == "posix"
"""Whether a socket can be read from as a file."""
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class StreamDriver(BaseDriver):
    """Serves one connection over a stream, which it closes.

    Args:
        scope: the scope that the connection belongs to.
        stream: any stream; ``write_eof`` works if it is half-closeable.
        factory: whose connection it is, if not the scope's.
    """

    __slots__ = ("_idle_sender", "_piece", "_read_scope", "_sender_started", "_sending", "_stream")

    def __init__(
        self, scope: Scope, stream: trio.abc.Stream, factory: Factory[Any] | None = None
    ) -> None:
        super().__init__(scope, factory)
        self._stream = stream
        self._piece = _FIRST_CHUNK
        self._sending = False
        self._sender_started = False
        self._idle_sender: trio.lowlevel.Task | None = None
        self._read_scope: trio.CancelScope | None = None
        """Set while the task waits for bytes."""

    @property
    def can_write_eof(self) -> bool:  # type: ignore[override]
        """Whether the stream can end one side alone."""
        return isinstance(self._stream, trio.abc.HalfCloseableStream)

    # Turns

    def turn(self) -> None:
        """Make the callbacks that are due, and see who has to act on the outcome."""
        connection = self.connection
        if self._sending:
            connection.count_output()  # else whoever sends does that
        self._look()
        if connection.state >= State.ENDED:
            return
        self._wake()
        if self._must_send():
            self._wake_sender()
        if self._read_scope is not None and (
            connection.pending is not None or (connection.wants_shutdown and not self._sending)
        ):
            self._read_scope.cancel()

    def _look(self) -> None:
        """Make the callbacks that are due; the part of a turn that the task needs."""
        connection = self.connection
        connection.begin_turn()
        connection.advance()
        if connection.closing:
            self._stop_user_code()
        if connection.state < State.ENDED:
            self.scope.deadlines.arm(self, connection.deadline)
            connection.tell = True
        self._notify_waiters()

    def _must_send(self) -> bool:
        """Whether output waits that nobody sends."""
        return self.connection.sendable and not self._sending

    # The task

    async def _receive_early(self) -> bytes | bytearray:
        return await self._stream.receive_some(_EARLY)

    async def _serve(self, rest: bytes) -> None:
        connection = self.connection
        async with trio.open_nursery() as nursery:
            try:
                self.scope.watchdog.watch(self, self._open, rest)
                self._start_tasks(nursery)
                self._look()
                while connection.state < State.ENDED:
                    await self._next_step()
                    self._look()
            except BaseException:
                # Before the nursery closes: nothing may be started in it any more.
                connection.cancel()
                raise
            nursery.cancel_scope.cancel()

    def _next_step(self) -> Awaitable[None]:
        """Do the one thing that is to be done next."""
        connection = self.connection
        waiting = connection.take_pending()
        if waiting is not None:
            return self._run_callbacks(waiting)
        if self._must_send():
            if connection.protocol.auto_pause:
                return self._send()
            self._wake_sender()
        if connection.wants_shutdown and not self._sending:
            return self._shut_down()
        if connection.wants_read:
            if connection.throttle is None:
                return self._receive(connection.settings.read_size)
            return self._receive(connection.receive_size_ahead(self.time()))
        return self._park()

    async def _receive(self, size: int) -> None:
        """Receive, feed and send, as long as nothing else is to be done.

        Whoever cancels the scope has seen to it that something is: a hold tells.
        """
        connection = self.connection
        stream = self._stream
        with trio.CancelScope() as scope:
            while True:
                self._read_scope = scope
                try:
                    data = await stream.receive_some(size)
                except Exception as exc:
                    self._stream_failed(exc)
                    return
                finally:
                    self._read_scope = None
                began_at = perf_counter()
                plain = self._feed(data)
                took = perf_counter() - began_at
                if took > NOTICEABLE:
                    self.scope.watchdog.look(self, took)
                if not plain:
                    return
                waiting = connection.outbound.size
                if waiting:
                    if waiting > _CHUNK or self._sending or not connection.protocol.auto_pause:
                        return
                    await self._send_run(self._piece, connection.active_at)
                    if connection.holds or connection.outbound.size:
                        return
                connection.tell = True

    def _feed(self, data: bytes | bytearray) -> bool:
        """Feed what was received; say whether there may be output to send, and nothing else."""
        connection = self.connection
        connection.tell = False
        if not data:
            connection.feed_eof()
            return False
        if not isinstance(data, bytes):
            data = bytes(data)
        now = self.time()
        if connection.holds:
            connection.feed(data, now)
            return False
        connection.active_at = now
        connection.bytes_received += len(data)
        try:
            result = call_user(connection.protocol.data_received, data)
        except BaseException as exc:
            connection.data_received_raised(exc)
            return False
        if result is not None or connection.holds:
            connection.delivered(result)
            return False
        return True

    def read_more(self) -> bytes:
        """Return what the system has received for a socket; other streams cannot be asked.

        Nothing while the task receives: what trio has taken already comes first.
        """
        stream = self._stream
        if type(stream) is not trio.SocketStream or self._read_scope is not None or not _POSIX:
            return b""
        try:
            return os.read(stream.socket.fileno(), self.connection.settings.read_size)
        except BlockingIOError:
            pass
        except OSError as exc:
            self.connection.lost(exc)
        return b""

    # Sending

    async def _send(self) -> None:
        """Send what waits, until nothing does or ``resume_writing`` is due."""
        connection = self.connection
        low_water = connection.settings.low_water
        while connection.state < State.ENDED:
            before = connection.buffered
            connection.encode_output()
            connection.count_output()
            if connection.throttle is None:
                await self._send_run(self._piece, self.time())
            else:
                await self._send_throttled(self.time())
            self._notify_waiters()
            if not connection.sendable or connection.buffered <= low_water < before:
                return

    async def _send_throttled(self, now: float) -> None:
        """Send as much of a run as the throttle allows, perhaps nothing."""
        connection = self.connection
        size = connection.send_size(min(self._piece, connection.wire.size) or 1, now)
        if not size:
            connection.output_tried(0, now)
            return
        before = connection.bytes_sent
        await self._send_run(size, now)
        connection.spend_sent(connection.bytes_sent - before, self.time())

    async def _send_run(self, most: int, now: float) -> None:
        """Send one run of at most *most* bytes, or 64 KiB, of what waits."""
        connection = self.connection
        data = connection.begin_output(most, now)
        if data is None:
            return
        self._sending = True
        entry = self.deadline_entry
        timeout = connection.settings.write_timeout
        if timeout is not None and (entry is None or entry.when > now + timeout):
            self.scope.deadlines.arm(self, connection.deadline)
        connection.tell = True
        try:
            await self._stream.send_all(data)
        except Exception as exc:
            self._stream_failed(exc)
        else:
            if connection.state < State.ENDED:
                after = self.time()
                self._piece = _CHUNK if after - now < _SLOW else _SLOW_CHUNK
                connection.wire.sent(len(data))
                connection.output_tried(len(data), after)
        finally:
            self._sending = False

    def _wake_sender(self) -> None:
        """Have the sender send, starting it when it is first needed."""
        assert self._nursery is not None
        if not self._sender_started:
            self._sender_started = True
            self._nursery.start_soon(self._run_sender)
        task, self._idle_sender = self._idle_sender, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    @trio.lowlevel.enable_ki_protection
    async def _run_sender(self) -> None:
        """Send whatever the task cannot; until cancelled."""
        while True:
            if self._must_send():
                await self._send()
                self.context.run(self.turn)
            else:
                self._idle_sender = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._sender_aborted)

    def _sender_aborted(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._idle_sender = None
        return trio.lowlevel.Abort.SUCCEEDED

    # Ending

    def _stream_failed(self, exc: Exception) -> None:
        """Take what the stream raised; what no stream should raise is logged too."""
        connection = self.connection
        if isinstance(exc, _BROKEN):
            cause = exc.__cause__
            connection.lost(cause if isinstance(cause, OSError) else exc)
            return
        self._report_unexpected(exc)
        connection.lost(exc)

    def _report_unexpected(self, exc: Exception) -> None:
        """Log what no stream should raise."""
        reason = ConnectionLost(f"unexpected error in {type(self._stream).__name__}")
        reason.__cause__ = exc
        self.factory.report(self.connection.peer if self.begun else None, reason)

    async def _shut_down(self) -> None:
        """End our side, if it can be ended alone."""
        connection = self.connection
        stream = self._stream
        try:
            if isinstance(stream, trio.abc.HalfCloseableStream) and not connection.shut:
                await stream.send_eof()
        except _BROKEN:
            pass  # all was sent before; the next read tells what has happened
        except Exception as exc:
            self._stream_failed(exc)
            return
        if connection.state < State.ENDED:
            connection.shut_down()

    async def _close(self, *, reset: bool) -> None:
        stream = self._stream
        try:
            with shielded(self.factory.settings.cleanup_timeout):
                if reset and isinstance(stream, trio.SocketStream):
                    reset_on_close(stream)
                if reset or (self.can_write_eof and self.begun):  # it was ended before
                    await trio.aclose_forcefully(stream)
                else:
                    await stream.aclose()
        except _BROKEN:
            pass
        except Exception as exc:
            # Whatever it is, ``connection_lost`` is to be called.
            self._report_unexpected(exc)

    # The socket, if there is one

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> int | bytes:
        """Read an option of the socket."""
        return self._socket_stream().getsockopt(level, option, buffersize)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the socket."""
        self._socket_stream().setsockopt(level, option, value)

    def _socket_stream(self) -> trio.SocketStream:
        if isinstance(self._stream, trio.SocketStream):
            return self._stream
        raise NotSupported("there is no socket")

    async def _copy_file(self, file: Any, offset: int, count: int | None) -> int:
        """Read in a thread, and send."""
        connection = self.connection
        total = 0
        while count is None or total < count:
            size = _CHUNK if count is None else min(_CHUNK, count - total)
            if connection.throttle is not None:
                size = await self._wait_to_send(size)
                if not size:
                    break
            data = await trio.to_thread.run_sync(os.pread, file.fileno(), size, offset + total)
            if not data or connection.state >= State.ENDED:
                break
            connection.output_tried(0, self.time())
            connection.note_change()
            try:
                await self._stream.send_all(data)
            except Exception as exc:
                self._stream_failed(exc)
                connection.note_change()
                break
            total += len(data)
            connection.output_tried(len(data), self.time())
            connection.spend_sent(len(data), self.time())
        return total
