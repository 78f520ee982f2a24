"""Memory and steps: what a decoder may retain, allocate and do."""

from __future__ import annotations

import sys
import tracemalloc
from types import FrameType
from typing import Any, NoReturn

from trioproto.errors import FramingError
from trioproto.framing import Codec

from .kinds import Kind
from .rules import Defect, check_number

CALLS_EACH = 100  # for each chunk, frame and error
MEMORY_EACH = 3_000  # allocated for each chunk, frame and error, and gone again
SLACK = 24_000  # a codec, an error and its traceback


class Work:
    """Feed chunks and drop the frames; what the checks of memory and steps have in common.

    With ``leaves`` the loop is left after each frame, and not begun once it would find nothing:
    that is what async callbacks do.
    """

    def __init__(self, kind: Kind, *, leaves: bool = False) -> None:
        self.leaves = leaves
        self.codec: Codec[Any] = kind.make()
        self.events = 0
        self.fed = 0

    def step(self, chunk: bytes) -> None:
        self.fed += len(chunk)
        self.codec.feed(chunk)
        while self.take():
            pass

    def take(self) -> bool:
        try:
            for _ in self.codec.frames():
                self.events += 1
                check_number(self.events, self.fed)
                if self.leaves:
                    return not self.codec.empty
        except FramingError:
            self.events += 1
            check_number(self.events, self.fed)
            return not self.codec.ended
        return False


def check_memory(kind: Kind, chunks: list[bytes], *, leaves: bool) -> None:
    """What is retained, and what is allocated on the way, chunk by chunk."""
    began = tracemalloc.is_tracing()
    if not began:
        tracemalloc.start()
    try:
        _check_memory(Work(kind, leaves=leaves), kind, chunks)
    finally:
        if not began:
            tracemalloc.stop()


def _check_memory(work: Work, kind: Kind, chunks: list[bytes]) -> None:
    largest = max(map(len, chunks), default=0)
    arrived = allocated = 0
    base, _ = tracemalloc.get_traced_memory()
    before = base
    for number, chunk in enumerate(chunks, 1):
        arrived += len(chunk)
        tracemalloc.reset_peak()
        work.step(bytes(memoryview(chunk)))  # a copy of its own, so that keeping it is seen
        after, peak = tracemalloc.get_traced_memory()
        may_wait = min(kind.most, arrived)
        if work.codec.ended:
            # The codec keeps its error, whose traceback keeps what the loop was at.
            if after - base > 3 * (may_wait + largest) * kind.weight + SLACK:
                too_much("retained after its end", after - base)
            return
        if after - base > may_wait * 9 // 8 + largest + SLACK:
            too_much("retained", after - base)
        # An object for each frame in the chunk; a few copies of what the frame is made of.
        allowed = 2 * may_wait * kind.weight + 80 * len(chunk) * kind.weight + SLACK
        if peak - before > allowed:
            too_much("allocated for one chunk", peak - before)
        allocated += max(0, peak - before)
        before = after
        if allocated > 16 * kind.weight * arrived + MEMORY_EACH * (number + work.events) + SLACK:
            too_much(f"allocated for {arrived} bytes in {number} chunks", allocated)


def too_much(what: str, count: int) -> NoReturn:
    raise Defect(f"{count} bytes {what}")


def check_steps(kind: Kind, chunks: list[bytes], *, leaves: bool) -> None:
    """Calls: a bound for each chunk and each frame, whatever came before."""
    work = Work(kind, leaves=leaves)
    calls = 0

    def note(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        if event == "call" or (event == "c_call" and not instrument(arg)):
            calls += 1

    usual = sys.getprofile()
    sys.setprofile(note)
    try:
        for chunk in chunks:
            work.step(chunk)
    finally:
        sys.setprofile(usual)
    size = sum(map(len, chunks))
    allowed = CALLS_EACH * (len(chunks) + work.events + 2) + kind.calls * size
    if calls > allowed:
        counted = f"{size} bytes in {len(chunks)} chunks with {work.events} frames"
        raise Defect(f"{calls} calls for {counted}")


def instrument(function: object) -> bool:
    """Whether it is a call that the fuzzer has put into the code."""
    return str(getattr(function, "__module__", None)).startswith("atheris")
