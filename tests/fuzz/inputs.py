"""What the fuzzer's bytes mean: a codec, how the input is cut, and the input itself.

The input is written as a small program, so that few bytes say what a decoder finds interesting:
whole frames, a decoder's own tokens, long runs, repetitions, and raw bytes in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trioproto.framing import Codec, JsonLinesCodec

from .kinds import Kind

LONGEST = 24_576
"""Bytes of input at most."""
SIZES = (1, 2, 3, 5, 7, 16, 20, 64, 100, 255, 1000, 4096, LONGEST)
MOST_CHUNKS = 500


@dataclass(frozen=True)
class Trial:
    """A decoder, its input, and how the input is cut: the sizes come in turn."""

    kind: Kind
    data: bytes
    sizes: tuple[int, ...]
    seed: int

    def chunks(self) -> list[bytes]:
        """The input in pieces; in fewer and larger ones where they would be too many."""
        least = -(-len(self.data) // MOST_CHUNKS)
        pieces: list[bytes] = []
        place = 0
        while place < len(self.data):
            size = max(least, self.sizes[len(pieces) % len(self.sizes)])
            pieces.append(self.data[place : place + size])
            place += size
        return pieces


class Reader:
    """Takes the fuzzer's bytes off, one by one; where there are none left, zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._place

    def byte(self) -> int:
        data = self.take(1)
        return data[0] if data else 0

    def take(self, count: int) -> bytes:
        data = self._data[self._place : self._place + count]
        self._place += len(data)
        return data


def read_trial(data: bytes, kinds: Sequence[Kind]) -> Trial:
    reader = Reader(data)
    kind = kinds[reader.byte() % len(kinds)]
    seed = reader.byte()
    sizes = tuple(SIZES[reader.byte() % len(SIZES)] for _ in range(1 + seed % 4))
    return Trial(kind, write_input(reader, kind), sizes, seed)


def write_input(reader: Reader, kind: Kind) -> bytes:
    """Carry the program out."""
    codec = kind.make()
    written = bytearray()
    while reader.left and len(written) < LONGEST:
        step, count = divmod(reader.byte(), 32)
        match step:
            case 0 | 1:
                piece = reader.take(count + 1)
            case 2 | 3:
                piece = kind.tokens[count % len(kind.tokens)]
            case 4:
                piece = encoded(codec, reader.take(count))
            case 5:
                piece = encoded(codec, reader.take(1) * (count * count * 8))
            case 6:
                piece = reader.take(1) * (count * count * count)
            case _:
                begin = max(0, len(written) - reader.byte() - 1)
                piece = bytes(written[begin:]) * (1 + count * count)
        written += piece
    return bytes(written[:LONGEST])


def encoded(codec: Codec[Any], data: bytes) -> bytes:
    """Make a frame of some bytes, if the format has such a one."""
    frame: Any = data
    if isinstance(codec, JsonLinesCodec):
        frame = {"a": [data.decode("latin-1"), len(data), data[:1] > b"\x80", None, 0.5]}
    try:
        return codec.encode(frame)
    except ValueError:
        return data
