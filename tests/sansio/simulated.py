"""Connections that spend from one bucket, with a clock of their own and nothing else.

Each does what a driver does: asks when it has bytes to move, moves them, or looks
again when the gate says. One that cannot ask moves first and waits afterwards.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count

from trioproto.sansio.throttle import Gate, TokenBucket

READ_SIZE = 64 * 1024


class Spender:
    """One direction of one connection.

    Args:
        gate: what it asks.
        arrivals: when how many bytes come to be moved.
        asks: whether it can ask first.
    """

    def __init__(self, gate: Gate, arrivals: list[tuple[float, int]], *, asks: bool = True) -> None:
        self.gate = gate
        self.arrivals = sorted(arrivals)
        self.asks = asks
        self.waiting = 0
        self.moves: list[tuple[float, int]] = []
        self.delays: list[float] = []
        self._came: list[list[float]] = []

    @property
    def moved(self) -> int:
        return sum(size for _, size in self.moves)

    def moved_until(self, end: float) -> int:
        return sum(size for when, size in self.moves if when <= end)

    def step(self, now: float) -> float | None:
        """Do what can be done; return when to look again."""
        while self.arrivals and self.arrivals[0][0] <= now:
            when, size = self.arrivals.pop(0)
            self.waiting += size
            self._came.append([when, size])
        if not self.waiting:
            return self.arrivals[0][0] if self.arrivals else None
        if self.asks:
            size = self.gate.ask(READ_SIZE, now)
        else:
            size = self.gate.quantum(READ_SIZE, now)
        if not size:
            return self.gate.due
        size = min(size, self.waiting)
        self.gate.moved(size, now)
        self.moves.append((now, size))
        self._took(size, now)
        return max(now, self.gate.due)

    def _took(self, size: int, now: float) -> None:
        self.waiting -= size
        while size:
            first = self._came[0]
            part = min(size, int(first[1]))
            first[1] -= part
            size -= part
            if not first[1]:
                self.delays.append(now - first[0])
                self._came.pop(0)


def greedy(gate: Gate, since: float = 0, *, asks: bool = True) -> Spender:
    return Spender(gate, [(since, 1 << 40)], asks=asks)


def run(spenders: list[Spender], until: float) -> list[tuple[float, int]]:
    """Let time pass; return all moves, in order."""
    numbers = count()
    heap: list[tuple[float, int, Spender]] = []
    for spender in spenders:
        heappush(heap, (0.0, next(numbers), spender))
    now = 0.0
    while heap and heap[0][0] <= until:
        when, _, spender = heappop(heap)
        now = max(now, when)
        again = spender.step(now)
        if again is not None:
            heappush(heap, (again, next(numbers), spender))
    return sorted(move for spender in spenders for move in spender.moves)


def sharing(rate: float, number: int, own: float | None = None) -> list[Gate]:
    """Gates of *number* connections with one rate together."""
    total = TokenBucket(rate)
    return [Gate(own, total) for _ in range(number)]


def worst_excess(moves: list[tuple[float, int]], rate: float) -> float:
    """Return by how many bytes any stretch of time had more than its rate.

    Linear: it is the largest drawdown, upward, of what was moved less what was due.
    """
    lowest = excess = moved = 0.0
    for when, size in moves:
        lowest = min(lowest, moved - rate * when)
        moved += size
        excess = max(excess, moved - rate * when - lowest)
    return excess
