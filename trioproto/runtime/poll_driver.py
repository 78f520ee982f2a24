"""The shortcuts of the driver for sockets on Linux: the fast path.

``event`` is the step from readable to sent, and the product. For the common case,
a connection that is plain, or plain but for its layers, with bytes to read, it
does the same as the general way in :mod:`~trioproto.runtime.socket_driver`
without looking at what such a connection cannot have. It runs in the poller's
task; the connection's own task is parked, and is woken for what only a task can
do.
"""

from __future__ import annotations

from select import EPOLLIN
from typing import Any

from trioproto.runtime.socket_driver import SocketDriver
from trioproto.runtime.user_code import call_user
from trioproto.sansio import holds
from trioproto.sansio.books import AHEAD

_LAYERED = holds.LAYERED


class PollDriver(SocketDriver):
    """Serves one connection over a non-blocking socket, which it closes."""

    __slots__ = ()

    def event(self, mask: int, now: float) -> None:
        """Act on events of the socket."""
        connection = self.connection
        held = connection.holds
        if mask != EPOLLIN or (held and held != _LAYERED):
            self.context.run(self._event, mask, now)
            return
        size = connection.settings.read_size
        if held:
            size += size >> 6  # for the records: or a message of that size takes two reads
        try:
            data = self._socket.recv(size)
        except BlockingIOError:
            return
        except OSError as exc:
            # The kernel tells an error only once.
            self.context.run(self._input_ended, exc)
            return
        if not data:
            self.context.run(self._input_ended, None)
            return
        connection.active_at = now
        connection.bytes_received += len(data)
        connection.tell = False
        if held:
            # In no variable: the traceback of an error in the callback would keep the layer.
            try:
                data = connection.layer.receive(data)  # type: ignore[union-attr]
            except Exception as exc:
                self.context.run(self._layer_raised, exc)
                return
            if connection.layer.news or not data:  # type: ignore[union-attr]
                self.context.run(self._decoded, data)
                return
        try:
            result = self.context.run(call_user, connection.protocol.data_received, data)
        except BaseException as exc:
            self.context.run(self._data_received_raised, exc)
            return
        if result is not None:
            self.context.run(self._delivered, result)
        elif not self._quick_turn():
            self.context.run(self.turn)

    def _quick_turn(self) -> bool:
        """Send what such a connection has to send; say whether that was all."""
        connection = self.connection
        held = connection.holds
        if held and held != _LAYERED:
            return False
        outbound = connection.outbound
        if held and (connection.wire.size or outbound.size > AHEAD):
            return False
        pieces = outbound.pieces
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            outbound.size = 0
            try:
                if held:
                    data = connection.layer.send(data)  # type: ignore[union-attr]
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as exc:
                # The kernel tells an error only once.
                connection.lost(exc)
                return False
            except Exception as exc:
                connection.layer_raised(exc)
                return False
            connection.bytes_sent += sent
            if sent < len(data):
                connection.wire.put_back(memoryview(data)[sent:])
                return False
        connection.tell = True
        return True

    def _decoded(self, data: bytes) -> None:
        """Take what has come up through the layers, perhaps nothing, and their news."""
        connection = self.connection
        assert connection.layer is not None
        if connection.layer.news:
            connection.take_news()
        connection.feed_decoded(data)
        self.turn()

    def _layer_raised(self, exc: Exception) -> None:
        self.connection.layer_raised(exc)
        self.turn()

    def take_turn(self) -> None:
        """Take a turn given by the flusher; most come of a write to a plain connection."""
        self.marked = False
        if not self._quick_turn():
            super().take_turn()

    def _delivered(self, result: Any) -> None:
        """Take what ``data_received`` returned, which is a coroutine most likely."""
        connection = self.connection
        connection.delivered(result)
        quick = not connection.outbound.size and connection.settings.callback_timeout is None
        if quick and connection.pending is not None:
            connection.tell = True
            self._wake()
        else:
            self.turn()

    def _data_received_raised(self, exc: BaseException) -> None:
        connection = self.connection
        connection.data_received_raised(exc)
        self.turn()
