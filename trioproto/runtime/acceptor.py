"""Accepting: one task for each listener.

On our own sockets the order is readiness, then a slot, then ``accept``: while
there is no slot, newcomers stay in the kernel's backlog, and no slot is ever
held while waiting for a connection. Over a ready-made ``Listener`` there is no
readiness to ask for, so one accepted stream may wait for its slot.

Some errors of ``accept`` concern one connection only, and are passed over.
Others say that the system has run out of something: then what is queued is shed
with the help of a descriptor held in reserve, since a peer that is reset can try
elsewhere and one that hangs cannot, and accepting rests for a moment.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from typing import TYPE_CHECKING

import trio

from trioproto.runtime.peers import peer_address, stream_addresses
from trioproto.runtime.poll_driver import PollDriver
from trioproto.runtime.socket_options import TCPOptions, reset_on_close
from trioproto.runtime.stream_driver import StreamDriver
from trioproto.runtime.user_code import close_at_once, closed_if_raised
from trioproto.sansio.addresses import Address, TCPAddress, address_from_sockaddr

if TYPE_CHECKING:
    from trioproto.layers.opening import Opening
    from trioproto.runtime.poller import Poller
    from trioproto.runtime.scope import Scope
    from trioproto.runtime.slots import Slot

logger = logging.getLogger("trioproto")

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_ONE_CONNECTION = {
    errno.EPERM,
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.ENETDOWN,
    errno.ENOPROTOOPT,
    errno.EHOSTDOWN,
    errno.ENONET,
    errno.EHOSTUNREACH,
    errno.EOPNOTSUPP,
    errno.ENETUNREACH,
    errno.ETIMEDOUT,
    errno.EINTR,
}
_REST = 0.1
"""Seconds without accepting, after the system ran out of something."""
_BURST = 64
"""Connections accepted, or shed, between two checkpoints."""
_LONGEST_QUEUE = 65536
"""Connections that a kernel keeps at most, whoever has said how many."""
_CLOSE_TIME = 1.0
"""Seconds for closing a stream or a listener."""


class Doorman:
    """What the acceptors of one server share: where connections go.

    Args:
        scope: the scope that connections belong to.
        nursery: where their tasks run.
    """

    def __init__(self, scope: Scope, nursery: trio.Nursery) -> None:
        self.scope = scope
        self.nursery = nursery

    def admit_socket(
        self,
        sock: socket.socket,
        poller: Poller,
        peer: Address,
        local: Address,
        opening: Opening,
        slot: Slot,
    ) -> None:
        """Start the connection's task on an accepted socket."""
        driver = PollDriver(self.scope, poller, sock)
        self.nursery.start_soon(driver.run, peer, local, opening, slot)
        slot.used(None if opening.proxied else peer)

    def admit_stream(self, stream: trio.abc.Stream, opening: Opening, slot: Slot) -> None:
        """Start the connection's task on an accepted stream."""
        driver = StreamDriver(self.scope, stream)
        peer, local = stream_addresses(stream)
        self.nursery.start_soon(driver.run, peer, local, opening, slot)
        slot.used(None if opening.proxied else peer)


class SocketAcceptor:
    """Accepts on a listening socket of our own, which it closes.

    Args:
        doorman: where the connections go.
        sock: bound, non-blocking.
        opening: what each connection goes through first.
        listens: whether it listens already, so that connections may have come to
            it that do not have our options.
    """

    def __init__(
        self, doorman: Doorman, sock: socket.socket, opening: Opening, *, listens: bool
    ) -> None:
        self.address = address_from_sockaddr(sock.getsockname())
        self._opening = opening
        self._doorman = doorman
        self._socket = sock
        self._poller = doorman.scope.poller  # now, while there are descriptors left
        self._spare: int | None = None
        self._shed_untold = 0
        self._is_tcp = isinstance(self.address, TCPAddress)
        self._handed_on: TCPOptions | None = None
        if self._is_tcp and not listens:
            # Two calls less for each connection.
            self._handed_on = TCPOptions.of(doorman.scope.factory.settings)
            self._handed_on.set_on(sock)
        wildcard = isinstance(self.address, TCPAddress) and self.address.host in ("0.0.0.0", "::")
        self._local = None if wildcard else self.address

    async def run(self) -> None:
        """Accept until cancelled."""
        self._spare = os.open(os.devnull, os.O_RDONLY)
        try:
            while True:
                await trio.lowlevel.wait_readable(self._socket)
                await self._accept_burst()
        finally:
            if self._doorman.scope.draining:
                self._accept_queued()
            self._drop_spare()
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    async def _accept_burst(self) -> None:
        """Accept until nobody is there, or somebody else should have a turn."""
        admission = self._doorman.scope.admission
        exhausted: OSError | None = None
        for number in range(_BURST):
            slot = admission.try_slot(handshake=self._opening.layered)
            if slot is None:
                if number:
                    return  # perhaps nobody is there any more, who would have to wait
                slot = await admission.wait_slot(handshake=self._opening.layered)
                if slot is None:
                    return
            try:
                self._accept_in(slot)
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno not in _EXHAUSTED:
                    raise
                exhausted = exc
            if exhausted is not None:
                await self._shed(exhausted)
                return

    def _accept_queued(self) -> None:
        """Accept those who wait, as far as there are slots, before their queue is reset."""
        admission = self._doorman.scope.admission
        for _ in range(_LONGEST_QUEUE):
            slot = admission.try_slot(handshake=self._opening.layered)
            if slot is None:
                return
            try:
                self._accept_in(slot)
            except OSError:
                return

    def _accept_in(self, slot: Slot) -> None:
        """Accept one connection for *slot*, or give it back.

        Raises:
            OSError: nobody is there, or it concerns more than one connection.
        """
        taken = False
        try:
            taken = self._accept_one(slot)
        except OSError as exc:
            if exc.errno not in _ONE_CONNECTION:
                raise
        finally:
            if not taken:
                slot.release()

    def _accept_one(self, slot: Slot) -> bool:
        """Accept one connection; return whether *slot* has gone with it."""
        sock, sockaddr = self._socket.accept()
        try:
            sock.setblocking(False)
            local = self._local or address_from_sockaddr(sock.getsockname())
            if self._is_tcp:
                options = TCPOptions.of(self._doorman.scope.factory.settings)
                if options != self._handed_on:
                    options.set_on(sock)
        except OSError:
            # It has gone already.
            sock.close()
            return False
        peer = peer_address(sock, sockaddr)
        self._doorman.admit_socket(sock, self._poller, peer, local, self._opening, slot)
        return True

    async def _shed(self, exc: OSError) -> None:
        """Reset what is queued, say so, and rest."""
        why = _name_of(exc)
        self._shed_untold += self._reset_queued(why)
        if self._doorman.scope.admission.alarm(why):
            shown = "accepting on %s: %s; %d connections shed"
            logger.warning(shown, self.address, exc, self._shed_untold)
            self._shed_untold = 0
        await trio.sleep(_REST)

    def _reset_queued(self, why: str) -> int:
        """Reset those who are queued, with the descriptor that is kept for that; count them."""
        monitor = self._doorman.scope.factory._monitor
        self._drop_spare()
        shed = 0
        try:
            for _ in range(_BURST):
                sock, sockaddr = self._socket.accept()
                with sock:
                    shed += 1
                    reset_on_close(sock)
                monitor.refused(address_from_sockaddr(sockaddr), self.address, why)
        except OSError:
            pass
        try:
            self._spare = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            pass
        return shed

    def _drop_spare(self) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None


class StreamAcceptor:
    """Accepts on any trio listener, which it closes.

    Args:
        doorman: where the connections go.
        listener: whatever gives streams.
        opening: what each connection goes through first.
        address: what is said of it in the log.
    """

    def __init__(
        self,
        doorman: Doorman,
        listener: trio.abc.Listener[trio.abc.Stream],
        opening: Opening,
        address: Address,
    ) -> None:
        self._address = address
        self._opening = opening
        self._doorman = doorman
        self._listener = listener

    async def run(self) -> None:
        """Accept until cancelled, or until the listener has given all that it will."""
        try:
            while await self._accept():
                pass
        finally:
            await close_at_once(self._listener, _CLOSE_TIME)

    async def _accept(self) -> bool:
        """Accept one stream; return whether there may be more."""
        try:
            stream = await self._listener.accept()
        except trio.EndOfChannel:
            return False
        except OSError as exc:
            if exc.errno in _EXHAUSTED:
                if self._doorman.scope.admission.alarm(_name_of(exc)):
                    logger.warning("accepting on %s: %s", self._address, exc)
                await trio.sleep(_REST)
            elif exc.errno not in _ONE_CONNECTION:
                raise
            return True
        admission = self._doorman.scope.admission
        slot = admission.try_slot(handshake=self._opening.layered)
        if slot is None:
            async with closed_if_raised(stream, _CLOSE_TIME):
                slot = await admission.wait_slot(handshake=self._opening.layered)
            if slot is None:
                await close_at_once(stream, _CLOSE_TIME)
                return True
        self._doorman.admit_stream(stream, self._opening, slot)
        return True


def _name_of(exc: OSError) -> str:
    """Return what the system has run out of, as its error is called."""
    return errno.errorcode.get(exc.errno or 0, "shed")
