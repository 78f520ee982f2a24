"""A server in a process of its own, which may have few descriptors, or much to remember.

python -m tests.hostile.child DESCRIPTORS SETTINGS

A line is repeated, and ``much N`` answered by N bytes that nobody else has.
"""

from __future__ import annotations

import json
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trioproto
from tests.examples.running import Program
from trioproto import Factory
from trioproto.framing import LineReceiver


class Answers(LineReceiver):
    auto_pause = False  # so that only `max_buffered` keeps it from answering

    def connection_made(self) -> None:
        self.transport.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # all waits here

    def line_received(self, line: bytes) -> None:
        word, _, number = line.partition(b" ")
        if word == b"much":
            self.transport.write(b"x" * int(number))
        else:
            self.send_line(line)


class Child(Program):
    """That process, listening.

    Attributes:
        errors: what it has written to its standard error, after its end.
    """

    def __init__(self, descriptors: int, **settings: Any) -> None:
        self.errors = ""
        arguments = str(descriptors), json.dumps(settings)
        super().__init__(sys.executable, "-m", "tests.hostile.child", *arguments)
        self.address = ("127.0.0.1", int(self.read_line().rpartition(":")[2]))
        self.folder = Path("/proc", str(self.process.pid))

    def descriptors(self) -> int:
        return len(list((self.folder / "fd").iterdir()))

    def memory(self) -> int:
        """The most bytes of memory that it has had."""
        status = (self.folder / "status").read_text()
        (line,) = (each for each in status.splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024


@contextmanager
def child(descriptors: int, **settings: Any) -> Iterator[Child]:
    """Run it; after the body it must end well."""
    made = Child(descriptors, **settings)
    try:
        yield made
        made.signal(signal.SIGTERM)
        status, _, made.errors = made.finish()
        assert status == 0
        assert "Traceback" not in made.errors
    finally:
        made.discard()


def main(descriptors: int, settings: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    factory = Factory(Answers, **settings)
    trioproto.run(factory, "tcp:0:interface=127.0.0.1")


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
