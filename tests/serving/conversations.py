"""Small servers and clients for the tests of serving."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing

from tests.behaviour.drivers import SocketPeer
from trioproto import Factory, Protocol, TCPAddress
from trioproto.errors import ConnectionClosed

LOOPBACK = "tcp:0:interface=127.0.0.1"


class Echo(Protocol):
    def data_received(self, data: bytes) -> Any:
        self.transport.write(data)


class Greeter(Echo):
    """Says hello first: by that a client knows that it was accepted."""

    def connection_made(self) -> Any:
        self.transport.write(b"hello")


class Holds(Greeter):
    """Does not close when it is drained."""

    def quiesce(self) -> Any:
        self.transport.write(b"draining")


class Counting(Factory[Any]):
    """Counts its starts and stops, and what was alive at each."""

    def __init__(self, protocol: Callable[..., Protocol] = Greeter, **settings: Any) -> None:
        super().__init__(protocol, **settings)
        self.log: list[str] = []

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.log.append("entered")
        try:
            yield
        finally:
            self.log.append(f"left with {len(self.connections)}")


class Logs(Greeter):
    """Notes its end in its factory's log."""

    factory: Counting

    def connection_lost(self, reason: ConnectionClosed) -> Any:
        self.factory.log.append(f"lost: {type(reason).__name__}")


dialled: list[SocketPeer] = []
"""Closed after each test, however it ended."""


def dial(address: Any, source: str | None = None) -> SocketPeer:
    """Connect to a bound address, from *source* if given; loopback does not keep us waiting."""
    assert isinstance(address, TCPAddress)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    client = socket.socket(family)
    try:
        if source is not None:
            client.bind((source, 0))
        client.connect((address.host, address.port))
    except BaseException:
        client.close()
        raise
    dialled.append(SocketPeer(client))
    return dialled[-1]


def listens(address: Any) -> bool:
    """Whether someone accepts connections there."""
    assert isinstance(address, TCPAddress)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as client:
        return client.connect_ex((address.host, address.port)) == 0


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def outcome(peer: SocketPeer) -> tuple[bytes, str]:
    """What comes until the end, within a minute of virtual time."""
    with trio.fail_after(60):
        return await peer.receive_all()
