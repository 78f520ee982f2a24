"""Two sides of a layer that talk to each other, and what is done to their bytes on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from trioproto.sansio.layer import Layer
from trioproto.testing.partitions import bytewise, halves
from trioproto.testing.watched_layer import WatchedLayer

_PATIENCE = 100
"""Flights after which a handshake should be over."""

Cut = Callable[[int, bytes], Sequence[bytes]]
"""Cuts bytes that follow so many others of the same direction."""


def at(place: int) -> Cut:
    """Cut at this place of the direction."""
    return lambda begin, data: halves(data, place - begin) if begin < place else [data]


def changing(place: int) -> Cut:
    """Change the byte at this place, cutting nothing."""

    def change(begin: int, data: bytes) -> Sequence[bytes]:
        at = place - begin
        if 0 <= at < len(data):
            data = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        return [data]

    return change


def _whole(_: int, data: bytes) -> Sequence[bytes]:
    return [data]


@dataclass
class LayerTalk:
    """Two ends, and what is under way between them.

    Attributes:
        make: makes the two.
        way: the name of what is tried.
        cut: how bytes are cut.
        only: the side whose bytes are: 0, the client's, or 1, the server's; None: both.
    """

    make: Callable[[], tuple[Layer, Layer]]
    way: str
    cut: Cut = _whole
    only: int | None = None
    passed: list[int] = field(default_factory=lambda: [0, 0])

    def __post_init__(self) -> None:
        client, server = self.make()
        self.ends = WatchedLayer(client, self.way), WatchedLayer(server, self.way)
        for end in self.ends:
            end.begin()

    def deliver(self) -> None:
        """Let everything arrive, and the answers to it, until there is silence."""
        for flight in count():
            flying = [end.take() for end in self.ends]
            if not any(flying):
                return
            if flight > _PATIENCE:
                self.ends[0].fail("they do not stop talking", flying, [b"", b""])
            for side, data in enumerate(flying):
                if data:
                    self._pass(side, data)

    def _pass(self, side: int, data: bytes) -> None:
        cut = self.cut if self.only in (None, side) else _whole
        begin = self.passed[side]
        self.passed[side] += len(data)
        self.ends[1 - side].feed(cut(begin, data))

    def shake_hands(self) -> None:
        """Let both become ready; fail if they do not."""
        self.deliver()
        for end in self.ends:
            if end.reason is not None:
                end.fail("the handshake has failed", end.reason, None)
            if not end.layer.ready:
                end.fail("the handshake does not end", "not ready", "ready")

    def hold(self, messages: Sequence[bytes]) -> tuple[int, int]:
        """Say everything, one side after the other, and end; return how many bytes went by."""
        self.shake_hands()
        for side, end in enumerate(self.ends):
            for message in messages:
                end.send(message)
                self.deliver()
            end.send(memoryview(b"last"))
            end.end()
            self.deliver()
            self.check(side, [*messages, b"last"])
            if not end.layer.half_close:
                break
        return self.passed[0], self.passed[1]

    def hold_at_once(self, messages: Sequence[bytes], side: int) -> None:
        """Let one side say everything as soon as it is ready, and end."""
        end = self.ends[side]
        for _ in range(_PATIENCE):
            if end.layer.ready:
                break
            self._one_flight(1 - side)
            if not end.layer.ready:
                self._one_flight(side)
        for message in messages:
            end.send(message)
        end.end()
        self.deliver()
        self.check(side, messages)

    def _one_flight(self, side: int) -> None:
        """Let what one side has said arrive, and not yet the answer."""
        data = self.ends[side].take()
        if data:
            self._pass(side, data)

    def hold_both(self, messages: Sequence[bytes]) -> None:
        """Let both say everything at once."""
        self.shake_hands()
        for message in messages:
            for end in self.ends:
                end.send(message)
            self.deliver()
        for end in self.ends:
            end.send(b"last")
            end.end()
        self.deliver()
        for side in range(2):
            self.check(side, [*messages, b"last"])

    def hold_broken(self, messages: Sequence[bytes]) -> None:
        """Say everything, as far as the other goes along."""
        self.deliver()
        for end in self.ends:
            for message in messages:
                if end.layer.ready and end.reason is None:
                    end.send(message)
                    self.deliver()

    def hold_more(self, messages: Sequence[bytes], side: int) -> None:
        """Let one side hear more after the other has ended its own."""
        self.shake_hands()
        end, other = self.ends[side], self.ends[1 - side]
        end.send(b"".join(messages))
        more = end.take()
        other.receive(more)
        end.end()
        if end.layer.marks_end:
            other.receive(end.take() + more)
            other.feed([more, *bytewise(more)])
            self.check(side, messages)

    def check(self, side: int, messages: Sequence[bytes]) -> None:
        """Fail unless the other side has heard all of it, and the end."""
        other = self.ends[1 - side]
        other.check("it has ended with a reason", other.reason, None)
        other.check("not what was to arrive", other.up, b"".join(messages))
        other.check("`ended` is wrong", other.layer.ended, other.layer.marks_end)
