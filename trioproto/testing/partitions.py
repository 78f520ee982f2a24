"""The ways in which bytes can be cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_CUTS = 400
"""Places at which longer data is cut; shorter data is cut at every place."""
NEAR = 8
"""Bytes around an edge within which every place counts as near."""


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
