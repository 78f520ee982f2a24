"""Line receivers that note what they hear, and how to feed them without a loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from trioproto.errors import ConnectionClosed
from trioproto.framing import LineOnlyReceiver, LineReceiver
from trioproto.testing import Harness

Heard = tuple[str, bytes]


class Lines(LineReceiver):
    """Notes lines, raw data and lines that were too long, in order."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.reasons: list[ConnectionClosed] = []

    @property
    def lines(self) -> list[bytes]:
        return [data for kind, data in self.heard if kind == "line"]

    def line_received(self, line: bytes) -> Any:
        assert type(line) is bytes
        self.heard.append(("line", line))

    def raw_data_received(self, data: bytes) -> Any:
        assert type(data) is bytes
        assert data
        if self.heard and self.heard[-1][0] == "raw":
            data = self.heard.pop()[1] + data
        self.heard.append(("raw", data))

    def line_length_exceeded(self, line: bytes) -> Any:
        self.heard.append(("too long", line))

    def connection_lost(self, reason: ConnectionClosed) -> Any:
        self.reasons.append(reason)

    @property
    def reason(self) -> ConnectionClosed:
        (reason,) = self.reasons
        return reason


class OnlyLines(LineOnlyReceiver):
    """Notes lines and lines that were too long, in order."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.reasons: list[ConnectionClosed] = []

    @property
    def lines(self) -> list[bytes]:
        return [data for kind, data in self.heard if kind == "line"]

    def line_received(self, line: bytes) -> Any:
        assert type(line) is bytes
        self.heard.append(("line", line))

    def line_length_exceeded(self, line: bytes) -> Any:
        self.heard.append(("too long", line))

    def connection_lost(self, reason: ConnectionClosed) -> Any:
        self.reasons.append(reason)

    @property
    def reason(self) -> ConnectionClosed:
        (reason,) = self.reasons
        return reason


def connect(receiver: LineReceiver | LineOnlyReceiver, **settings: Any) -> Harness[Any]:
    """Connect a harness to a receiver; errors in callbacks are raised unless logged."""
    harness = Harness(receiver, **settings)
    harness.connect()
    return harness


def feed(harness: Harness[Any], pieces: Iterable[bytes]) -> None:
    """Feed pieces for as long as the connection reads."""
    for piece in pieces:
        if piece and harness.reading and not harness.lost:
            harness.feed(piece)


def every_split(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and cut in two at every place."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]
