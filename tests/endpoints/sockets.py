"""What the tests of endpoints share: clients, short folders, and what is left over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import trio

from tests.behaviour.drivers import SocketPeer
from tests.serving.conversations import Echo, dialled
from trioproto.endpoints import Bound, ServerEndpoint

NOBODY = 65534
PATIENCE = 30


class Tells(Echo):
    """Says where both ends are, as ``repr``; then echoes."""

    def connection_made(self) -> Any:
        self.transport.write(f"{self.transport.peer!r} {self.transport.local!r}\n".encode())


def dial_unix(path: str | Path, *, name: str | None = None) -> SocketPeer:
    """Connect to a Unix socket; *name* is what our own end is bound to."""
    client = socket.socket(socket.AF_UNIX)
    try:
        if name is not None:
            client.bind(name)
        text = os.fspath(path)
        client.connect("\0" + text[1:] if text.startswith("@") else text)
    except BaseException:
        client.close()
        raise
    dialled.append(SocketPeer(client))
    return dialled[-1]


def descriptors() -> dict[int, str]:
    """What this process has open."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass  # that of listdir itself
    return found


async def bind_one(endpoint: ServerEndpoint) -> Bound:
    (bound,) = await endpoint.bind()
    return bound


def bind_alone(endpoint: ServerEndpoint) -> Bound:
    """Bind in a loop of its own, for threads."""
    return trio.run(bind_one, endpoint)


@contextmanager
def foreign_listener(path: Path, backlog: int = 5) -> Iterator[socket.socket]:
    """A server that knows nothing of our locks."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.fspath(path))
        sock.listen(backlog)
        yield sock


def leave_stale(path: Path) -> None:
    """Leave behind what a server does that has crashed."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(os.fspath(path))
        sock.listen()
    assert path.is_socket()


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Be somebody for whom permissions count."""
    if os.geteuid() != 0:
        yield
        return
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


ECHO = """
    import sys
    import trioproto

    class Echo(trioproto.Protocol):
        def data_received(self, data):
            self.transport.write(data.upper())

    factory = trioproto.Factory(Echo, idle_timeout=None)
"""


def program(code: str) -> list[str]:
    """The command that runs a program with an echoing ``factory``."""
    return [sys.executable, "-c", textwrap.dedent(ECHO) + textwrap.dedent(code)]


@contextmanager
def child(
    command: list[str],
    *,
    stdin: Any = None,
    stdout: Any = subprocess.PIPE,
    pass_fds: Collection[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, and end it at the end; or earlier, so that no test waits for ever."""
    with subprocess.Popen(
        command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, pass_fds=pass_fds
    ) as process:
        patience = threading.Timer(PATIENCE, process.kill)
        patience.start()
        try:
            yield process
        finally:
            patience.cancel()
            process.kill()
            patience.join()


@contextmanager
def children(command: list[str], count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run a program many times at once, each with pipes."""
    with ExitStack() as stack:
        yield [stack.enter_context(child(command, stdin=subprocess.PIPE)) for _ in range(count)]
