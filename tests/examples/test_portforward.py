"""The port forwarder between plain sockets, and while it connects.

What comes through, and how each end ends, is shown in docs/examples, in memory.
"""

from __future__ import annotations

import re
import select
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from examples.portforward import Forwarder, Incoming
from tests.behaviour.drivers import SocketPeer, real_time
from tests.client.sites import TCPSite
from tests.examples.running import PATIENCE, Caller, Example, example
from trioproto import Settings, TCPAddress, open_server
from trioproto.endpoints import ClientEndpoint, parse_client_endpoint
from trioproto.testing import MemoryClientEndpoint, open_memory_listener, peer, serving

MEBIBYTE = 1024 * 1024
LOOPBACK = "tcp:0:interface=127.0.0.1"


class Accepted(Caller):
    """The other end of a connection: whoever it was that called."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.socket.settimeout(PATIENCE)
        self.stream = self.socket.makefile("rb")


class Target:
    """Where is forwarded to: the test accepts, and is the other end."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(PATIENCE)
        self.port = self.listening.getsockname()[1]
        self.text = f"tcp:127.0.0.1:{self.port}"
        self.accepted: list[Caller] = []

    def accept(self) -> Caller:
        self.accepted.append(Accepted(self.listening.accept()[0]))
        return self.accepted[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.listening.close()
        for each in self.accepted:
            each.__exit__()


@contextmanager
def forwarding() -> Iterator[tuple[Example, Caller, Caller]]:
    """The program, and both ends of one connection through it: the client's, and the target's."""
    with (
        Target() as target,
        example("portforward", "--to", target.text) as program,
        program.connect() as client,
        target.accept() as server,
    ):
        yield program, client, server


# Through the program


def test_an_eof_is_handed_on_and_the_other_direction_stays() -> None:
    """The client has said everything, and waits for a long answer."""
    with forwarding() as (_, client, server):
        client.send(b"question")
        client.send_eof()
        assert server.read_all() == b"question"
        server.send(b"answer" * 100_000)
        server.send_eof()
        assert client.read_all() == b"answer" * 100_000


def test_a_reset_is_handed_on_while_much_is_under_way() -> None:
    """Reading pauses then, and the reset is noticed all the same."""
    with forwarding() as (_, client, server):
        fill(client.socket)
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.__exit__()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.read(1)


def fill(sock: socket.socket) -> int:
    """Send until nothing more is taken for a moment; return how much was."""
    sent = 0
    while select.select([], [sock], [], 0.3)[1]:
        sent += sock.send(bytes(65536), socket.MSG_DONTWAIT)
    return sent


def test_a_signal_closes_both_ends() -> None:
    """What has been taken is passed on before; the status is 0, and nothing is complained of."""
    with forwarding() as (program, client, server):
        client.send(b"hello")
        assert server.read(5) == b"hello"
        program.signal(signal.SIGINT)
        assert client.read_all() == b""
        assert server.read_all() == b""


def test_a_bulk_transfer_both_ways_at_once_finishes() -> None:
    """To the echo example and back, with a reader that starts late: no memory is needed for it."""
    size = 32 * MEBIBYTE
    with (
        example("echo") as echo,
        example("portforward", "--to", f"tcp:127.0.0.1:{echo.port}") as program,
        program.connect() as client,
    ):
        before = peak_memory(program)
        held_back = fill(client.socket)  # until both are full, and the echo waits for us
        sender = threading.Thread(target=send, args=(client, size - held_back))
        sender.start()
        received = 0
        while chunk := client.socket.recv(65536):
            received += len(chunk)
        sender.join()
        assert received == size
        assert peak_memory(program) - before < 8 * MEBIBYTE


def send(client: Caller, size: int) -> None:
    for start in range(0, size, MEBIBYTE):
        client.send(bytes(min(MEBIBYTE, size - start)))
    client.send_eof()


def peak_memory(program: Example) -> int:
    """Bytes of memory that the program has had at most."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kibibytes) * 1024


# Inside of it, over sockets


@pytest.fixture
def target(tmp_path: Path) -> Iterator[TCPSite]:
    made = TCPSite(tmp_path, small=True)
    yield made
    made.close()


def dial(address: Any) -> SocketPeer:
    assert isinstance(address, TCPAddress)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((address.host, address.port))
    return SocketPeer(client)


@pytest.mark.parametrize("slow", ["target", "client"])
async def test_a_slow_reader_holds_up_the_other_end(
    target: TCPSite, slow: str, autojump_clock: MockClock
) -> None:
    """At most a read beyond the high-water mark waits here, and it all arrives in the end."""
    factory = Forwarder(parse_client_endpoint(target.text))
    settings = Settings()
    async with open_server(factory, LOOPBACK) as server:
        client = dial(server.addresses[0])
        other = await target.accept()
        reader, writer = (other, client) if slow == "target" else (client, other)
        sent = bytes(range(256)) * (16 * 1024)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, writer, sent)
            with real_time():
                await trio.testing.wait_all_tasks_blocked(0.2)
            (incoming,) = server.connections
            assert isinstance(incoming, Incoming)
            sides = incoming.transport, incoming.other.transport
            waiting = max(side.buffered for side in sides)
            assert settings.high_water < waiting <= settings.high_water + settings.read_size
            assert await reader.receive_until_eof() == sent
        await reader.send_eof()
        await writer.receive_until_eof()
        client.discard()


async def send_all(writer: SocketPeer, data: bytes) -> None:
    await writer.send(data)
    await writer.send_eof()


async def test_a_client_that_leaves_while_we_connect_is_not_waited_for(
    target: TCPSite,
) -> None:
    """The connection to the target is reset when it comes."""
    endpoint = Slow(parse_client_endpoint(target.text))
    factory = Forwarder(endpoint)
    async with open_server(factory, LOOPBACK) as server:
        client = dial(server.addresses[0])
        await endpoint.asked.wait()
        await client.reset()
        while server.connections:
            await trio.lowlevel.checkpoint()
        endpoint.go_on.set()
        other = await target.accept()
        assert await other.receive_all() == (b"", "reset")


# While it connects


class Slow(ClientEndpoint):
    """A target that answers when it is told to."""

    text = "slow"

    def __init__(self, endpoint: ClientEndpoint) -> None:
        self.endpoint = endpoint
        self.asked = trio.Event()
        self.go_on = trio.Event()

    async def open(self) -> trio.abc.Stream:
        self.asked.set()
        await self.go_on.wait()
        return await self.endpoint.open()


async def test_what_comes_while_we_connect_is_not_lost() -> None:
    """It waits in the client's stream, its EOF too."""
    listener = open_memory_listener()
    endpoint = Slow(MemoryClientEndpoint(listener))
    async with serving(Forwarder(endpoint)) as server, peer(await server.connect()) as client:
        await client.send(b"early")
        await client.send_eof()
        await endpoint.asked.wait()
        await trio.testing.wait_all_tasks_blocked()
        endpoint.go_on.set()
        async with peer(await listener.accept()) as target:
            await target.expect(b"early")
            await target.expect_eof()


async def test_a_drain_does_not_wait_for_who_is_not_connected_yet(
    autojump_clock: MockClock,
) -> None:
    endpoint = Slow(MemoryClientEndpoint(open_memory_listener()))
    async with serving(Forwarder(endpoint)) as server, peer(await server.connect()) as client:
        await endpoint.asked.wait()
        await client.send_eof()
        await server.server.drain()
        await client.expect_eof()
    assert trio.current_time() < 3
