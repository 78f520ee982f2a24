"""Decoders that are broken on purpose, each in another way: the oracle must refuse all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from trioproto.errors import FrameTooLong, MalformedFrame
from trioproto.framing import Codec, LengthFieldCodec, LineCodec

from .kinds import Kind, length_fields, lines

LIMIT = 50


class Lines(LineCodec):
    def __init__(self) -> None:
        super().__init__(b"\r\n", max_length=LIMIT)


class Buffered(Codec[bytes]):
    """Lines again, written as one writes them first; nothing is wrong yet."""

    max_length = LIMIT

    def __init__(self) -> None:
        self.buffer = b""

    def feed(self, data: bytes) -> None:
        if self.error is None:
            self.buffer += data

    def frames(self) -> Iterator[bytes]:
        if self.error is not None:
            raise self.error
        while True:
            line, end, rest = self.buffer.partition(b"\r\n")
            if len(line) - line.endswith(b"\r") * (not end) > self.max_length:
                self.buffer = b""
                self.error = FrameTooLong(self.max_length)
                raise self.error
            if not end:
                return
            self.buffer = rest
            yield line

    def take_rest(self) -> bytes:
        rest, self.buffer = self.buffer, b""
        return rest

    @property
    def pending(self) -> int:
        return len(self.buffer)

    def encode(self, frame: bytes) -> bytes:
        if b"\r\n" in frame:
            raise ValueError("two lines")
        return frame + b"\r\n"


class RaisesAnything(Lines):
    """A byte that nobody has thought of."""

    def frames(self) -> Iterator[bytes]:
        for line in super().frames():
            yield line.decode().encode()


class CutsDelimiters(Lines):
    """A delimiter that was cut in two is none."""

    def feed(self, data: bytes) -> None:
        super().feed(data + b" " * data.endswith(b"\r"))


class LosesWhatIsLeft(Buffered):
    """What waits is lost when the loop is left."""

    def frames(self) -> Iterator[bytes]:
        found = [*super().frames()]
        yield from found


class GivesTwice(Buffered):
    """A frame is taken off only after the loop's body."""

    def frames(self) -> Iterator[bytes]:
        for line in super().frames():
            rest, self.buffer = self.buffer, line + b"\r\n" + self.buffer
            yield line
            self.buffer = rest


class HasNoLimit(Buffered):
    """Only whole lines are measured."""

    def frames(self) -> Iterator[bytes]:
        if b"\r\n" in self.buffer or self.error:
            yield from super().frames()


class KeepsChunks(Lines):
    """Everything that ever arrived is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []

    def feed(self, data: bytes) -> None:
        self.seen.append(data)
        super().feed(data)


class SaysNothing(Lines):
    """The error is raised and not remembered."""

    def frames(self) -> Iterator[bytes]:
        try:
            yield from super().frames()
        except FrameTooLong:
            raise FrameTooLong(LIMIT + 1) from None


class GoesOn(Buffered):
    """There is an error, and then there are frames again."""

    def feed(self, data: bytes) -> None:
        self.error = None
        super().feed(data)


class CopiesAll(LineCodec):
    """What has been gathered is copied for each chunk."""

    def feed(self, data: bytes) -> None:
        super().feed(data)
        super().feed(self.take_rest())


class CountsAll(LineCodec):
    """What has been gathered is walked over for each chunk."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lengths: list[int] = []

    def feed(self, data: bytes) -> None:
        self.lengths = [abs(length) for length in [*self.lengths, len(data)]]
        super().feed(data)

    def frames(self) -> Iterator[bytes]:
        for line in super().frames():
            self.lengths.clear()
            yield line


class Allocates(LengthFieldCodec):
    """Room is made for what was announced."""

    def feed(self, data: bytes) -> None:
        super().feed(data)
        length = int.from_bytes(data[:4], "big")
        if length <= self.max_length:
            bytearray(length)


class Shouts(Lines):
    """What it encodes comes back as another frame."""

    def encode(self, frame: bytes) -> bytes:
        return super().encode(frame.upper())


class Guesses(Buffered):
    """The error depends on how much has arrived."""

    def frames(self) -> Iterator[bytes]:
        try:
            yield from super().frames()
        except FrameTooLong:
            self.error = MalformedFrame("no line", len(self.buffer)) if self.first else self.error
            assert self.error is not None
            raise self.error from None
        finally:
            self.first = False

    first = True


def planted() -> Iterator[Kind]:
    small = lines(b"\r\n", LIMIT)
    for make in (
        RaisesAnything, CutsDelimiters, LosesWhatIsLeft, GivesTwice, HasNoLimit, KeepsChunks,
        SaysNothing, GoesOn, Shouts, Guesses,
    ):  # fmt: skip
        yield replace(small, name=make.__name__, make=make)
    large = lines(b"\r\n", 30_000)
    yield replace(large, name="CopiesAll", make=lambda: CopiesAll(max_length=30_000))
    yield replace(large, name="CountsAll", make=lambda: CountsAll(max_length=30_000))
    roomy = length_fields(1 << 22, 4)
    yield replace(roomy, name="Allocates", make=lambda: Allocates(4, max_length=1 << 22))


PLANTED = tuple(planted())
SOUND = replace(lines(b"\r\n", LIMIT), name="Buffered", make=Buffered)
