"""A small application of a user's, for the type checkers: it is checked, and never run."""
# pyright: reportDeprecated=false

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

import trioproto
from trioproto import Factory, Protocol, Settings
from trioproto.errors import ConnectionClosed, ConnectionDone
from trioproto.framing import LineOnlyReceiver, LineReceiver
from trioproto.testing import (
    Faults,
    Harness,
    Link,
    ServeFactory,
    connected,
    open_memory_listener,
    serving,
)


class Echo(Protocol):
    """Sync callbacks."""

    factory: NotesFactory

    def connection_made(self) -> None:
        self.factory.visits += 1
        self.transport.setsockopt(6, 1, 1)
        self.transport.set_timeout(None)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.writelines([b"a", bytearray(b"b"), memoryview(b"c")])

    def eof_received(self) -> bool:
        return True

    def connection_lost(self, reason: ConnectionClosed) -> None:
        print(self.transport.peer, reason, reason.__cause__)

    def timed_out(self) -> None:
        self.transport.abort(ConnectionDone())


class Lookup(LineReceiver):
    """Async callbacks, and a task of the connection's own."""

    delimiter = b"\n"
    max_length = 255
    on_too_long = "discard"

    async def connection_made(self) -> None:
        await self.transport.send(b"which name?\n")
        self.transport.start_soon(self.remind, 10.0)

    async def line_received(self, line: bytes) -> None:
        for info in await trio.socket.getaddrinfo(line.decode("idna"), 80):
            self.send_line(repr(info[4]).encode())

    async def eof_received(self) -> None:
        sent: int = await self.transport.send_file("goodbye.txt", offset=0, count=None)
        print(sent)

    async def connection_lost(self, reason: ConnectionClosed) -> None:
        await trio.lowlevel.checkpoint()

    async def remind(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self.transport.wait_draining()
        self.send_line(b"still there?")


class Shout(LineOnlyReceiver):
    def line_received(self, line: bytes) -> None:
        self.send_line(line.upper())


class NotesFactory(Factory):
    """Settings as class attributes, state of its own, a resource for its lifetime."""

    protocol = Echo
    idle_timeout = None
    max_connections = 10
    at_limit = "refuse"
    refusal = b"later\r\n"

    def __init__(self, path: str) -> None:
        self.path = path
        self.visits = 0

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        async with await trio.open_file(self.path, "ab"):
            yield


class PickyFactory(Factory):
    def build_protocol(self, peer: trioproto.Address) -> Protocol | None:
        if isinstance(peer, trioproto.TCPAddress) and peer.host.startswith("10."):
            return None
        return Shout()


async def main() -> None:
    factory = NotesFactory("notes.txt")
    async with trioproto.open_server(factory, "tcp:0:interface=127.0.0.1", grace=1) as server:
        for address in server.addresses:
            print(address)
        for protocol in server.connections:
            print(protocol.transport.peer, protocol.transport.buffered)
        report = await server.drain(grace=1, force=1)
        print(report.finished, report.cancelled, report.aborted)
    factory.configure(max_connections=20)
    print(len(factory.connections), factory.settings.max_connections)

    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send_all, b"hello\r\n")
        reason: ConnectionClosed = await trioproto.run_protocol(
            Shout(), ours, settings=Settings(idle_timeout=5)
        )
    print(reason)

    async with trio.open_nursery() as nursery:
        running: trioproto.Server = await nursery.start(
            trioproto.serve, Factory(Lookup, idle_timeout=5), "tcp:0", "tcp6:0"
        )
        running.stop()
        await running.wait_closed()

    async with PickyFactory() as picky:
        await trio.serve_tcp(picky.handle, 0)


async def test_in_memory(serve_factory: ServeFactory) -> None:
    peer = trioproto.TCPAddress("192.0.2.1", 1025)
    async with connected(Echo, to_server=Faults(reads=(1,)), idle_timeout=5) as stream:
        await stream.send_eof()
        print(stream.unread, stream.receive_nowait())
    async with connected(NotesFactory("notes.txt"), tls=True, peer=peer) as over_tls:
        print(over_tls.selected_alpn_protocol(), over_tls.transport_stream)
    for tls in (False, True):
        async with connected(Echo, tls=tls) as either:
            await either.send_all(b"x")
        async with serving(Echo, tls=tls) as of_either, serve_factory(Echo, "tcp:0", tls=tls) as at:
            await (await of_either.connect()).send_all(b"x")
            await (await at.connect()).send_all(b"x")
    async with serving(Factory(Shout), half_close=False) as server:
        client = await server.connect(peer=peer)
        await client.send_all(b"x")
        for shout in server.server.connections:
            shout.send_line(b"y")
        print(server.statistics().open)
    async with serve_factory(Shout, tls=True, server_hostname="localhost") as safe:
        await (await safe.connect()).transport_stream.aclose()
    async with serve_factory(Echo, "tcp:0", "unix:socket") as on_sockets:
        print((await on_sockets.connect(1)).socket)
    async with serving(Echo, "tcp:0", tls=True) as tls_sockets:
        print((await tls_sockets.connect()).transport_stream)
    listener = open_memory_listener(backlog=5, address=peer)
    async with trioproto.open_server(Factory(Echo), listener):
        await (await listener.connect()).aclose()


class Tunnel:
    """What a stream may have besides."""

    peer: trioproto.Address = trioproto.UnknownAddress("mole")
    local: trioproto.Address = trioproto.UnixAddress("/run/tunnel")


addressed: trioproto.Addressed = Tunnel()


def test_by_hand() -> None:
    for harness in (Harness(Shout), Harness(Shout()), Harness(Factory(Shout))):
        harness.connect().send_line(b"x")
    picky = Harness(PickyFactory, idle_timeout=5)
    print(picky.connect().transport.peer)
    link = Link(Shout, NotesFactory("notes.txt"), seed=1)
    link.client.protocol.send_line(b"x")
    link.run_until(lambda: link.server.lost)


if __name__ == "__main__":
    trio.run(main)
