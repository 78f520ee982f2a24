"""A protocol that hands its connection over to another one."""

from __future__ import annotations

from typing import Any

from trioproto.framing import LineReceiver
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.recorder import Recorder


class Preamble(LineReceiver):
    """Hands over to another protocol when the line ``go`` has come."""

    def __init__(self, new: Protocol) -> None:
        self.new = new
        self.heard: list[Any] = []

    def connection_made(self) -> None:
        self.heard.append("made")

    def line_received(self, line: bytes) -> Any:
        self.heard.append(line)
        if line == b"go":
            self.switch()

    def switch(self) -> None:
        self.send_line(b"switching")
        self.transport.switch_protocol(self.new)

    def connection_lost(self, reason: Exception) -> None:
        self.heard.append(type(reason))


class Refusing(Recorder):
    """Cannot be given a connection."""

    def attached(self) -> None:
        raise ValueError("no state")
