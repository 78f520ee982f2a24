"""Two processes on one inherited socket replace each other under load, and nobody notices.

The clients do what any good client does: when the stream ends before the first
byte of a reply, they connect again and repeat. Nothing else may happen to them:
no reset, no cut reply, no request that was lost, or executed twice.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import BinaryIO, Self

import pytest

from tests.examples.running import REPOSITORY

CLIENTS = 24
HAND_OVERS = 4
REPLIES = 200
"""That are waited for before each step, so that it is taken under load."""
PATIENCE = 20  # seconds; only reached when something is broken

SERVER = """
    import os, sys
    import trio
    import trioproto
    from trioproto.framing import LineReceiver

    class Answers(LineReceiver):
        '''Executes what it is sent, notes that in a file, and answers; sometimes slowly.'''

        delimiter = b"\\n"

        def line_received(self, line):
            if line.startswith(b"slow"):
                return self.later(line)
            self.execute(line)

        async def later(self, line):
            await trio.sleep(0.005)
            self.execute(line)

        def execute(self, line):
            os.write(factory.file, b"%s %d\\n" % (line, os.getpid()))
            size = 100_000 if line.startswith(b"big") else 10
            self.transport.write(b"%s %d\\n" % (line, size) + bytes(size))

    class Executes(trioproto.Factory):
        def start_factory(self):
            self.file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)

    factory = Executes(Answers, max_connections=int(sys.argv[3]))
    trioproto.run(factory, "fd:" + sys.argv[2])
"""


class Trouble(Exception):
    """What must not happen to a client."""


class Client(threading.Thread):
    """Sends requests, each until it is answered; up to ``ahead`` wait for that at a time.

    Attributes:
        answered: the requests that were.
        repeated: how often one was sent again.
        trouble: what has gone wrong.
    """

    def __init__(self, load: Load, number: int) -> None:
        super().__init__(name=f"client {number}")
        self.load = load
        self.number = number
        self.ahead = 1 + 3 * (number % 2)
        self.answered: list[str] = []
        self.repeated = 0
        self.trouble: BaseException | None = None
        self.ids = self.requests()

    def requests(self) -> Iterator[str]:
        """Ids of requests: some take their time, some have a large reply."""
        for number in count():
            if self.load.stop.is_set():
                return
            yield f"{('quick', 'slow', 'quick', 'big')[number % 4]}-{self.number}-{number}"

    def run(self) -> None:
        try:
            to_do: list[str] = []
            while to_do or not self.load.stop.is_set():
                to_do = self.talk(to_do)
        except BaseException as exc:
            self.trouble = exc
            self.load.stop.set()

    def talk(self, to_do: list[str]) -> list[str]:
        """Ask a few times over one connection; return what was asked and not answered."""
        with (
            socket.create_connection(self.load.address, timeout=PATIENCE) as sock,
            sock.makefile("rb") as stream,
        ):
            asked = 0
            for number in count():
                while number < 40 and len(to_do) < self.ahead and (more := next(self.ids, None)):
                    to_do.append(more)
                if not to_do:
                    break
                # While replies to the requests before are still on their way.
                sock.sendall("".join(f"{each}\n" for each in to_do[asked:]).encode())
                if not self.answer(stream, to_do[0]):
                    self.repeated += 1
                    break
                self.answered.append(to_do.pop(0))
                self.load.replies.release()
                asked = len(to_do)
        return to_do

    def answer(self, stream: BinaryIO, expected: str) -> bool:
        """Read a reply; return whether there was one, and not the end."""
        head = stream.readline()
        if not head:
            return False
        if not head.endswith(b"\n"):
            raise Trouble(f"cut in the head of the reply to {expected}: {head!r}")
        name, size = head.split()
        if name.decode() != expected:
            raise Trouble(f"asked for {expected}, answered {name!r}")
        body = stream.read(int(size))
        if len(body) != int(size):
            raise Trouble(f"cut in the reply to {expected}: {len(body)} of {size!r} bytes")
        return True


class Generation:
    """One server process after the other, each on the same socket."""

    def __init__(self, listener: socket.socket, file: Path, limit: int, stack: ExitStack) -> None:
        self.fd = listener.fileno()
        self.arguments = [str(file), str(self.fd), str(limit)]
        self.stack = stack
        self.pids: list[int] = []

    def start(self) -> subprocess.Popen[str]:
        """Start a server; return when it accepts."""
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVER), *self.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[self.fd],
            cwd=REPOSITORY,
        )
        self.stack.enter_context(process)
        self.stack.callback(process.kill)
        self.pids.append(process.pid)
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("listening on"), process.stderr.read()
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        """Have it drain, which nothing may disturb."""
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0
        reached = f"max_connections: the limit of {CLIENTS // 2} is reached, newcomers wait\n"
        assert err in ("", reached)
        reports = [line for line in out.splitlines() if line.startswith("drained")]
        assert all(line.endswith("finished, 0 cancelled, 0 aborted") for line in reports), out


class Load:
    """Clients that ask all the while; what went wrong for one of them is raised in the end."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.stop = threading.Event()
        self.replies = threading.Semaphore(0)
        self.clients = [Client(self, number) for number in range(CLIENTS)]

    def __enter__(self) -> Self:
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for client in self.clients:
            client.join(PATIENCE)
        assert not any(client.is_alive() for client in self.clients)
        assert [client.trouble for client in self.clients if client.trouble] == []

    def wait(self, replies: int) -> None:
        """Wait for so many replies more."""
        for _ in range(replies):
            if not self.replies.acquire(timeout=PATIENCE) or self.stop.is_set():
                return  # which is told of in the end


@pytest.mark.parametrize(
    ("limit", "gap"), [(1000, False), (CLIENTS // 2, False), (CLIENTS // 2, True)]
)
def test_no_request_is_lost_when_servers_replace_each_other(
    tmp_path: Path, limit: int, *, gap: bool
) -> None:
    """With all clients let in, or half of them queued; with both running, or none for a time."""
    file = tmp_path / "executed"
    file.touch()
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        generation = Generation(listener, file, limit, stack)
        current = generation.start()
        with Load(listener.getsockname()) as load:
            for _ in range(HAND_OVERS):
                load.wait(REPLIES)
                if gap:
                    generation.end(current)
                    current = generation.start()
                else:
                    following = generation.start()
                    load.wait(REPLIES)
                    generation.end(current)
                    current = following
            load.wait(REPLIES)
        generation.end(current)
    executed = [line.split() for line in file.read_text().splitlines()]
    times = Counter(name for name, _ in executed)
    answered = [name for client in load.clients for name in client.answered]
    assert [name for name in times if times[name] > 1] == []
    assert set(times) == set(answered)
    assert len(answered) == len(set(answered))
    # And it was under load, in each generation, that they were replaced.
    served = Counter(int(pid) for _, pid in executed)
    assert set(served) == set(generation.pids)
    assert len(served) == HAND_OVERS + 1
    assert sum(client.repeated for client in load.clients) >= HAND_OVERS
    assert os.getpid() not in served
