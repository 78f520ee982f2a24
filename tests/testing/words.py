"""A small format, decoded rightly once, and wrongly in every way there is."""

from __future__ import annotations

from collections.abc import Iterator

from trioproto.errors import MalformedFrame
from trioproto.framing import Codec


class Words(Codec[bytes]):
    """Words that end with a semicolon; one with an exclamation mark is an error."""

    max_length = 100

    def __init__(self) -> None:
        self.buffer = b""

    def feed(self, data: bytes) -> None:
        if self.error is None:
            self.buffer += data

    def frames(self) -> Iterator[bytes]:
        if self.error is not None:
            raise self.error
        while b";" in self.buffer:
            word, _, self.buffer = self.buffer.partition(b";")
            yield self.checked(word)

    def checked(self, word: bytes) -> bytes:
        if b"!" in word:
            self.buffer = b""
            self.error = MalformedFrame("a shout", word.index(b"!"), b"!")
            raise self.error
        return word

    def take_rest(self) -> bytes:
        rest, self.buffer = self.buffer, b""
        return rest

    @property
    def pending(self) -> int:
        return len(self.buffer)

    def encode(self, frame: bytes) -> bytes:
        return frame + b";"


class SmallBuffer(Words):
    """Has room for so many bytes at once, and drops the others."""

    def feed(self, data: bytes) -> None:
        super().feed(data[:5])


class UpperCase(Words):
    def checked(self, word: bytes) -> bytes:
        return super().checked(word).upper()


class NeverEnds(Words):
    def frames(self) -> Iterator[bytes]:
        while True:
            yield b"ab"


class DropsSingleBytes(Words):
    """Takes a single byte for noise."""

    def feed(self, data: bytes) -> None:
        if len(data) > 1:
            super().feed(data)


class OneBytesErrorElsewhere(Words):
    """Says another offset when the word has come in pieces."""

    pieces = 0

    def feed(self, data: bytes) -> None:
        super().feed(data)
        self.pieces += 1

    def checked(self, word: bytes) -> bytes:
        try:
            return super().checked(word)
        except MalformedFrame as error:
            error.offset += self.pieces - 1
            raise


class ForgetsBehindLeftOver(Words):
    """Completes a word that had begun, and drops what came behind it in the chunk."""

    def feed(self, data: bytes) -> None:
        if self.buffer:
            data = data[: data.find(b";") + 1] or data
        super().feed(data)


class OneForEachChunk(Words):
    """Never looks whether there is a second word."""

    def frames(self) -> Iterator[bytes]:
        for word in super().frames():
            yield word
            return


class HidesLeftOver(Words):
    @property
    def pending(self) -> int:
        return 0


class CountsTooMuch(Words):
    @property
    def pending(self) -> int:
        return len(self.buffer) + bool(self.buffer)


class AcceptsAnyEnd(Words):
    def check_end(self) -> None:
        pass


class SaysEmpty(Words):
    @property
    def empty(self) -> bool:
        return True


class LosesRest(Words):
    """Gives back all but the first byte."""

    def take_rest(self) -> bytes:
        return super().take_rest()[1:]


class KeepsRest(Words):
    """Gives the rest back, and keeps it too."""

    def take_rest(self) -> bytes:
        return self.buffer


class LosesWhatIsSplit(Words):
    """Splits all words off at once, and drops them when the loop is left."""

    def frames(self) -> Iterator[bytes]:
        if self.error is not None:
            raise self.error
        *words, self.buffer = self.buffer.split(b";")
        yield from map(self.checked, words)


class WorksOnACopy(Words):
    """Writes its buffer back after each word, over what was fed meanwhile."""

    def frames(self) -> Iterator[bytes]:
        if self.error is not None:
            raise self.error
        data = self.buffer
        while b";" in data:
            word, _, data = data.partition(b";")
            self.buffer = data
            yield self.checked(word)


class LooksOnce(Words):
    """Ends the loop when somebody asks what is pending."""

    asked = False

    @property
    def pending(self) -> int:
        self.asked = True
        return len(self.buffer)

    def frames(self) -> Iterator[bytes]:
        for word in super().frames():
            self.asked = False
            yield word
            if self.asked:
                return


class ForgetsItsError(Words):
    """Takes what comes after an error for a fresh start."""

    def checked(self, word: bytes) -> bytes:
        try:
            return super().checked(word)
        finally:
            self.error = None


class EndsQuietly(Words):
    """Raises its error once, and then nothing comes."""

    def frames(self) -> Iterator[bytes]:
        return iter(()) if self.error is not None else super().frames()


class NotesAnotherError(Words):
    def checked(self, word: bytes) -> bytes:
        try:
            return super().checked(word)
        except MalformedFrame as error:
            raise MalformedFrame(error.problem, error.offset, error.found) from None


class GrowsAfterItsError(Words):
    def feed(self, data: bytes) -> None:
        self.buffer += data


class EncodesWithoutEnd(Words):
    def encode(self, frame: bytes) -> bytes:
        return frame


class EncodesNothing(Words):
    def encode(self, frame: bytes) -> bytes:
        raise NotImplementedError


class Crashes(Words):
    """Looks behind the end of what there is."""

    def feed(self, data: bytes) -> None:
        super().feed(data)
        if self.buffer == b"a":
            raise IndexError("nothing there")


class Spaced(Words):
    """Drops spaces before a word at once; rightly so."""

    def feed(self, data: bytes) -> None:
        super().feed(data)
        self.buffer = self.buffer.lstrip()

    def frames(self) -> Iterator[bytes]:
        for word in super().frames():
            self.buffer = self.buffer.lstrip()
            yield word


class Values(Codec[dict[str, str]]):
    """Gives something else than bytes."""

    def __init__(self) -> None:
        self.words = Words()

    def feed(self, data: bytes) -> None:
        self.words.feed(data)

    def frames(self) -> Iterator[dict[str, str]]:
        for word in self.words.frames():
            yield {"word": word.decode()}

    def take_rest(self) -> bytes:
        return self.words.take_rest()

    @property
    def pending(self) -> int:
        return self.words.pending

    def encode(self, frame: dict[str, str]) -> bytes:
        return self.words.encode(frame["word"].encode())
