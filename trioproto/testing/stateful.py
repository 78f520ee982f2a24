"""A state machine for hypothesis that drives a protocol as its peers, and as the clock.

Not imported by ``trioproto.testing``, as it needs hypothesis.

Hypothesis shrinks an example well if its steps are short, and if few rules are ever
impossible: each that it tries in vain makes the step longer, and a long step is never
left out. So a rule that makes no sense just now does nothing, and the simplest step
of all, which any needless one shrinks to, does next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import inf
from typing import Any, Literal, TypeVar, cast

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

from trioproto.testing.crowd import Crowd, F
from trioproto.testing.crowd_peer import Peer
from trioproto.testing.failures import tells_all
from trioproto.testing.strategies import chunks

__tracebackhide__ = tells_all

__all__ = ["Peer", "ProtocolMachine"]

Step = TypeVar("Step", bound=Callable[..., Any])
When = Literal["at", "just before", "just after"]

_SHIFTS: dict[When, float] = {"at": 0.0, "just before": -0.001, "just after": 0.001}
_MOMENT = 0.001
_MOST_TOGETHER = 4
_SECONDS = (0.1, 1.0, 10.0)


_plain: dict[str, Callable[..., Any]] = {}
"""What the rules are made of, by name."""


def _kept(step: Step) -> Step:
    """Keep *step*, which a rule is made of, for a machine that leaves the rule out."""
    _plain[step.__name__] = step
    return step


# Functions with a name, as hypothesis looks up the source of a lambda at each step.


def _somebody_is_there(machine: Any) -> bool:
    return bool(machine.live)


def _there_is_room(machine: Any) -> bool:
    return bool(len(machine.live) < machine.max_peers)


def _step(**arguments: Any) -> Callable[[Step], Step]:
    """Make a rule that is followed while there is somebody."""
    make_rule = cast(Callable[..., Callable[[Step], Step]], rule)

    def decorate(step: Step) -> Step:
        return precondition(_somebody_is_there)(make_rule(**arguments)(_kept(step)))

    return decorate


def _one(who: Callable[[Peer], bool] | None = None) -> SearchStrategy[Peer]:
    """Return a strategy of the live peers that *who* accepts, or of all if it accepts none."""
    return st.runner().flatmap(
        lambda machine: st.sampled_from((who and machine.who(who)) or machine.live)
    )


# Whole or not, a message takes the same choices, as long as its name is before "peer" in the
# alphabet: so a rule that cuts shrinks to one that does not.


@st.composite
def _chunks(draw: st.DrawFn) -> list[bytes]:
    machine: Any = draw(st.runner())
    return draw(chunks(draw(machine.messages.filter(bool))))


@st.composite
def _message(draw: st.DrawFn) -> bytes:
    return b"".join(draw(_chunks()))


@st.composite
def _parts(draw: st.DrawFn) -> tuple[bytes, bytes]:
    first, *others = draw(_chunks())
    return first, b"".join(others)


class ProtocolMachine(Crowd[F], RuleBasedStateMachine):
    """Peers who do to a protocol what peers do, in any order, and time that passes.

    A subclass says how the factory is made, and which messages are sent. Its hooks
    follow what happens with a model of what is right, and ``check`` compares. There
    is no loop, no network, and no real time::

        class EchoMachine(ProtocolMachine):
            messages = st.binary(max_size=10)

            def make_factory(self) -> Factory:
                return Factory(Echo)

        TestEcho = EchoMachine.TestCase

    What holds of all protocols is checked after each step: the order of callbacks,
    the factory's connections, its statistics, and how much is buffered. An error in
    a callback comes out as it is. A failing example ends with what has happened.

    A rule of a subclass ends with ``self.settle()``.

    Attributes:
        messages: what peers send; each is one message.
        max_peers: how many peers there are at once, at most.
        leave_out: names of rules that are never followed.
        factory: the factory under test.
        live: the peers whose connection has not ended, in the order of their coming.
        now: the time, in seconds.
        transcript: what has happened until now.

    Raises:
        ValueError: *leave_out* names what is no rule; when the class is made.
    """

    peers: Bundle[Peer] = Bundle("peers")
    """All peers that have come, for rules of a subclass; some may be lost."""
    messages: SearchStrategy[bytes]
    max_peers: int = 4
    leave_out: Collection[str] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in cls.leave_out:
            if name not in _plain:
                raise ValueError(f"{name!r} in leave_out is no rule")
            setattr(cls, name, _plain[name])

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        self._has_drained = False
        super().__init__(self.make_factory())

    def make_factory(self) -> F:
        """Make the factory that is tested: a new one for each example."""
        raise NotImplementedError

    # What peers do

    @precondition(_there_is_room)
    @rule(target=peers)
    @_kept
    def connect(self) -> Peer | MultipleResults[Peer]:
        """A peer connects."""
        peer = self.let_in()
        self.settle()
        return multiple() if peer is None else peer

    @precondition(_there_is_room)
    @rule(target=peers, count=st.integers(2, 4))
    @_kept
    def connect_several(self, count: int) -> MultipleResults[Peer]:
        """Several peers connect, or as many as there may be."""
        came: list[Peer] = []
        while _there_is_room(self) and len(came) < count:
            peer = self.connect()
            if not isinstance(peer, Peer):
                break
            came.append(peer)
        return multiple(*came)

    @_step(peer=_one(lambda peer: peer.talks), message=_message())
    def send(self, peer: Peer, message: bytes) -> None:
        """A peer sends a message, in one chunk."""
        if peer.talks:
            peer.send(message, message)
        self.settle()

    @_step(peer=_one(lambda peer: peer.talks), chunks=_chunks())
    def send_chunks(self, peer: Peer, chunks: list[bytes]) -> None:
        """A peer sends a message, cut into chunks."""
        for chunk in chunks[:-1]:
            if peer.talks:
                peer.send(chunk)
            self.settle()
        if peer.talks:
            peer.send(chunks[-1], b"".join(chunks))
        self.settle()

    @_step(
        peer=_one(lambda peer: peer.talks),
        messages=st.lists(_message(), min_size=1, max_size=_MOST_TOGETHER),
    )
    def send_together(self, peer: Peer, messages: list[bytes]) -> None:
        """A peer sends several messages in one chunk."""
        if peer.talks:
            for message in messages:
                peer.send(message, message)
        self.settle()

    @_step(peer=_one(lambda peer: peer.talks), parts=_parts())
    def send_beginning(self, peer: Peer, parts: tuple[bytes, bytes]) -> None:
        """A peer sends the first part; the rest goes before what it sends next, as one chunk."""
        if peer.talks:
            peer.begin(*parts)
        self.settle()

    @_step(peer=_one(lambda peer: peer.owes_rest))
    def send_rest(self, peer: Peer) -> None:
        """A peer sends the rest of a message that it has begun."""
        if peer.owes_rest:
            peer.send(b"")
        self.settle()

    @_step(peer=_one(lambda peer: peer.talks))
    def send_eof(self, peer: Peer) -> None:
        """A peer ends its side; the rest of a message that it has begun is never sent."""
        if peer.talks:
            peer.ended = True
            self.transcript.happened(f"{peer} ends its side", self.now)
        self.settle()

    @_step(peer=_one())
    def reset(self, peer: Peer) -> None:
        """A connection breaks, whatever is on its way."""
        self.do(peer, "breaks", peer.harness.reset)
        self.settle()

    @_step(peer=_one(lambda peer: peer.reads))
    def stall(self, peer: Peer) -> None:
        """A peer stops reading."""
        self._read(peer, 0, "stalls")

    @_step(peer=_one(lambda peer: not peer.reads), size=st.integers(1, 200))
    def read_some(self, peer: Peer, size: int) -> None:
        """A peer that has stalled reads some bytes more."""
        if not peer.reads:
            self._read(peer, (peer.harness.window or 0) + size, f"reads {size} bytes more")

    @_step(peer=_one(lambda peer: not peer.reads))
    def read_on(self, peer: Peer) -> None:
        """A peer that has stalled reads all that there is, and comes."""
        self._read(peer, None, "reads on")

    def _read(self, peer: Peer, window: int | None, what: str) -> None:
        self.do(peer, what, setattr, peer.harness, "window", window)
        self.settle()

    # What the server does

    @_step(peer=_one(lambda peer: peer.may_pause))
    def pause_reading(self, peer: Peer) -> None:
        """Something else in the server pauses reading from a peer."""
        if peer.may_pause:
            peer.paused = True
            self.do(peer, "is paused", peer.harness.transport.pause_reading)
        self.settle()

    @_step(peer=_one(lambda peer: peer.paused))
    def resume_reading(self, peer: Peer) -> None:
        """It goes on."""
        self.resume(peer)
        self.settle()

    @_step()
    def start_drain(self) -> None:
        """The server drains, once; who comes from now on comes to its successor."""
        for peer in [] if self._has_drained else list(self.live):
            self.resume(peer)
            if not (peer.lost or peer.draining):
                self.do(peer, "is drained", peer.harness.drain)
        self._has_drained = True
        self.settle()

    # What time does

    @_step()
    def pass_moment(self) -> None:
        """Time passes: a thousandth of a second."""
        self.advance_to(self.now + _MOMENT)
        self.settle()

    @_step(seconds=st.sampled_from(_SECONDS))
    def pass_time(self, seconds: float) -> None:
        """Time passes; each deadline on the way fires at its own time."""
        self.advance_to(self.now + seconds)
        self.settle()

    @_step(when=st.sampled_from(list(_SHIFTS)))
    def pass_deadline(self, when: When) -> None:
        """Time passes until about the next deadline, if there is one."""
        due = self.next_deadline()
        if due < inf:
            self.advance_to(due + _SHIFTS[when])
        self.settle()

    def teardown(self) -> None:
        """End all connections as a cancelled server does; check that nothing is left."""
        if currently_in_test_context():
            note(f"the exchange (< received, > sent):\n{self.transcript}")
        self.dismiss()
