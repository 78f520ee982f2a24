"""A long line in small pieces: what it costs, and that the cost grows as the line does.

Beside it stand the same bytes in 64 KiB chunks, and what as many calls cost by themselves: of
functions that do nothing, and of the same codec with a whole line of 20 bytes in each piece, where
nothing is ever gathered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median
from time import thread_time
from typing import Any

from trioproto.framing import LineCodec

from .framing_inputs import CHUNK, cut
from .report import Row, table

SMALL = 20
SIZES = tuple(100_000 << n for n in range(6))
HELD = 800_000
"""The line whose cost is held against the target."""
MOST = 3.0
LINEAR = 1.5

PIECES = "20-byte chunks"
LARGE = "64 KiB chunks"
CALLS = "empty calls"
SHORT = "20-byte lines"


class Nothing:
    """What calls cost by themselves."""

    def feed(self, data: bytes) -> None:
        pass

    def frames(self) -> tuple[bytes, ...]:
        return ()


@dataclass
class ChunkCosts:
    """CPU seconds, for each way and size, in rounds."""

    seconds: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def cost(self, way: str, size: int) -> float:
        return median(self.seconds[way, size])

    def held_ratio(self, calls: str) -> float:
        """How many times the large chunks' cost the small ones take, less the calls."""
        return (self.cost(PIECES, HELD) - self.cost(calls, HELD)) / self.cost(LARGE, HELD)

    def growth(self) -> float:
        """The cost of a byte of the longest line to that of the shortest."""
        first, last = SIZES[0], SIZES[-1]
        return self.cost(PIECES, last) / last / (self.cost(PIECES, first) / first)

    def text(self) -> str:
        head = ("bytes", *(f"{way}, ns/byte" for way in WAYS), "20 B, ms", "64 KiB, ms")
        found = [head, *map(self._row, SIZES)]
        return "framing_chunks: a line in pieces, by our LineCodec\n" + table(found)

    def _row(self, size: int) -> Row:
        each = (f"{self.cost(way, size) / size * 1e9:.2f}" for way in WAYS)
        whole = (f"{self.cost(way, size) * 1e3:.2f}" for way in (PIECES, LARGE))
        return f"{size:,}", *each, *whole

    def target_rows(self) -> Iterable[Row]:
        for what, against, ratio, most in self._targets():
            verdict = "yes" if ratio <= most else "NO"
            yield "framing_chunks", what, against, f"{ratio:.2f}", "-", f"<= {most:.2f}", verdict

    def _targets(self) -> Iterable[tuple[str, str, float, float]]:
        # The calls' own cost is that of as many which meet no long line.
        yield f"{HELD:,} bytes, {PIECES} less {SHORT}", LARGE, self.held_ratio(SHORT), MOST
        yield f"a byte of {SIZES[-1]:,}", f"of {SIZES[0]:,}", self.growth(), LINEAR

    def data(self) -> dict[str, object]:
        return {
            "name": "framing_chunks",
            "unit": "s",
            "rounds": [
                {"way": way, "bytes": size, "seconds": seconds}
                for (way, size), seconds in self.seconds.items()
            ],
            "targets": [
                {"what": w, "against": a, "ratio": r, "most": most, "reached": r <= most}
                for w, a, r, most in self._targets()
            ],
        }


def feed_all(codec: Any, chunks: list[bytes]) -> float:
    began = thread_time()
    for chunk in chunks:
        codec.feed(chunk)
        for _ in codec.frames():
            pass
    return thread_time() - began


def line(size: int) -> bytes:
    return b"x" * (size - 2) + b"\r\n"


def codec() -> LineCodec:
    return LineCodec(max_length=SIZES[-1])


WAYS: dict[str, Callable[[int], float]] = {
    PIECES: lambda size: feed_all(codec(), cut(line(size), SMALL)),
    LARGE: lambda size: feed_all(codec(), cut(line(size), CHUNK)),
    CALLS: lambda size: feed_all(Nothing(), cut(line(size), SMALL)),
    SHORT: lambda size: feed_all(codec(), [line(SMALL)] * (size // SMALL)),
}


def measure_chunks(rounds: int, progress: Callable[[str], None]) -> ChunkCosts:
    costs = ChunkCosts()
    for number in range(1, rounds + 1):
        for size in SIZES:
            for way, run in WAYS.items():
                costs.seconds.setdefault((way, size), []).append(run(size))
        progress(f"framing_chunks {number}/{rounds}")
    return costs
