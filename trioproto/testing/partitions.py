"""The ways in which bytes can be cut, and how a failure under one of them is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_CUTS = 400
"""Places at which longer data is cut; shorter data is cut at every place."""
NEAR = 8
"""Bytes around an edge within which every place counts as near."""

_SHOWN = 400
_SHOWN_BYTES = 20
_SHOWN_CHUNKS = 12


class VerificationFailed(AssertionError):
    """Something that is to hold in every way of cutting the bytes did not hold in one.

    Attributes:
        way: the name of the way, as the verifier's documentation has it.
        problem: what did not hold.
        chunks: the bytes, cut as they were fed.
        came: what came of them.
        expected: what was to come.
    """

    def __init__(
        self, way: str, problem: str, chunks: Sequence[bytes], came: object, expected: object
    ) -> None:
        super().__init__(way, problem, chunks, came, expected)
        self.way = way
        self.problem = problem
        self.chunks = list(chunks)
        self.came = came
        self.expected = expected

    def __str__(self) -> str:
        lines = [
            f"{self.way}: {self.problem}",
            f"  fed:      {_shown_chunks(self.chunks)}",
            f"  came:     {shown(self.came)}",
            f"  expected: {shown(self.expected)}",
        ]
        return "\n".join([*lines, *first_difference(self.came, self.expected)])


def bytewise(data: bytes) -> list[bytes]:
    """Cut *data* into single bytes."""
    return [data[i : i + 1] for i in range(len(data))]


def in_pieces(data: bytes, size: int) -> list[bytes]:
    """Cut *data* into pieces of *size* bytes; the last may be shorter."""
    return [data[i : i + size] for i in range(0, len(data), size)]


def halves(data: bytes, cut: int) -> list[bytes]:
    """Cut *data* in two at *cut*."""
    return [piece for piece in (data[:cut], data[cut:]) if piece]


def cuts(size: int, edges: Iterable[int] = (), most: int = MAX_CUTS) -> list[int]:
    """Return the places inside *size* bytes at which to cut them in two.

    All of them, if they are not more than *most*. Otherwise those within 8 bytes
    of the beginning, of the end and of *edges* (as many as half of *most*,
    evenly chosen), and for the rest evenly spread ones.
    """
    if size - 1 <= most:
        return list(range(1, size))
    near = {
        place
        for edge in (0, size, *edges)
        for place in range(edge - NEAR, edge + NEAR + 1)
        if 0 < place < size
    }
    chosen = set(spread(sorted(near), most // 2))
    return sorted(chosen.union(spread(range(1, size), most - len(chosen))))


def spread(places: Sequence[int], most: int) -> list[int]:
    """Choose at most *most* of *places*: the first, the last, and evenly between."""
    last = len(places) - 1
    if last < most:
        return list(places)
    return [places[i * last // (most - 1)] for i in range(most)]


def shown(value: object) -> str:
    """Return the ``repr`` of *value*, shortened in its middle."""
    text = repr(value)
    if len(text) <= _SHOWN:
        return text
    half = _SHOWN // 2
    return f"{text[:half]} ...({len(text) - _SHOWN} characters)... {text[-half:]}"


def first_difference(came: object, expected: object) -> list[str]:
    """Say in one line where two sequences begin to differ; no line if they cannot."""
    if not isinstance(came, (list, bytes)) or not isinstance(expected, (list, bytes)):
        return []
    unit = "byte" if isinstance(came, bytes) else "item"
    for index, (left, right) in enumerate(zip(came, expected, strict=False)):
        if left is right or left == right or repr(left) == repr(right):
            continue
        if isinstance(came, bytes) and isinstance(expected, bytes):
            here = slice(index, index + _SHOWN_BYTES)
            return [f"  from byte {index} on: {came[here]!r}, expected {expected[here]!r}"]
        return [f"  {unit} {index} is {shown(left)}, expected {shown(right)}"]
    if len(came) == len(expected):
        return []
    return [f"  {len(came)} {unit}s came, expected {len(expected)}"]


def _shown_chunks(chunks: Sequence[bytes]) -> str:
    texts = [shown(chunk) for chunk in chunks[:_SHOWN_CHUNKS]]
    more = len(chunks) - len(texts)
    return " | ".join([*texts, f"and {more} chunks more"] if more else texts)
