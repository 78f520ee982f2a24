"""JSON lines (NDJSON): one JSON text on each line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from math import isinf
from typing import Any, NoReturn

from trioproto.framing.over_lines import OverLinesCodec
from trioproto.framing.receiver import FrameReceiver
from trioproto.framing.strings import MAX_LENGTH
from trioproto.sansio.errors import MalformedFrame
from trioproto.sansio.protocol import CallbackResult


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    """Refuse what would be read as infinity, which could not be written again."""
    value = float(number)
    if isinf(value):
        raise ValueError(f"{number:.20} is too large")
    return value


_loads = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode
_dumps = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class JsonLinesCodec(OverLinesCodec[Any]):
    r"""JSON values, each in UTF-8 on a line of its own that ends with ``\n``.

    Empty lines, and those of spaces only, are read over.

    Args:
        max_length: bytes that a line may have.
        loads: makes a value of a ``str``; what it cannot read is a
            ``ValueError``. By default the standard library's, without ``NaN``
            and ``Infinity``, which JSON does not have, and without numbers
            that a float has no room for.
        dumps: makes a ``str`` or UTF-8 of a value, without a newline.

    Raises:
        ValueError: *max_length* is below 0.

    Origin: the NDJSON specification; RFC 8259.
    """

    def __init__(
        self,
        *,
        max_length: int = MAX_LENGTH,
        loads: Callable[[str], Any] = _loads,
        dumps: Callable[[Any], str | bytes] = _dumps,
    ) -> None:
        super().__init__(b"\n", max_length=max_length)
        self._loads = loads
        self._dumps = dumps

    def encode(self, frame: Any) -> bytes:
        """Return the line of a value.

        Raises:
            TypeError: it has no JSON.
            ValueError: it has no JSON, or *dumps* has made more than one line.
        """
        text = self._dumps(frame)
        return self._lines.encode(text.encode() if isinstance(text, str) else text)

    def _decode(self, line: bytes) -> Iterator[Any]:
        if not line.strip(b" \t\r"):
            return
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            bad = line[error.start : error.end]
            problem = MalformedFrame("not UTF-8", error.start, bad)
            raise problem from error.with_traceback(None)
        try:
            value = self._loads(text)
        except (ValueError, RecursionError) as error:
            raise _malformed(text, error) from error.with_traceback(None)
        yield value


def _malformed(text: str, error: Exception) -> MalformedFrame:
    if isinstance(error, RecursionError):
        return MalformedFrame("JSON nested too deep", 0)
    place = getattr(error, "pos", 0)
    offset = len(text[:place].encode())
    return MalformedFrame(f"not JSON ({error})", offset, text[place:].encode()[:32])


class JsonLinesReceiver(FrameReceiver[Any]):
    """A protocol of JSON values, one on each line.

    Override ``make_codec`` to read and write them with another library.

    Attributes:
        max_length: bytes that a line may have.
    """

    max_length: int = MAX_LENGTH

    def make_codec(self) -> JsonLinesCodec:
        """Make a codec of the class's attributes."""
        return JsonLinesCodec(max_length=self.max_length)

    def json_received(self, value: Any) -> CallbackResult:
        """A value has arrived."""

    def send_json(self, value: Any) -> None:
        """Write a value.

        Raises:
            TypeError: it has no JSON; nothing was written.
            ValueError: it has no JSON; nothing was written.
        """
        self.send_frame(value)

    def _callback(self) -> Callable[[Any], CallbackResult]:
        return self.json_received
