"""The pieces of code that the page on the traffic log shows.

Each is included from here, and run by ``test_snippets_traffic.py``.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from trioproto import Factory, TrafficFiles, TrafficLog
from trioproto.framing import LineReceiver
from trioproto.layers import Direction

logger = logging.getLogger(__name__)


class Mailbox(LineReceiver):
    """Asks for a password, and has a defect."""

    def line_received(self, line: bytes) -> None:
        command, _, _argument = line.partition(b" ")
        answers = {b"USER": b"+OK", b"PASS": b"+OK welcome"}
        self.send_line(answers[command])


def recorded_mailbox(folder: Path) -> Factory[Mailbox]:
    return Factory(Mailbox, traffic_log=TrafficLog(write=TrafficFiles(folder)))


PASSWORD = re.compile(rb"(?im)^(PASS )([^\r\n]*)")


def hide_passwords(data: bytes, direction: Direction, cut: bool) -> bytes:
    if direction is Direction.SENT:
        return data
    if cut:  # the first line has lost its beginning: it may be the end of a password
        rest = len(data.partition(b"\n")[0])
        data = b"*" * rest + data[rest:]
    return PASSWORD.sub(lambda found: found[1] + b"*" * len(found[2]), data)


def discreet_mailbox(folder: Path) -> Factory[Mailbox]:
    log = TrafficLog(size=16 * 1024, write=TrafficFiles(folder, "text"), redact=hide_passwords)
    return Factory(Mailbox, traffic_log=log)


class Puzzled(LineReceiver):
    """Logs what led to a line that it does not understand."""

    def line_received(self, line: bytes) -> None:
        if line == b"NOOP":
            self.send_line(b"+OK")
            return
        self.send_line(b"-ERR")
        recording = self.transport.traffic()
        if recording is not None:
            logger.warning("not understood:\n%s", recording.to_text())


def puzzled_factory() -> Factory[Puzzled]:
    return Factory(Puzzled, traffic_log=TrafficLog(size=4096))
