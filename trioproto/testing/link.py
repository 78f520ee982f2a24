"""Two protocols wired to each other in memory, and a network between them.

A link is two harnesses and two pipes. It does what a network and two drivers do,
one small thing at a time; what comes first among things that may happen at the
same moment is drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from math import inf
from random import Random
from typing import Any, Generic, TypeVar

from trioproto.factory import P
from trioproto.sansio.addresses import Address
from trioproto.sansio.layer import Layer
from trioproto.sansio.protocol import Protocol
from trioproto.testing.failures import TranscriptError, tells_all
from trioproto.testing.faults import NONE, Faults
from trioproto.testing.harness import Harness
from trioproto.testing.manual_driver import checked_seconds
from trioproto.testing.pipe import CAPACITY, Pipe
from trioproto.testing.targets import Target

__tracebackhide__ = tells_all

C = TypeVar("C", bound=Protocol)
S = TypeVar("S", bound=Protocol)

_MOST_STEPS = 100_000
"""Steps at one moment, after which the two will never stop answering each other."""
_STEPS_OF_A_BYTE = 4
"""What each byte that waits may take besides: it is sent, read, and then the same is its answer."""


class LinkEnd(Harness[P]):
    """A harness whose peer is the other end of a link."""

    def __init__(self, target: Target[P], incoming: Pipe, outgoing: Pipe, **options: Any) -> None:
        super().__init__(target, **options)
        self._incoming = incoming
        self._outgoing = outgoing

    @property
    def _next_event(self) -> float:
        """When something will happen at this end by itself."""
        if self.lost:
            return inf
        arrives = self._incoming.next_at() if self.reading else self._incoming.breaks_at
        return min(self.deadline, arrives, self._outgoing.breaks_at)

    @property
    def waiting(self) -> int:
        """Bytes to be sent, and those under way."""
        return self.transport.buffered + self._outgoing.size

    def _receive(self) -> bool:
        """Take what has arrived, at most one chunk; say whether there was anything."""
        if self.lost:
            return False
        data = self._read()
        if data:
            self.feed(data)
        elif data is not None:
            self.feed_eof()  # after which nothing is read any more
        elif self._is_broken:
            self.reset()
        else:
            return False
        return True

    def _read(self) -> bytes | None:
        if not self.reading or self._incoming.next_at() > self._now:
            return None
        size = self._open.receive_size(self._now)
        with suppress(ConnectionResetError):
            return self._incoming.read(self._now, size) if size else None
        return None

    def _offer(self) -> bool:
        """Send what waits and there is room for now; say whether anything was sent."""
        if self.lost or not self.transport.buffered:
            return False
        if self._is_broken:
            self.reset()
            return True
        before = self._open.bytes_sent
        self._take_turn()
        return self.lost or self._open.bytes_sent > before

    # The peer's end, for the driver beneath

    @property
    def _is_broken(self) -> bool:
        return min(self._incoming.breaks_at, self._outgoing.breaks_at) <= self._now

    def _room(self, size: int) -> int:
        room = 0 if self._is_broken else self._outgoing.room
        return super()._room(size if room is None else min(size, room))

    def _put(self, data: bytes | memoryview) -> int:
        taken = self._outgoing.write(data, self._now)
        super()._put(data[:taken])
        return taken

    def _end(self) -> None:
        self._outgoing.end(self._now)

    def _lose(self) -> None:
        if self._open.broken:
            self._outgoing.reset(self._now)
        else:
            self._outgoing.end(self._now)
        self._incoming.close()


class Link(Generic[C, S]):
    r"""A client's and a server's protocol, wired to each other.

    ::

        link = Link(Client, Server, seed=7)
        client, server = link.connect()
        link.run_until(lambda: client.answers == 3)

    Nothing happens outside the calls of a test, and the same calls with the same
    arguments lead to the same, always. There is no event loop: callbacks must not
    be async.

    Args:
        client: a factory or its class; a protocol, or a class or function that makes one.
        server: the same, of the other side.
        to_server: what happens to the bytes that go there.
        to_client: what happens to those that come back.
        seed: chooses what happens first among several things, and faults of both
            directions that cut and delay, beside those that are given. ``None``:
            all in order, and no faults but the given ones.
        capacity: bytes that may be under way, each way; as over memory streams 64 KiB
            if nothing else is said. ``None``: any number.
        client_layers: what stands between the bytes and the client, such as TLS.
        server_layers: the same, of the server.
        peer: the client's address, as the server sees it.
        settings: settings of both connections, in place of their factories'.

    Attributes:
        client: the harness of the client.
        server: the harness of the server.

    Origin: Twisted's ``iosim``.
    """

    def __init__(
        self,
        client: Target[C],
        server: Target[S],
        *,
        to_server: Faults = NONE,
        to_client: Faults = NONE,
        seed: int | None = None,
        capacity: int | None = CAPACITY,
        client_layers: Iterable[Layer] = (),
        server_layers: Iterable[Layer] = (),
        peer: Address | None = None,
        **settings: Any,
    ) -> None:
        self._random = None if seed is None else Random(seed)
        self._seed = seed
        there = Pipe(self._faults(to_server), capacity=capacity)
        back = Pipe(self._faults(to_client), capacity=capacity)
        self.client: LinkEnd[C] = LinkEnd(
            client, back, there, layers=client_layers, server_side=False, **settings
        )
        self.server: LinkEnd[S] = LinkEnd(
            server, there, back, layers=server_layers, peer=peer, **settings
        )
        self._ends: tuple[LinkEnd[Any], LinkEnd[Any]] = (self.client, self.server)
        self._now = 0.0

    def _faults(self, given: Faults) -> Faults:
        if self._random is None:
            return given
        return Faults.from_seed(self._random.getrandbits(32)) | given

    def connect(self) -> tuple[C, S]:
        """Open both connections, and let happen what needs no time.

        Returns:
            The two protocols.

        Raises:
            ConnectionRefusedError: a ``build_protocol`` returned ``None``.
        """
        server = self.server.connect()
        client = self.client.connect()
        self.settle()
        return client, server

    @property
    def lost(self) -> bool:
        """Whether both connections have ended."""
        return self.client.lost and self.server.lost

    def time(self) -> float:
        """Return the time, in seconds; it begins with 0."""
        return self._now

    def settle(self) -> None:
        """Let all happen that needs no time to pass.

        A test that has called the transport of one side calls this next.

        Raises:
            TranscriptError: they never stop answering each other.
        """
        steps = most = 0
        while any(step() for step in self._steps()):
            steps += 1
            most = max(most, self._waiting())
            if steps > _MOST_STEPS + _STEPS_OF_A_BYTE * most:
                raise self._error("they never stop answering each other")

    def _waiting(self) -> int:
        """Count the bytes that were written and have not been read yet."""
        return sum(end.waiting for end in self._ends)

    def _steps(self) -> list[Callable[[], bool]]:
        """Return what may happen now, in the order in which it is to be tried."""
        steps = [step for end in self._ends for step in (end._offer, end._receive)]
        if self._random is not None:
            self._random.shuffle(steps)
        return steps

    def advance(self, seconds: float) -> None:
        """Let time pass, and all that happens in it happen in its order.

        Raises:
            ValueError: *seconds* are below 0, or no number that time can reach.
        """
        end = self._now + checked_seconds(seconds)
        self.settle()
        while (moment := self._next_moment()) <= end:
            self._move_to(moment)
        self._move_to(end)

    def run_until(self, condition: Callable[[], object], *, seconds: float = 60.0) -> None:
        """Let time pass until *condition* holds, for at most so many *seconds*.

        Raises:
            TranscriptError: it does not, or nothing will happen any more.
        """
        end = self._now + seconds
        self.settle()
        while not condition():
            moment = self._next_moment()
            if moment > end or moment == inf:
                raise self._error(f"what was waited for has not happened in {seconds} s")
            self._move_to(moment)

    def _next_moment(self) -> float:
        return max(self._now, min(end._next_event for end in self._ends))

    def _move_to(self, moment: float) -> None:
        self._now = moment
        for end in self._ends:
            if not end.lost:
                end._advance_to(moment)
        self.settle()

    def _error(self, problem: str) -> TranscriptError:
        seed = "" if self._seed is None else f" (seed {self._seed})"
        transcripts = f"  client:\n{self.client.transcript}\n  server:\n{self.server.transcript}"
        return TranscriptError(problem + seed, transcripts)
