"""The peers of one factory, who are all driven by hand and by one clock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from trioproto.factory import Factory
from trioproto.sansio.addresses import TCPAddress
from trioproto.testing.crowd_peer import Peer
from trioproto.testing.failures import tells_all
from trioproto.testing.invariants import broken_invariant
from trioproto.testing.transcript import Transcript
from trioproto.testing.watched_harness import WatchedHarness

__tracebackhide__ = tells_all

if TYPE_CHECKING:
    # A default, so that a bare ``class MyMachine(ProtocolMachine)`` is typed as well.
    from typing_extensions import TypeVar as TypeVarWithDefault

    F = TypeVarWithDefault("F", bound=Factory[Any], default=Factory[Any])
else:
    F = TypeVar("F", bound=Factory)

_FIRST_PORT = 40_000


class Crowd(Generic[F]):
    """Peers who come and go, what they have on its way, and the time.

    What is sent arrives wherever the server reads; what has followed from a step is
    told to the hooks in its order. ``settle`` ends a step, and checks what holds of
    every protocol.

    Args:
        factory: the factory under test.

    Attributes:
        factory: the factory under test.
        live: the peers whose connection has not ended, in the order of their coming.
        now: the time, in seconds.
        transcript: what has happened until now.
        broken: whether something was raised, after which nothing is checked any more.
    """

    now: float = 0.0

    def __init__(self, factory: F) -> None:
        self.factory = factory
        self.live: list[Peer] = []
        self.transcript = Transcript()
        self.broken = False
        self._newcomers: list[Peer] = []
        self._came = 0
        self._losses = count()

    # Hooks

    def on_connected(self, peer: Peer) -> None:
        """Follow that *peer* is connected."""

    def on_sent(self, peer: Peer, message: bytes) -> None:
        """Follow that the last byte of *message* is about to be delivered.

        Several messages may come in one chunk: this is called for each before it
        is delivered. A receiver that stops in a chunk (it pauses reading, or more
        than ``high_water`` waits for a peer that stalls) gets to the rest later. It
        is not called for what comes while the server closes.
        """

    def on_lost(self, peer: Peer) -> None:
        """Follow that ``connection_lost`` was called; ``peer.harness.reason`` says why."""

    def check(self) -> None:
        """Compare what has happened with what should have, after each step.

        Raises:
            AssertionError: it is not the same.
        """

    # Steps

    def who(self, condition: Callable[[Peer], bool]) -> list[Peer]:
        """Return the live peers that *condition* accepts."""
        return [peer for peer in self.live if condition(peer)]

    def let_in(self) -> Peer | None:
        """Have another peer connect; ``None`` if it is refused."""
        address = TCPAddress("192.0.2.1", _FIRST_PORT + self._came)
        harness: WatchedHarness[Any] = WatchedHarness(
            self.factory, peer=address, losses=self._losses
        )
        harness.set_time(self.now)
        peer = Peer(f"peers_{self._came}", harness, self.fail)
        self.do(peer, "connects", self._connect, peer)
        return peer if harness.connected else None

    def _connect(self, peer: Peer) -> None:
        harness = peer.harness
        try:
            harness.connect()
        except ConnectionRefusedError:
            if harness.connected:
                raise
            self.transcript.happened(f"{peer} is refused", self.now)
            return
        finally:
            if harness.connected:
                self._came += 1
                self.live.append(peer)
                self._newcomers.append(peer)

    def resume(self, peer: Peer) -> None:
        """Resume reading, if it was paused by us."""
        if peer.paused:
            peer.paused = False
            self.do(peer, "is resumed", peer.harness.transport.resume_reading)

    def do(self, peer: Peer, what: str, action: Callable[..., object], *args: Any) -> None:
        """Take a step of one connection, and follow what it has led to in all."""
        if what:
            self.transcript.happened(f"{peer} {what}", self.now)
        try:
            try:
                action(*args)
            finally:
                self._hear()
            self._follow()
        except BaseException as exc:
            self.transcript.happened(f"{type(exc).__name__} was raised", self.now)
            self.broken = True
            raise

    def _hear(self) -> None:
        """Take what was sent to the peers that read."""
        for peer in self.live:
            data = peer.harness.take()
            if data:
                peer.received += data
                self.transcript.happened(f"{peer} > {data[:160]!r}", self.now)

    def _follow(self) -> None:
        """Tell the hooks who has come, and who has gone, in this order."""
        while self._newcomers:
            self.on_connected(self._newcomers.pop(0))
        lost = [peer for peer in self.live if peer.lost]
        for peer in sorted(lost, key=lambda peer: peer.harness.loss or 0):
            self.live.remove(peer)
            self.transcript.happened(f"{peer} is lost: {peer.harness.reason!r}", self.now)
            self._check_order(peer)
            self.on_lost(peer)

    # What is on its way

    def _deliver(self) -> None:
        """Let what peers have sent arrive, wherever the server reads."""
        arrived = True
        while arrived:
            arrived = False
            for peer in self.who(lambda peer: peer.waits):
                arrived = self._deliver_to(peer) or arrived

    def _deliver_to(self, peer: Peer) -> bool:
        """Let one chunk arrive, or EOF; say whether there was any."""
        harness = peer.harness
        if peer.lost or not harness.reading:
            return False
        size = harness.receive_size()
        if not size:
            return False
        data, messages = peer.arrive(size)
        if not data:
            self.do(peer, "", harness.feed_eof)
            return True
        for message in messages if peer.open else ():
            self.on_sent(peer, message)
        self.transcript.happened(f"{peer} < {data[:160]!r}", self.now)
        self.do(peer, "", harness.feed, data)
        return True

    # Time

    def next_deadline(self) -> float:
        """Return when something happens because time passes; ``inf``: never."""
        return min((peer.harness.deadline for peer in self.live), default=inf)

    def advance_to(self, end: float) -> None:
        """Let time pass; each deadline on the way fires at its own time."""
        while (due := self.next_deadline()) <= end:
            self._set_time(max(due, self.now))
            for peer in self.who(lambda peer: peer.harness.deadline <= self.now):
                self.do(peer, "", peer.harness.advance, 0)
            self._deliver()
        self._set_time(max(end, self.now))

    def _set_time(self, now: float) -> None:
        self.now = now
        for peer in self.live:
            peer.harness.set_time(now)

    # Ends of steps, and of all

    def settle(self) -> None:
        """Let what is on its way arrive, and check everything: the end of each step.

        Raises:
            AssertionError: something does not hold.
        """
        try:
            self._hear()  # what others than we have led to
            self._follow()
            self._deliver()
            for peer in self.live:
                self._check_order(peer)
            problem = broken_invariant(self.factory, [peer.harness for peer in self.live])
            if problem is not None:
                self.fail(problem)
            self.check()
        except BaseException:
            self.broken = True
            raise

    def dismiss(self) -> None:
        """End all connections, as a server does that is cancelled; the last step."""
        if self.broken:
            for peer in self.live:
                with suppress(Exception):
                    peer.harness.cancel()
            return
        for peer in list(self.live):
            if not peer.lost:
                self.do(peer, "is cancelled", peer.harness.cancel)
        self.settle()

    def fail(self, problem: str) -> NoReturn:
        """Say that something does not hold."""
        self.broken = True
        raise AssertionError(problem)

    def _check_order(self, peer: Peer) -> None:
        order = peer.harness.order
        if order.problem is None and peer.lost and peer.harness.loss is None:
            order.problem = "connection_lost was not called"
        if order.problem is not None:
            self.fail(f"{peer}: {order.problem}")
