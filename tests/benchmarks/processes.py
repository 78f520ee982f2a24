"""The processes of one measurement: a server on its core, load generators on another."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import certificates, machine
from .scenario import Contender, Scenario

STARTING_SECONDS = 20.0
OPENING_SECONDS = 60.0  # ten thousand connections, with a slow server
SETTLING_SECONDS = 5.0
SPARE_FILES = 300
COMPLAINT_BYTES = 4096


class MeasurementFailed(Exception):
    """The server did not start, ended, or answered wrongly; the message says which."""


@dataclass(frozen=True)
class Measured:
    """What the load generator reports of one window."""

    requests: int
    seconds: float
    server_cpu: float
    generator_cpu: float
    p50_us: float
    p99_us: float


class Process:
    """A child that is pinned to a core, says things in lines, and is killed at the end."""

    def __init__(self, command: list[str | Path], core: int) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._child = subprocess.Popen(
            command,
            cwd=machine.CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        os.sched_setaffinity(self._child.pid, {core})

    @property
    def pid(self) -> int:
        return self._child.pid

    def line(self, seconds: float) -> str:
        """Wait for a line, and take it.

        Raises:
            MeasurementFailed: it ended, or said nothing for so long.
        """
        output: IO[str] | None = self._child.stdout
        assert output is not None
        if not select.select([output], [], [], seconds)[0]:
            raise MeasurementFailed(f"said nothing for {seconds:.0f} s")
        if text := output.readline():
            return text
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(2.0)
        raise MeasurementFailed(self.complaint() or f"ended with {self._child.returncode}")

    def ask(self, seconds: float) -> str:
        """Send an empty line, and wait for the answer."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # then it has ended, and line() tells why
            self._child.stdin.write("\n")
            self._child.stdin.flush()
        return self.line(seconds)

    def complaint(self) -> str:
        """The last line that it wrote to its standard error."""
        tail = max(0, os.fstat(self._errors.fileno()).st_size - COMPLAINT_BYTES)
        # Not seek and read: the child writes where the same open file stands.
        text = os.pread(self._errors.fileno(), COMPLAINT_BYTES, tail).decode(errors="replace")
        return next(filter(None, reversed(text.splitlines())), "")

    def close(self) -> None:
        """End it now, whatever it does, and give back its pipes."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout, self._errors):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


class Generator(Process):
    """The program in C, working on one server."""

    def __init__(self, server: Server, mode: str, **options: float) -> None:
        command: list[str | Path] = [machine.generator(), mode]
        for option, value in {**server.options, **options}.items():
            command += [f"-{option}", str(value)]
        super().__init__(command, machine.cores()[1])


class Holder(Generator):
    """Idle connections that have been used once."""

    def __init__(self, server: Server, connections: int) -> None:
        if connections + SPARE_FILES > machine.open_files_limit():
            raise MeasurementFailed(
                f"{connections} connections, but {machine.open_files_limit()} open files at most"
            )
        self._connections = connections
        super().__init__(server, "hold", c=connections, b=64)

    def check(self) -> None:
        """See that the server has closed none of them."""
        lost = self._connections - int(self.ask(OPENING_SECONDS))
        if lost:
            raise MeasurementFailed(f"closed {lost} of {self._connections} idle connections")


class Listening(Process):
    """A process that says on which port it listens, before anything else."""

    def __init__(self, command: list[str | Path], core: int) -> None:
        super().__init__(command, core)
        try:
            self.port = self._read_port()
        except BaseException:
            self.close()
            raise

    def _read_port(self) -> int:
        said = self.line(STARTING_SECONDS)
        found = re.search(r":(\d+)$", said.rstrip())
        if found is None:
            raise MeasurementFailed(f"named no port: {said!r}")
        return int(found[1])


class Backend(Listening):
    """The echo server in C, where forwarders forward to."""

    def __init__(self) -> None:
        super().__init__([machine.limit(), "echo"], machine.cores()[2])


class Server(Listening):
    """A server that is ready, with the generators that work on it; it is ended before they are.

    ``options`` are what every generator is told of it.
    """

    def __init__(
        self, contender: Contender, *, tls: bool = False, backend: Backend | None = None
    ) -> None:
        self._generators: list[Generator] = []
        command = _command(contender)
        if tls:
            command += certificates.pair()
        if backend:
            command.append(str(backend.port))
        super().__init__(command, machine.cores()[0])
        self.options = {"p": self.port, "s": self.pid, "t": int(tls)}
        if backend and machine.cores()[2] == machine.cores()[1]:
            self.options["e"] = backend.pid  # its time is taken from the generator's

    def load(self, mode: str, *, seconds: float, **options: float) -> Measured:
        """Run a generator: it opens, checks, warms up and measures."""
        warmup = min(0.5, seconds / 4)
        generator = Generator(self, mode, w=warmup, d=seconds, **options)
        self._generators.append(generator)
        return Measured(**json.loads(generator.line(OPENING_SECONDS + warmup + seconds)))

    def hold(self, connections: int) -> Holder:
        """Open connections that stay idle, and return when all are open."""
        holder = Holder(self, connections)
        self._generators.append(holder)
        holder.line(OPENING_SECONDS)
        return holder

    def steady_memory(self) -> int:
        """Resident bytes, once they have not changed for a moment."""
        ends = time.monotonic() + SETTLING_SECONDS
        before = -1
        while (now := self._resident()) != before and time.monotonic() < ends:
            before = now
            time.sleep(0.2)
        return now

    def _resident(self) -> int:
        try:
            text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        except OSError as error:
            raise MeasurementFailed("ended while its memory was read") from error
        found = re.search(r"^Rss:\s+(\d+) kB$", text, re.MULTILINE)
        if found is None:
            raise MeasurementFailed("ended while its memory was read")
        return int(found[1]) * 1024

    def close(self) -> None:
        super().close()
        for generator in self._generators:
            generator.close()


def _command(contender: Contender) -> list[str | Path]:
    if contender.module == "limit":
        return [machine.limit(), contender.mode]
    return [sys.executable, "-m", f"{__package__}.servers.{contender.module}", contender.mode]


def lacking(scenario: Scenario) -> str | None:
    """What is not on this machine and keeps a scenario from being measured, if anything.

    Raises:
        Unavailable: there is no compiler, so none can be measured.
    """
    if scenario.tls and not machine.has_openssl():
        return "the load generator speaks no TLS: OpenSSL's headers (libssl-dev) are not installed"
    if scenario.tls and not certificates.can_be_made():
        return "trustme, which makes the certificate, is not installed"
    for program in scenario.programs:
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


@contextmanager
def serving(scenario: Scenario, contender: Contender) -> Iterator[Server]:
    """Start a contender; what it complained of is added to a failure."""
    with ExitStack() as processes:
        backend = Backend() if scenario.forwarded else None
        if backend:
            processes.callback(backend.close)
        server = Server(contender, tls=scenario.tls, backend=backend)
        processes.callback(server.close)
        try:
            yield server
        except MeasurementFailed as error:
            if complaint := server.complaint():
                raise MeasurementFailed(f"{error} (it said: {complaint})") from error
            raise
