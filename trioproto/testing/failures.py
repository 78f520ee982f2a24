"""What a failure says: what came, what was expected, and where they begin to differ."""

from __future__ import annotations

from collections.abc import Sequence

from trioproto.sansio.errors import AsyncCallbackError
from trioproto.testing.tracebacks import leads_back
from trioproto.testing.transcript import Transcript

_SHOWN = 400
_SHOWN_BYTES = 20
_SHOWN_CHUNKS = 12


class Words(str):
    """What was expected, if it is told in words; they are shown as they are."""

    __slots__ = ()
    __repr__ = str.__str__


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
            *compared(self.came, self.expected),
        ]
        return "\n".join(lines)


class TranscriptError(AssertionError):
    """An exchange did not go as a test said that it would.

    Attributes:
        problem: what did not hold.
        came: what came, if that was compared.
        expected: what was to come.
        transcript: the exchange until then, as text.
    """

    def __init__(
        self,
        problem: str,
        transcript: Transcript | str,
        came: object = None,
        expected: object = None,
    ) -> None:
        self.problem = problem
        self.transcript = str(transcript)
        self.came = came
        self.expected = expected
        super().__init__(problem, self.transcript, came, expected)

    def at(self, place: str) -> TranscriptError:
        """Return the same error, which says where it was stated what should be."""
        problem = f"{place}: {self.problem}"
        return TranscriptError(problem, self.transcript, self.came, self.expected)

    def __str__(self) -> str:
        lines = [self.problem]
        if self.came is not None or self.expected is not None:
            lines += compared(self.came, self.expected)
        return "\n".join([*lines, "the exchange (< received, > sent):", self.transcript])


def tells_all(raised: object) -> bool:
    """Whether what was raised needs no lines of the kit to be understood.

    So it is if the kit has raised it on purpose, or has called the user's code that did.
    As ``__tracebackhide__`` of a module it has pytest show the test's line instead.

    Args:
        raised: pytest's ``ExceptionInfo``.
    """
    error = getattr(raised, "value", None)
    if isinstance(error, TranscriptError | VerificationFailed | AsyncCallbackError):
        return True
    return isinstance(error, BaseException) and leads_back(error.__traceback__)


def compared(came: object, expected: object) -> list[str]:
    """Return lines that show both, and where they begin to differ."""
    lines = [f"  came:     {shown(came)}", f"  expected: {shown(expected)}"]
    return [*lines, *_first_difference(came, expected)]


def shown(value: object) -> str:
    """Return the ``repr`` of *value*, or a type's name; shortened in its middle."""
    text = value.__name__ if isinstance(value, type) else repr(value)
    if len(text) <= _SHOWN:
        return text
    half = _SHOWN // 2
    return f"{text[:half]} ...({len(text) - _SHOWN} characters)... {text[-half:]}"


def _first_difference(came: object, expected: object) -> list[str]:
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
