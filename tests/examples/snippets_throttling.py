"""The pieces of code that the page on throttling shows.

Each is included from here, and run by ``test_snippets_throttling.py``.
"""

from __future__ import annotations

from pathlib import Path

from trioproto import Factory
from trioproto.framing import LineReceiver

KIB = 1024
MIB = 1024 * KIB


class Downloads(LineReceiver):
    """Sends the file that is asked for, as fast as it may go."""

    async def line_received(self, line: bytes) -> None:
        await self.transport.send_file(Path(self.factory.directory) / line.decode())
        self.transport.close()


def downloads(directory: Path) -> Factory[Downloads]:
    factory = Factory(
        Downloads,
        receive_rate=4 * KIB,  # of each client: it only asks
        send_rate=256 * KIB,  # to each client
        send_rate_total=8 * MIB,  # to all of them together
    )
    factory.directory = directory
    return factory


def at_night(factory: Factory[Downloads]) -> None:
    factory.configure(send_rate_total=None)
