"""What may go wrong with bytes on their way, as values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Self


@dataclass(frozen=True)
class Faults:
    """What happens to the bytes that go one way, and when.

    Each is what a network may do: bytes arrive in order and unchanged, or not at
    all. Sizes and delays are used one after the other, and then over again.

    Attributes:
        reads: at most so many bytes are read at once: the sizes of the chunks.
        writes: at most so many bytes are taken of what is offered at once, as when
            the buffer of a kernel is nearly full.
        delays: seconds that what was written at once is under way.
        stalls: pairs of a number of bytes, and of seconds for which nothing more
            arrives after them.
        drop_after: after so many bytes nothing arrives any more, and nobody is told.
        reset_after: after so many bytes the connection breaks, both ways.

    Raises:
        ValueError: a number that is below 0, or a size of 0.
    """

    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    delays: tuple[float, ...] = ()
    stalls: tuple[tuple[int, float], ...] = ()
    drop_after: int | None = None
    reset_after: int | None = None

    def __post_init__(self) -> None:
        _check("reads", self.reads, 1)
        _check("writes", self.writes, 1)
        _check("delays", self.delays, 0)
        _check("stalls", (number for stall in self.stalls for number in stall), 0)
        _check("drop_after", _given(self.drop_after), 0)
        _check("reset_after", _given(self.reset_after), 0)

    def __or__(self, other: Self) -> Self:
        """Return both: what *other* does not say is as here, and stalls are added."""
        return type(self)(
            reads=other.reads or self.reads,
            writes=other.writes or self.writes,
            delays=other.delays or self.delays,
            stalls=(*self.stalls, *other.stalls),
            drop_after=self.drop_after if other.drop_after is None else other.drop_after,
            reset_after=self.reset_after if other.reset_after is None else other.reset_after,
        )

    @classmethod
    def from_seed(cls, seed: int, *, size: int = 200, seconds: float = 1.0) -> Self:
        """Return faults that lose nothing, the same for the same arguments.

        Bytes are cut, delayed and stalled; nothing is dropped, and nothing breaks.

        Args:
            seed: chooses them.
            size: about how many bytes go this way.
            seconds: the longest delay or stall.
        """
        random = Random(seed)
        return cls(
            reads=_sizes(random, size),
            writes=_sizes(random, size),
            delays=tuple(_seconds(random, seconds) for _ in range(random.randint(0, 4))),
            stalls=tuple(
                (random.randint(0, size), _seconds(random, seconds))
                for _ in range(random.choice((0, 0, 1, 3)))
            ),
        )


def _check(name: str, numbers: Iterable[float], least: int) -> None:
    for number in numbers:
        if not number >= least:
            raise ValueError(f"{name} cannot be {number}: the least is {least}")


def _given(number: int | None) -> tuple[int, ...]:
    return () if number is None else (number,)


def _sizes(random: Random, size: int) -> tuple[int, ...]:
    """Choose sizes: none, single bytes, or a few of any size."""
    match random.randrange(4):
        case 0:
            return ()
        case 1:
            return (1,)
        case _:
            return tuple(random.randint(1, max(1, size)) for _ in range(random.randint(1, 6)))


def _seconds(random: Random, most: float) -> float:
    """Choose a time, often none."""
    return random.choice((0.0, random.uniform(0, most)))


NONE = Faults()
"""Nothing happens to the bytes."""
