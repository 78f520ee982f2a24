"""The driver for sockets on Linux: the general way.

Events of the socket and turns from elsewhere lead to the same: what has come is
fed to the connection, what waits is sent, and then it is seen what to wait for.

Interest in events is changed only when it has to be. Readable stays of interest
while a connection must not be read, until an event arrives; the peer's FIN
(``EPOLLRDHUP``) until it has been seen; and as a hang-up cannot be masked, a
descriptor that has hung up and is not being read leaves the epoll. All three
would otherwise be reported for ever.
"""

from __future__ import annotations

import errno
import os
import socket
from math import inf
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from typing import TYPE_CHECKING, Any

import trio

from trioproto.runtime.driver import BaseDriver
from trioproto.runtime.socket_options import reset_on_close
from trioproto.sansio import holds
from trioproto.sansio.errors import ConnectionLost
from trioproto.sansio.lifecycle import State

if TYPE_CHECKING:
    from trioproto.factory import Factory
    from trioproto.runtime.poller import Poller
    from trioproto.runtime.scope import Scope

_PEER_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR
_READING = EPOLLIN | EPOLLRDHUP
_UNWATCHED = -1
_AT_ONCE = 512 * 1024
"""Bytes that go through layers, which takes time, in one turn."""
_EARLY = 4096
"""Bytes read at once before the protocol is built."""
_FILE_ERRORS = {errno.EIO, errno.EISDIR, errno.EBADF, errno.ENOMEM, errno.EACCES}
"""What ``sendfile`` reports of the file; the rest concerns the socket."""
_FILE_CHUNK = 1024 * 1024


class SocketDriver(BaseDriver):
    """Serves one connection over a non-blocking socket, which it closes.

    Args:
        scope: the scope that the connection belongs to; it has the poller.
        sock: the connected socket.
        factory: whose connection it is, if not the scope's.
    """

    __slots__ = ("_blocked", "_interest", "_poller", "_socket")

    can_write_eof = True

    def __init__(
        self,
        scope: Scope,
        poller: Poller,
        sock: socket.socket,
        factory: Factory[Any] | None = None,
    ) -> None:
        super().__init__(scope, factory)
        self._poller = poller
        self._socket = sock
        self._interest = _UNWATCHED
        self._blocked = False

    # Events

    def event(self, mask: int, now: float) -> None:
        """Act on events of the socket; there may be a shortcut."""
        self.context.run(self._event, mask, now)

    def _event(self, mask: int, now: float) -> None:
        """Act on events of the socket, whatever state the connection is in."""
        connection = self.connection
        connection.tell = False
        if mask & (EPOLLOUT | EPOLLERR | EPOLLHUP):
            self._blocked = False
        if mask & _PEER_EVENTS:
            size = connection.receive_size(now) if connection.wants_read else 0
            if size:
                self._receive(size, now)
            else:
                self._not_reading(mask)
        self.turn()

    def _receive(self, size: int, now: float) -> None:
        """Read what there is, and feed it."""
        connection = self.connection
        try:
            data = self._socket.recv(size)
        except BlockingIOError:
            return
        except OSError as exc:
            connection.lost(exc)
            return
        if data:
            connection.feed(data, now)
        else:
            connection.feed_eof()

    def read_more(self) -> bytes:
        """Return what the kernel has received, at most ``read_size`` of it."""
        try:
            return self._socket.recv(self.connection.settings.read_size)
        except BlockingIOError:
            pass
        except OSError as exc:
            self.connection.lost(exc)
        return b""

    def _input_ended(self, error: OSError | None) -> None:
        """Take the end of input, or the loss, that the shortcut has met."""
        connection = self.connection
        connection.tell = False
        if error is None:
            connection.feed_eof()
        else:
            connection.lost(error)
        self.turn()

    def _not_reading(self, mask: int) -> None:
        """Take an event that cannot be answered by reading: see that it ends."""
        if mask & EPOLLERR:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self.connection.lost(OSError(code, os.strerror(code)))
                return
        if mask & EPOLLHUP:
            self._watch(_UNWATCHED)
        else:
            self._watch(self._interest & ~(mask & (EPOLLIN | EPOLLRDHUP)))

    # Turns

    def _quick_turn(self) -> bool:
        """Take a turn by a shortcut, if there is one; say whether that was all."""
        return False

    def turn(self) -> None:
        """Make the callbacks that are due, send, and see what to wait for."""
        connection = self.connection
        connection.begin_turn()
        if connection.state < State.ENDED:
            self._flush(self._at_once)
            connection.advance()
            if connection.wants_shutdown:
                self._shut_down()
        if connection.closing:
            self._stop_user_code()
        if connection.state < State.ENDED:
            self._watch_for_more()
            self.scope.deadlines.arm(self, connection.deadline)
            if not self._settled:
                connection.holds |= holds.UNSETTLED
            if connection.pending is not None or self._to_start:
                self._wake()
        else:
            self._watch(_UNWATCHED)
        self._notify_waiters()

    @property
    def _settled(self) -> bool:
        """Whether a step that sends all of its output needs no turn after it."""
        connection = self.connection
        if self._interest != _READING or connection.counted:
            return False
        entry = self.deadline_entry
        if entry is None:
            return not connection.timed
        if not connection.holds & holds.BUSY:
            return True
        # It may be the callback's; what is due after it, the idle time say, comes earlier.
        idle = connection.timeout
        return connection.watch is None and (idle is None or entry.when <= self.time() + idle)

    def offer(self, *, one_turn: bool = False) -> None:
        """Send what the kernel takes; of much that goes through layers a part, or *one_turn*'s."""
        connection = self.connection
        if connection.state < State.ENDED:
            self._blocked = False
            full = not one_turn and connection.buffered > connection.settings.max_buffered
            self._flush(inf if full else self._at_once)
            if connection.buffered or connection.closing:
                connection.note_change()

    @property
    def _at_once(self) -> float:
        """Bytes to be sent in one turn."""
        return _AT_ONCE if self.connection.holds & holds.LAYERED else inf

    def _flush(self, most: float) -> None:
        """Send until nothing waits, the kernel takes no more, or *most* bytes have gone."""
        connection = self.connection
        connection.encode_output()
        if self._blocked:
            connection.output_tried(0, self.time())
            return
        wire = connection.wire
        throttled = connection.throttle is not None and wire.sendable
        if throttled:
            most = connection.send_size(int(min(most, wire.size)), self.time())
        total = 0
        while total < most and (data := wire.peek()) is not None:
            if throttled and len(data) > most - total:
                data = memoryview(data)[: int(most) - total]
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                self._blocked = True
                break
            except OSError as exc:
                connection.lost(exc)
                return
            total += sent
            partly = sent < len(data)
            wire.sent(sent)
            if partly:
                self._blocked = True
                break
            if total >= most:
                break
            connection.encode_output()
        now = self.time()
        connection.output_tried(total, now)
        if throttled:
            connection.spend_sent(total, now)

    def _shut_down(self) -> None:
        """End our side of the connection."""
        connection = self.connection
        try:
            if not connection.shut:
                self._socket.shutdown(socket.SHUT_WR)
        except OSError as exc:
            connection.lost(exc)
        else:
            connection.shut_down()

    def _watch_for_more(self) -> None:
        """Bring the epoll's interest in line with what is wanted."""
        connection = self.connection
        wanted = EPOLLOUT if self._blocked else 0
        if connection.wants_read:
            wanted |= _READING
        if self._interest != _UNWATCHED:
            self._watch(self._interest & ~EPOLLOUT | wanted)
        elif wanted:
            self._watch(wanted)
        if connection.sendable and not self._blocked:
            # A callback has written after the flush: one round a tick.
            self.changed()
        else:
            connection.tell = True

    def _watch(self, interest: int) -> None:
        if interest == self._interest:
            return
        fd = self._socket.fileno()
        if interest == _UNWATCHED:
            self._poller.unregister(fd)
        elif self._interest == _UNWATCHED:
            try:
                self._poller.register(fd, self, interest)
            except OSError as exc:
                self._cannot_be_watched(exc)
                return
        else:
            self._poller.modify(fd, interest)
        self._interest = interest

    def _cannot_be_watched(self, exc: OSError) -> None:
        """Lose this connection only; the others go on."""
        connection = self.connection
        problem = ConnectionLost(f"the system has no room in an epoll: {exc}")
        self.factory.opening_failed(connection.peer, problem)
        connection.lost(exc)
        self._stop_user_code()

    # The task

    async def _receive_early(self) -> bytes:
        while True:
            try:
                data = self._socket.recv(_EARLY)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._socket)
            else:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return data

    async def _wait_reset(self) -> None:
        await self._poller.wait_error(self._socket.fileno())

    async def _serve(self, rest: bytes) -> None:
        connection = self.connection
        self.scope.watchdog.watch(self, self._open, rest)
        self._watch(_READING)
        self.turn()
        while connection.state < State.ENDED:
            if connection.pending is not None or self._to_start:
                await self._serve_in_nursery()
                return
            await self._park()

    async def _serve_in_nursery(self) -> None:
        """Go on in a nursery, from when one is first needed (it costs 1.3 KB)."""
        connection = self.connection
        async with trio.open_nursery() as nursery:
            self._start_tasks(nursery)
            try:
                while connection.state < State.ENDED:
                    waiting = connection.take_pending()
                    if waiting is None:
                        await self._park()
                    else:
                        await self._run_callbacks(waiting)
                        if not self._quick_turn():
                            self.turn()
            except BaseException:
                # Before the nursery closes: nothing may be started in it any more.
                connection.cancel()
                raise
            nursery.cancel_scope.cancel()

    async def _close(self, *, reset: bool) -> None:
        self._watch(_UNWATCHED)
        if reset:
            reset_on_close(self._socket)
        self._socket.close()

    # The socket

    def getsockopt(self, level: int, option: int, buffersize: int = 0) -> int | bytes:
        """Read an option of the socket."""
        if buffersize:
            return self._socket.getsockopt(level, option, buffersize)
        return self._socket.getsockopt(level, option)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Set an option of the socket."""
        self._socket.setsockopt(level, option, value)

    async def _copy_file(self, file: Any, offset: int, count: int | None) -> int:
        """Have the kernel copy from file to socket."""
        connection = self.connection
        total = 0
        while count is None or total < count:
            await trio.lowlevel.checkpoint()
            if connection.state >= State.ENDED:
                break
            size = _FILE_CHUNK if count is None else min(_FILE_CHUNK, count - total)
            if connection.throttle is not None:
                size = await self._wait_to_send(size)
                if not size:
                    break
            try:
                sent = self._send_part(file.fileno(), offset + total, size)
            except BlockingIOError:
                self._blocked = True
                connection.output_tried(0, self.time())
                connection.note_change()
                await self._wait_until(lambda: not self._blocked)
                continue
            except OSError as exc:
                if exc.errno in _FILE_ERRORS:
                    raise
                connection.lost(exc)
                connection.note_change()
                break
            if not sent:
                break
            total += sent
            connection.output_tried(sent, self.time())
            connection.spend_sent(sent, self.time())
        return total

    def _send_part(self, fd: int, offset: int, size: int) -> int:
        """Send some of a file; by way of our own memory if the kernel cannot."""
        try:
            return os.sendfile(self._socket.fileno(), fd, offset, size)
        except OSError as exc:
            if exc.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
        data = os.pread(fd, min(size, 65536), offset)
        return self._socket.send(data) if data else 0
