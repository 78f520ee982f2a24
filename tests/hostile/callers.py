"""Clients on real sockets: a healthy one, and what bad ones have in common."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import trio

from tests.behaviour.drivers import SocketPeer
from trioproto.testing.conformance.peer import Peer, PeerWasReset

HEALTHY = "127.0.0.1"
BAD = "127.0.0.2"
LATE = "127.0.0.3"
"""Where clients come from: all of 127.0.0.0/8 is this machine."""

_TCP_REPAIR = 19
_PATIENCE = 60
"""Seconds of real time, many times what any test takes."""


class Caller(SocketPeer):
    """A client; on loopback what is sent has arrived, so no wait keeps virtual time back."""

    async def receive_some(self) -> bytes:
        if self.was_reset:
            raise PeerWasReset
        try:
            return await self.sock.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            self.was_reset = True
            raise PeerWasReset from None

    async def try_to_send(self, data: bytes) -> bool:
        """Send what may not be wanted any more; return whether it has gone."""
        try:
            await self.send(data)
        except (OSError, trio.ClosedResourceError):
            return False
        return True

    def vanish(self) -> None:
        """Be gone without a FIN or a reset, as a host is that has lost its power.

        That takes a privilege (CAP_NET_ADMIN); without it, keep silent for ever.
        """
        with suppress(PermissionError):
            self.raw.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
            self.sock.close()

    def read_so_far(self, most: int) -> bytes:
        """Read so many bytes, or what has come of them."""
        try:
            return self.raw.recv(most)
        except BlockingIOError:
            return b""


async def call(address: tuple[str, int], source: str) -> Caller:
    """Connect from an address of the loopback network; it may be reset already."""
    made = socket.socket()
    was_reset = False
    try:
        made.setblocking(False)
        made.bind((source, 0))
        await trio.socket.from_stdlib_socket(made).connect(address)
    except ConnectionResetError:
        was_reset = True
    except BaseException:
        made.close()
        raise
    caller = Caller(made)
    caller.was_reset = was_reset
    return caller


class Healthy:
    """A client that asks one question after the other; each has to be answered rightly.

    The questions are lines, and an echo is the answer.

    Attributes:
        exchanges: how many questions were answered.
        longest: seconds, of the test's clock, that it has waited for an answer.
        gives_up_at: when a test that still goes on must hang, in real time.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.gives_up_at = time.monotonic() + _PATIENCE
        self.exchanges = 0
        self.longest = 0.0
        self._pace = 1.0
        self._rest = trio.CancelScope()
        self._answered = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Ask, until cancelled."""
        while True:
            await self.ask()
            with trio.CancelScope() as self._rest:
                await trio.sleep(self._pace)

    def hurry(self) -> None:
        """Ask without a rest from now on; it is never quiet then, and virtual time stands still."""
        self._pace = 0
        self._rest.cancel()

    def take_it_easy(self, pace: float = 1.0) -> None:
        """Rest so many seconds after each answer; as at the beginning, one."""
        self._pace = pace

    async def ask(self) -> None:
        """Do one exchange."""
        assert time.monotonic() < self.gives_up_at, "the test hangs, and virtual time with it"
        question = b"is there anybody %d\r\n" % self.exchanges
        began_at = trio.current_time()
        await self.peer.send(question)
        answer = await self.peer.receive_exactly(len(question))
        assert answer == question
        self.longest = max(self.longest, trio.current_time() - began_at)
        self.exchanges += 1
        self._answered.unpark_all()

    async def served(self, count: int) -> None:
        """Wait until so many more of its questions were answered."""
        enough = self.exchanges + count
        while self.exchanges < enough:
            await self._answered.park()
