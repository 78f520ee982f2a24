"""Where the tests' clients connect to, with the test as the server."""

from __future__ import annotations

import os
import select
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from tests.behaviour.drivers import SMALL, SocketPeer
from tests.ports import free_port
from trioproto.endpoints import ClientEndpoint, parse_client_endpoint

KINDS = ("tcp", "unix", "stream")
PATIENCE = 20
"""Seconds, real ones mostly; only reached when something is broken."""


def open_descriptors() -> dict[str, str]:
    """All open descriptors of this process, and what they are."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            pass  # the one that the folder was listed by
    return found


class Site(ABC):
    """A listening socket.

    Attributes:
        text: the endpoint string of what listens there.
        resets: whether each end sees it when the other resets the connection.
        is_socket: whether the client is given a socket, as far as it can see.
    """

    text: str
    resets = True
    is_socket = True

    def __init__(self, family: socket.AddressFamily) -> None:
        self.listening = socket.socket(family)
        self.peers: list[SocketPeer] = []

    def listen(self, address: Any, *, backlog: int = 100) -> None:
        self.listening.bind(address)
        self.listening.listen(backlog)
        self.listening.setblocking(False)

    @abstractmethod
    async def target(self) -> Any:
        """What ``connect`` is given."""

    async def accept(self) -> SocketPeer:
        with trio.fail_after(PATIENCE):
            await trio.lowlevel.wait_readable(self.listening)
        peer = SocketPeer(self.listening.accept()[0])
        self.peers.append(peer)
        return peer

    def pending(self) -> bool:
        """Whether there is a connection to be accepted."""
        return bool(select.select([self.listening], [], [], 0)[0])

    def close(self) -> None:
        self.listening.close()
        for peer in self.peers:
            peer.discard()


class TCPSite(Site):
    def __init__(self, folder: Path, *, small: bool = False) -> None:
        super().__init__(socket.AF_INET)
        if small:
            self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self.listen(("127.0.0.1", free_port()))
        self.port = self.listening.getsockname()[1]
        self.text = f"tcp:127.0.0.1:{self.port}"

    async def target(self) -> Any:
        return self.text


class UnixSite(Site):
    resets = False

    def __init__(self, folder: Path) -> None:
        super().__init__(socket.AF_UNIX)
        path = str(folder / "socket")
        self.listen(path)
        self.text = f"unix:{path}"

    async def target(self) -> Any:
        return self.text


class StreamSite(TCPSite):
    """Gives a ready-made stream that is no socket's, as far as anybody can see."""

    resets = False  # ours are not seen by the peer, as such a stream can only be closed
    is_socket = False

    async def target(self) -> Any:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        return trio.StapledStream(stream, stream)


SITES: dict[str, type[TCPSite | UnixSite]] = {
    "tcp": TCPSite,
    "unix": UnixSite,
    "stream": StreamSite,
}


class Fixed(ClientEndpoint):
    """Gives the streams, or raises the errors, that it was made with, one an attempt."""

    def __init__(self, *outcomes: trio.abc.Stream | Exception) -> None:
        self.text = "fixed"
        self.outcomes = list(outcomes)
        self.times: list[float] = []

    async def open(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.times.append(trio.current_time())
        outcome = self.outcomes.pop(0) if self.outcomes else ConnectionRefusedError("no more")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@contextmanager
def nobody_listens() -> Iterator[str]:
    """A port that is taken, so that nobody else comes to listen on it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"tcp:127.0.0.1:{sock.getsockname()[1]}"


async def open_text(text: str) -> trio.abc.Stream:
    return await parse_client_endpoint(text).open()
