"""Frames and errors: they are the same however the input was cut, and however it is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trioproto.errors import FrameTooLong, FramingError, IncompleteFrame, MalformedFrame
from trioproto.framing import Codec

from .kinds import Kind
from .rules import Defect, check_number

Event = tuple[object, ...]


class Run:
    """One codec, what has come out of it, and the rules that need no comparison."""

    def __init__(self, kind: Kind, *, encodes: bool = False) -> None:
        self.kind = kind
        self.codec: Codec[Any] = kind.make()
        self.events: list[Event] = []
        self.encodes = encodes
        self.deep = False
        self.fed = 0

    def feed(self, data: bytes) -> None:
        self.fed += len(data)
        guarded(self.codec.feed, data)

    def give_back(self) -> None:
        """Take the rest away and feed it again; what is being skipped is no rest."""
        if not self.codec.skipping:
            guarded(self.codec.feed, guarded(self.codec.take_rest))

    def take_all(self, between: Callable[[], None] = lambda: None) -> None:
        """Take what there is: until a loop gives nothing."""
        while self.take(between):
            pass
        self.check_pending()

    def take(self, between: Callable[[], None] = lambda: None, most: int = -1) -> bool:
        """Take at most so many frames, or an error; say whether there may be more."""
        if self.codec.ended:
            return False
        before = len(self.events)
        try:
            for frame in self.codec.frames():
                self.frame(frame)
                between()
                most -= 1
                if not most:
                    return True
        except Defect:
            raise
        except FramingError as error:
            self.failed(error)
            return not self.codec.ended
        except Exception as error:
            raise unexpected(error) from error
        return len(self.events) > before

    def frame(self, frame: Any) -> None:
        self.events.append(("frame", plain(frame)))
        check_number(len(self.events), self.fed)
        if self.encodes and len(self.events) < 50:
            self.check_encoding(frame)

    def check_encoding(self, frame: Any) -> None:
        try:
            data = self.codec.encode(frame)
        except (ValueError, RecursionError):
            return  # not every frame that arrives may be sent
        codec = self.kind.make()
        codec.feed(data)
        try:
            again = [plain(each) for each in codec.frames()]
        except FrameTooLong:
            return  # JSON that came in UTF-8 and leaves in ASCII is longer
        if again != [plain(frame)]:
            raise Defect(f"{frame!r} is encoded as {data!r} and comes back as {again!r}")

    def failed(self, error: FramingError) -> None:
        if error is not self.codec.error:
            raise Defect(f"it raised {error!r}, and .error is {self.codec.error!r}")
        self.events.append(described(error))
        check_number(len(self.events), self.fed)
        if isinstance(error, MalformedFrame) and "deep" in error.problem:
            self.deep = True  # how deep is too deep depends on the stack
        if not str(error):
            raise Defect(f"{error!r} says nothing")
        if self.codec.ended:
            self.check_ended(error)

    def check_ended(self, error: FramingError) -> None:
        """An error that is final stays, and nothing is kept any more."""
        self.codec.feed(b"a\r\n1:a,\xc0\n")
        if self.codec.pending or self.codec.take_rest() or not self.codec.empty:
            raise Defect("something is pending after the end")
        try:
            left = list(self.codec.frames())
        except FramingError as again:
            if again is not error:
                raise Defect(f"it raised {again!r} after {error!r}") from again
        else:
            raise Defect(f"after its end it gave {left!r}")

    def check_pending(self) -> None:
        pending = self.codec.pending
        if pending > self.kind.most:
            raise Defect(f"{pending} bytes pending, {self.kind.most} may be")
        if self.codec.empty is not (pending == 0):
            raise Defect(f"empty is {self.codec.empty} with {pending} bytes pending")

    def end(self) -> None:
        """Take the end of input, and see what was left."""
        if self.codec.ended:
            return
        pending = self.codec.pending
        self.events.append(("left", pending, self.codec.skipping))
        try:
            self.codec.check_end()
        except IncompleteFrame as error:
            self.events.append(("incomplete", error.pending))
        if len(rest := self.codec.take_rest()) != pending or self.codec.pending:
            raise Defect(f"{pending} bytes pending, and the rest is {rest!r}")


def after_each_chunk(run: Run, chunks: list[bytes], seed: int) -> None:
    """As a receiver does, and ``async for``."""
    for chunk in chunks:
        run.feed(chunk)
        run.take_all()


def one_at_a_time(run: Run, chunks: list[bytes], seed: int) -> None:
    """Leave the loop after some frames, and begin another."""
    for chunk in chunks:
        run.feed(chunk)
        while run.take(most=1 + seed % 3):
            pass
        run.check_pending()


def at_the_end(run: Run, chunks: list[bytes], seed: int) -> None:
    """As one does who is paused for long."""
    for chunk in chunks:
        run.feed(chunk)
    run.take_all()


def inside_the_loop(run: Run, chunks: list[bytes], seed: int) -> None:
    """Bytes arrive while frames are being taken."""
    waiting = chunks[::-1]

    def feed_some() -> None:
        if waiting and len(run.events) % (1 + seed % 3) == 0:
            run.feed(waiting.pop())

    while waiting:
        run.feed(waiting.pop())
        run.take_all(feed_some)


def taken_away(run: Run, chunks: list[bytes], seed: int) -> None:
    """The rest is taken away, now and then, and given back."""
    for number, chunk in enumerate(chunks):
        run.feed(chunk)
        while run.take(most=1 + seed % 5):
            run.give_back()
        if number % 3 == seed % 3:
            run.give_back()
            run.take_all()
        run.check_pending()


WAYS = (after_each_chunk, one_at_a_time, at_the_end, inside_the_loop, taken_away)


def compare(whole: Run, other: Run, way: str) -> None:
    if whole.deep or other.deep or whole.events == other.events:
        return
    pairs = zip(whole.events, other.events, strict=False)
    place = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
    if place is None:
        place = min(len(whole.events), len(other.events))
    expected, found = whole.events[place : place + 3], other.events[place : place + 3]
    raise Defect(f"{way}: event {place} should be {expected!r}, not {found!r}")


def plain(frame: Any) -> object:
    """A frame so that two can be compared: JSON has 1 and 1.0 and true."""
    if isinstance(frame, bytes):
        return frame
    try:
        return repr(frame)
    except RecursionError:
        return "deep"


def described(error: FramingError) -> Event:
    """What does not depend on how the input was cut."""
    if isinstance(error, FrameTooLong):
        return ("too long", error.limit)
    if isinstance(error, MalformedFrame):
        return ("malformed", error.problem, error.offset)
    return (type(error).__name__,)


def guarded(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        raise unexpected(error) from error


def unexpected(error: Exception) -> Defect:
    return Defect(f"it raised {error!r}")
