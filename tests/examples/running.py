"""Programs run beside the test, talked to line by line, each wait with an end."""

from __future__ import annotations

import io
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import IO, Self, cast

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 30  # seconds; only reached when something is broken
# Of a line of the log: a limit was reached on purpose, or the machine was busy with something else.
HARMLESS = re.compile(r"the limit of \d+ is reached| kept the whole program waiting for ")


class Program:
    """A process; it is killed when it takes longer than `PATIENCE`."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.stdin = cast(IO[bytes], self.process.stdin)
        self.stdout = cast(IO[bytes], self.process.stdout)
        self.watchdog = self._watched()

    def _watched(self) -> threading.Timer:
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.daemon = True
        watchdog.start()
        return watchdog

    def begin_again(self) -> None:
        """It may take as long from now on."""
        self.watchdog.cancel()
        self.watchdog.join()
        self.watchdog = self._watched()

    def read_line(self) -> str:
        """The next line of its output, without its end; empty at the end of all."""
        return self.stdout.readline().decode().rstrip("\r\n")

    def read_until(self, text: str) -> None:
        """Skip lines of its output up to the one that has `text` in it."""
        seen = []
        while line := self.stdout.readline().decode():
            seen.append(line)
            if text in line:
                return
        raise AssertionError(f"{text!r} is not in {seen!r}")

    def write_line(self, text: str) -> None:
        self.stdin.write(text.encode() + b"\n")
        self.stdin.flush()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def finish(self) -> tuple[int, str, str]:
        """Wait for its end: its status, the rest of its output, and its errors."""
        out, err = self.process.communicate()
        return self.process.returncode, out.decode(), err.decode()

    def discard(self) -> None:
        self.process.kill()
        if not self.stdout.closed:
            self.process.communicate()
        self.watchdog.cancel()
        self.watchdog.join()


@contextmanager
def running(*command: str) -> Iterator[Program]:
    """Run a program for the body's time, whatever becomes of the body."""
    program = Program(*command)
    try:
        yield program
    finally:
        program.discard()


class Example(Program):
    """One of the examples, listening; development mode tells of what it leaves open."""

    def __init__(self, name: str, *arguments: str) -> None:
        where = ["--listen", "tcp:0:interface=127.0.0.1"]
        super().__init__(sys.executable, "-X", "dev", "-m", f"examples.{name}", *where, *arguments)
        self.asked_to_end = False
        first = self.read_line()
        if not first.startswith("listening on tcp:127.0.0.1:"):
            self.process.kill()
            raise AssertionError((first, *self.finish()))
        self.port = int(first.rpartition(":")[2])

    def connect(self) -> Caller:
        return Caller("127.0.0.1", self.port)

    def signal(self, number: int) -> None:
        self.asked_to_end = True
        super().signal(number)


@contextmanager
def example(name: str, *arguments: str) -> Iterator[Example]:
    """Run an example; after the body it must end well.

    It may only have told of its drain, and warned of what is `HARMLESS`.
    """
    program = Example(name, *arguments)
    try:
        yield program
        if not program.asked_to_end:
            program.signal(signal.SIGTERM)
        status, out, err = program.finish()
        assert status == 0
        assert [each for each in err.splitlines() if not HARMLESS.search(each)] == []
        assert [each for each in out.splitlines() if not each.startswith("drain")] == []
    finally:
        program.discard()


def called(name: str, *arguments: str) -> tuple[int, str, str]:
    """Call an example that ends by itself, in this process; its status, output and errors."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = [name, *arguments]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            import_module(f"examples.{name}").main()
    except SystemExit as end:
        code = end.code
    else:
        code = None
    finally:
        sys.argv = before
    if isinstance(code, str):  # which Python itself writes, with status 1
        return 1, out.getvalue(), f"{err.getvalue()}{code}\n"
    return code or 0, out.getvalue(), err.getvalue()


class Caller:
    """A plain client; leaving the `with` closes its socket."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self.stream = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_eof(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def read(self, count: int) -> bytes:
        return self.stream.read(count)

    def read_line(self) -> bytes:
        return self.stream.readline()

    def read_all(self) -> bytes:
        """All that comes until the server's EOF."""
        return self.stream.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stream.close()
        self.socket.close()
