"""The pieces of code that the pages on limits, drains and views show.

Each is included from here, and run by ``test_snippets_operating.py``.
"""

from __future__ import annotations

from trioproto.framing import LineReceiver


class Upload(LineReceiver):
    """A line announces an upload; from then on the peer has to keep at it."""

    def line_received(self, line: bytes) -> None:
        self.transport.set_timeout(5)  # seconds of silence
        self.transport.set_timeout(1024, "min_receive_rate")
        self.set_raw_mode()
