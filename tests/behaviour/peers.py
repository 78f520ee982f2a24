"""Peers that hold the other end of a stream in memory, or of a socket."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import trio
import trio.testing

from trioproto.sansio.addresses import Address, address_from_sockaddr
from trioproto.testing import MemoryStream
from trioproto.testing.conformance import SMALL, Peer, PeerWasReset

KERNEL_SECONDS = 0.3


class MemoryPeer(Peer):
    """The client's end of a memory stream."""

    def __init__(self, ours: MemoryStream) -> None:
        self.ours = ours

    async def send(self, data: bytes) -> None:
        await self.ours.send_all(data)

    async def send_eof(self) -> None:
        with suppress(trio.BrokenResourceError):
            await self.ours.send_eof()

    async def reset(self) -> None:
        self.ours.reset()

    async def aclose(self) -> None:
        await self.ours.aclose()

    async def receive_some(self) -> bytes:
        try:
            return await self.ours.receive_some()
        except trio.BrokenResourceError:
            raise PeerWasReset from None

    def take(self) -> bytes:
        received = bytearray()
        with suppress(trio.WouldBlock, trio.BrokenResourceError):
            while more := self.ours.receive_nowait():
                received += more
        return bytes(received)


@contextmanager
def real_time() -> Iterator[None]:
    """Give the kernel a moment before virtual time goes on.

    Bytes that are under way in it, behind a full window, may need a timer of its
    own (of 40 or 200 ms), while all tasks wait: a virtual clock would jump ahead.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, trio.testing.MockClock):
        yield
        return
    before = clock.autojump_threshold
    clock.autojump_threshold = max(before, KERNEL_SECONDS)
    try:
        yield
    finally:
        clock.autojump_threshold = before


class SocketPeer(Peer):
    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw = connected
        self.sock = trio.socket.from_stdlib_socket(connected)
        self.was_reset = False

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[await self.sock.send(rest) :]

    async def send_eof(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    async def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    async def aclose(self) -> None:
        self.sock.close()

    def discard(self) -> None:
        self.raw.close()

    @property
    def address(self) -> Address:
        return address_from_sockaddr(self.raw.getsockname())

    @property
    def server_address(self) -> Address:
        return address_from_sockaddr(self.raw.getpeername())

    async def receive_some(self) -> bytes:
        if self.was_reset:
            raise PeerWasReset
        try:
            with real_time():
                return await self.sock.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError):
            self.was_reset = True  # the kernel says so only once
            raise PeerWasReset from None

    def take(self) -> bytes:
        received = bytearray()
        try:
            while more := self.raw.recv(1 << 16):
                received += more
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.was_reset = True
        return bytes(received)


def small_socket() -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    return made


def small_listener() -> trio.SocketListener:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    listening.setblocking(False)
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening))


def tcp_pair(buffers: int | None) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets: the peer's and the server's."""
    with socket.socket() as listening:
        if buffers is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        client = socket.socket() if buffers is None else small_socket()
        client.connect(listening.getsockname())
        server, _ = listening.accept()
    server.setblocking(False)
    return client, server
