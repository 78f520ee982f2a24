"""A state machine for hypothesis that drives a protocol as its peers, and as the clock.

Not imported by ``trioproto.testing``, as it needs hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar, cast

from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    multiple,
    precondition,
    rule,
)
from hypothesis.strategies import SearchStrategy

from trioproto.factory import Factory
from trioproto.sansio.addresses import TCPAddress
from trioproto.testing.books import problem_of_books
from trioproto.testing.stateful_peer import Peer
from trioproto.testing.strategies import chunks
from trioproto.testing.transcript import Transcript
from trioproto.testing.watched import WatchedHarness

__all__ = ["Peer", "ProtocolMachine"]

if TYPE_CHECKING:
    # A default, so that a bare ``class MyMachine(ProtocolMachine)`` is typed as well.
    from typing_extensions import TypeVar as TypeVarWithDefault

    F = TypeVarWithDefault("F", bound=Factory[Any], default=Factory[Any])
else:
    F = TypeVar("F", bound=Factory)

Step = TypeVar("Step", bound=Callable[..., Any])
When = Literal["just before", "at", "just after"]

_SHIFTS: dict[When, float] = {"at": 0.0, "just before": -0.001, "just after": 0.001}
_SECONDS = (0.1, 1.0, 10.0, 100.0)
_FIRST_PORT = 40_000


def _allowed(machine: Any, name: str) -> bool:
    return name not in machine.leave_out


def _peer_rule(
    who: Callable[[Peer], bool], /, **arguments: SearchStrategy[Any]
) -> Callable[[Step], Step]:
    """Make a rule of what one of those peers does that *who* accepts."""

    def decorate(step: Step) -> Step:
        name = step.__name__
        those = st.runner().flatmap(lambda machine: st.sampled_from(machine.who(who)))

        def possible(machine: Any) -> bool:
            return _allowed(machine, name) and any(map(who, machine.live))

        made = rule(peer=those, **arguments)(step)
        return cast(Step, precondition(possible)(made))

    return decorate


def _machine_rule(
    when: Callable[[Any], bool], /, **arguments: SearchStrategy[Any]
) -> Callable[[Step], Step]:
    """Make a rule of what may happen while *when* holds of the machine."""

    def decorate(step: Step) -> Step:
        name = step.__name__

        def possible(machine: Any) -> bool:
            return _allowed(machine, name) and when(machine)

        return cast(Step, precondition(possible)(rule(**arguments)(step)))

    return decorate


def _cut_once(message: bytes) -> SearchStrategy[tuple[bytes, bytes]]:
    places = st.integers(0, len(message) - 1)
    return places.map(lambda place: (message[:place], message[place:]))


_messages: SearchStrategy[bytes] = st.runner().flatmap(
    lambda machine: machine.messages.filter(bool)
)


class ProtocolMachine(RuleBasedStateMachine, Generic[F]):
    """Peers who do to a protocol what peers do, in any order, and time that passes.

    A subclass says how the factory is made, and which messages are sent. Its hooks
    follow what happens, with a model of what is right; ``check`` compares. There is
    no loop, no network, and no real time::

        class EchoMachine(ProtocolMachine):
            messages = st.binary()

            def make_factory(self) -> Factory:
                return Factory(Echo)

            def on_sent(self, peer: Peer, message: bytes) -> None:
                ...

        TestEcho = EchoMachine.TestCase

    What holds for all protocols is checked after each step: the order of callbacks,
    the factory's connections, its statistics, and how much is buffered. An error in
    a callback comes out as it is.

    Attributes:
        messages: what peers send; each is one message, never empty.
        max_peers: how many peers there are at once, at most.
        leave_out: names of rules that are never followed.
        factory: the factory under test.
        live: the peers whose connection has not ended, in the order of their coming.
        now: the time, in seconds.
        transcript: what has happened until now.

    Raises:
        ValueError: *leave_out* names no rule.
    """

    peers: Bundle[Peer] = Bundle("peers")
    """All peers that there were, for rules of a subclass; they may be lost."""
    messages: SearchStrategy[bytes]
    max_peers = 4
    leave_out: Collection[str] = ()

    def __init__(self) -> None:
        super().__init__()
        self._check_class()
        self.factory: F = self.make_factory()
        self.live: list[Peer] = []
        self.now = 0.0
        self.transcript = Transcript()
        self._losses = count()
        self._arrived = 0
        self._broken = False

    # What a subclass says

    def make_factory(self) -> F:
        """Make the factory that is tested; once for each example."""
        raise NotImplementedError

    def on_connected(self, peer: Peer) -> None:
        """Follow that *peer* is connected."""

    def on_sent(self, peer: Peer, message: bytes) -> None:
        """Follow that the last byte of *message* is about to be delivered.

        Several messages may come in one chunk: this is called for each before it
        is delivered. It is not called for what comes while the server closes.
        """

    def on_lost(self, peer: Peer) -> None:
        """Follow that ``connection_lost`` was called; ``peer.harness.reason`` says why."""

    def check(self) -> None:
        """Compare what has happened with what should have, after each step.

        Raises:
            AssertionError: it is not the same.
        """

    # What peers do

    @precondition(lambda self: self._has_room())
    @rule(target=peers)
    def connect(self) -> Peer | MultipleResults[Peer]:
        """A peer connects."""
        address = TCPAddress("192.0.2.1", _FIRST_PORT + self._arrived)
        harness: WatchedHarness[Any] = WatchedHarness(
            self.factory, peer=address, losses=self._losses
        )
        harness.set_time(self.now)
        peer = Peer(f"peers_{self._arrived}", harness, self._fail)
        try:
            self._do(peer, "connects", self._open, peer)
        except ConnectionRefusedError:
            if harness.connected:
                raise
            self._broken = False
            self.settle()
            return multiple()
        self.settle()
        return peer

    @_peer_rule(lambda peer: peer.talks, message=_messages)
    def send(self, peer: Peer, message: bytes) -> None:
        """A peer sends a message, in one chunk."""
        peer.send(message, message)
        self.settle()

    @_peer_rule(lambda peer: peer.talks, pieces=_messages.flatmap(chunks))
    def send_in_pieces(self, peer: Peer, pieces: list[bytes]) -> None:
        """A peer sends a message, cut into chunks."""
        for piece in pieces[:-1]:
            peer.send(piece)
            self.settle()
        peer.send(pieces[-1], b"".join(pieces))
        self.settle()

    @_peer_rule(lambda peer: peer.talks, parts=_messages.flatmap(_cut_once))
    def begin_to_send(self, peer: Peer, parts: tuple[bytes, bytes]) -> None:
        """A peer sends the first part; the rest goes before what it sends next, as one chunk."""
        peer.begin(*parts)
        self.settle()

    @_peer_rule(lambda peer: peer.owes_rest)
    def send_rest(self, peer: Peer) -> None:
        """A peer sends the rest of a message, alone."""
        peer.send(b"")
        self.settle()

    @_peer_rule(lambda peer: peer.talks)
    def send_eof(self, peer: Peer) -> None:
        """A peer ends its side; the rest of a message that it has begun is never sent."""
        peer.ended = True
        self.transcript.happened(f"{peer} ends its side", self.now)
        self.settle()

    @_peer_rule(lambda _peer: True)
    def reset(self, peer: Peer) -> None:
        """A connection breaks, whatever is under way."""
        self._do(peer, "breaks", peer.harness.reset)
        self.settle()

    @_peer_rule(lambda peer: peer.reads)
    def stall(self, peer: Peer) -> None:
        """A peer stops reading."""
        self._read(peer, 0)

    @_peer_rule(lambda peer: peer.stalls, size=st.integers(1, 200))
    def read_some(self, peer: Peer, size: int) -> None:
        """A peer that has stalled reads some bytes more."""
        self._read(peer, (peer.harness.window or 0) + size)

    @_peer_rule(lambda peer: peer.stalls)
    def read_on(self, peer: Peer) -> None:
        """A peer that has stalled reads all that there is, and comes."""
        self._read(peer, None)

    # What the server does

    @_peer_rule(lambda peer: peer.may_pause)
    def pause_reading(self, peer: Peer) -> None:
        """Something else in the server pauses reading from a peer."""
        peer.paused = True
        self._do(peer, "is paused", peer.harness.transport.pause_reading)
        self.settle()

    @_peer_rule(lambda peer: peer.paused)
    def resume_reading(self, peer: Peer) -> None:
        """It goes on."""
        self._resume(peer)
        self.settle()

    @_machine_rule(lambda self: bool(self.who(lambda peer: peer.may_drain)))
    def drain(self) -> None:
        """The server drains; who comes from now on comes to the next one."""
        for peer in self.who(lambda peer: peer.may_drain):
            if peer.paused:
                self._resume(peer)
            if not peer.lost:
                self._do(peer, "is drained", peer.harness.drain)
        self.settle()

    # What time does

    @_machine_rule(lambda _self: True, seconds=st.sampled_from(_SECONDS))
    def pass_time(self, seconds: float) -> None:
        """Time passes; each deadline on the way fires at its own time."""
        self._pass_time(self.now + seconds)
        self.settle()

    @_machine_rule(lambda self: self._next_deadline() < inf, when=st.sampled_from(sorted(_SHIFTS)))
    def pass_deadline(self, when: When) -> None:
        """Time passes until about the next deadline."""
        self._pass_time(max(self.now, self._next_deadline() + _SHIFTS[when]))
        self.settle()

    # For rules of a subclass

    def who(self, condition: Callable[[Peer], bool]) -> list[Peer]:
        """Return the live peers that *condition* accepts."""
        return [peer for peer in self.live if condition(peer)]

    def settle(self) -> None:
        """Let what is on its way arrive, and check everything: the end of each rule.

        Raises:
            AssertionError: something does not hold.
        """
        try:
            self._deliver()
            for peer in self.live:
                self._check_order(peer)
            problem = problem_of_books(self.factory, [peer.harness for peer in self.live])
            if problem is not None:
                self._fail(problem)
            self.check()
        except BaseException:
            self._broken = True
            raise

    def teardown(self) -> None:
        """End all connections as a cancelled server does; check that nothing is left."""
        if currently_in_test_context():
            note(f"what has happened (< received, > sent):\n{self.transcript}")
        if self._broken:
            self._drop_all()
            return
        for peer in list(self.live):
            if not peer.lost:
                self._do(peer, "is cancelled", peer.harness.cancel)
        self.settle()

    # Inside

    def _check_class(self) -> None:
        if not hasattr(self, "messages"):
            raise TypeError(f"{type(self).__name__} has no messages")
        for name in self.leave_out:
            if not hasattr(getattr(ProtocolMachine, name, None), "hypothesis_stateful_rule"):
                raise ValueError(f"{name!r} in leave_out is no rule")

    def _has_room(self) -> bool:
        return _allowed(self, "connect") and len(self.live) < self.max_peers

    def _fail(self, problem: str) -> NoReturn:
        self._broken = True
        raise AssertionError(problem)

    def _open(self, peer: Peer) -> None:
        try:
            peer.harness.connect()
        finally:
            if peer.harness.connected:
                self._arrived += 1
                self.live.append(peer)
                self.on_connected(peer)

    def _read(self, peer: Peer, window: int | None) -> None:
        how = "reads all" if window is None else f"reads {window} bytes more"
        self._do(peer, how, setattr, peer.harness, "window", window)
        self.settle()

    def _resume(self, peer: Peer) -> None:
        peer.paused = False
        self._do(peer, "is resumed", peer.harness.transport.resume_reading)

    def _deliver(self) -> None:
        """Let what peers have sent arrive, wherever the server reads."""
        while any([self._deliver_to(peer) for peer in list(self.live)]):
            pass

    def _deliver_to(self, peer: Peer) -> bool:
        """Let one chunk arrive, or EOF; say whether there was any."""
        harness = peer.harness
        if peer.lost or not peer.waits or not harness.reading:
            return False
        size = harness.receive_size()
        if not size:
            return False
        data, messages = peer.arrive(size)
        if not data:
            self._do(peer, "", harness.feed_eof)
            return True
        for message in messages if peer.open else ():
            self.on_sent(peer, message)
        self.transcript.happened(f"{peer} < {data[:160]!r}", self.now)
        self._do(peer, "", harness.feed, data)
        return True

    def _do(self, peer: Peer, what: str, action: Callable[..., object], *args: Any) -> None:
        """Take a step of one connection, and follow what it has led to in all."""
        if what:
            self.transcript.happened(f"{peer} {what}", self.now)
        try:
            action(*args)
        except BaseException as exc:
            self._broken = True
            self.transcript.happened(f"{type(exc).__name__} was raised", self.now)
            raise
        finally:
            self._hear()
        self._follow_losses()

    def _hear(self) -> None:
        """Take what was sent to the peers that read."""
        for peer in self.live:
            data = peer.harness.take()
            if data:
                peer.received += data
                self.transcript.happened(f"{peer} > {data[:160]!r}", self.now)

    def _follow_losses(self) -> None:
        lost = self.who(lambda peer: peer.lost)
        for peer in sorted(lost, key=lambda peer: peer.harness.loss or 0):
            self.live.remove(peer)
            self.transcript.happened(f"{peer} is lost: {peer.harness.reason!r}", self.now)
            self._check_order(peer)
            self.on_lost(peer)

    def _check_order(self, peer: Peer) -> None:
        order = peer.harness.order
        if order.problem is None and peer.lost and peer.harness.loss is None:
            order.problem = "connection_lost was not called"
        if order.problem is not None:
            self._fail(f"{peer}: {order.problem}")

    def _next_deadline(self) -> float:
        return min((peer.harness.deadline for peer in self.live), default=inf)

    def _pass_time(self, end: float) -> None:
        while (due := self._next_deadline()) <= end:
            self._set_time(max(due, self.now))
            for peer in self.who(lambda peer: peer.harness.deadline <= self.now):
                self._do(peer, "", peer.harness.advance, 0)
            self._deliver()
        self._set_time(end)

    def _set_time(self, now: float) -> None:
        self.now = now
        for peer in self.live:
            peer.harness.set_time(now)

    def _drop_all(self) -> None:
        """End what is left of a broken machine."""
        for peer in self.live:
            with suppress(Exception):
                peer.harness.cancel()
