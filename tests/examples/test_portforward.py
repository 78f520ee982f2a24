"""The port forwarder, between plain sockets: what comes through, and how each end ends."""

from __future__ import annotations

import re
import select
import signal
import socket
import struct
import sys
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
from tests.client.sites import TCPSite, nobody_listens
from tests.examples.running import PATIENCE, Caller, Example, example, running
from trioproto import Settings, TCPAddress, open_server
from trioproto.endpoints import TCPClientEndpoint, parse_client_endpoint

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
def forwarding() -> Iterator[tuple[Caller, Caller]]:
    """Both ends of one connection through the program: the client's, and the target's."""
    with (
        Target() as target,
        example("portforward", "--to", target.text) as program,
        program.connect() as client,
        target.accept() as server,
    ):
        yield client, server


def reset(caller: Caller) -> None:
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.stream.close()
    caller.socket.close()


# Through the program


def test_bytes_go_both_ways() -> None:
    with forwarding() as (client, server):
        client.send(b"hello")
        assert server.read(5) == b"hello"
        server.send(b"you too")
        assert client.read(7) == b"you too"


def test_the_target_may_have_the_first_word() -> None:
    with forwarding() as (client, server):
        server.send(b"220 ready\r\n")
        assert client.read_line() == b"220 ready\r\n"


def test_an_eof_is_handed_on_and_the_other_direction_stays() -> None:
    """The client has said everything, and waits for a long answer."""
    with forwarding() as (client, server):
        client.send(b"question")
        client.send_eof()
        assert server.read_all() == b"question"
        server.send(b"answer" * 100_000)
        server.send_eof()
        assert client.read_all() == b"answer" * 100_000


def test_an_eof_of_the_targets_is_handed_on_too() -> None:
    with forwarding() as (client, server):
        server.send(b"goodbye")
        server.send_eof()
        assert client.read_all() == b"goodbye"
        client.send(b"one thing more" * 100_000)
        client.send_eof()
        assert server.read_all() == b"one thing more" * 100_000


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_is_handed_on(who: str) -> None:
    """A connection that was cut must not look whole."""
    with forwarding() as (client, server):
        client.send(b"x")
        assert server.read(1) == b"x"
        ends, sees = (client, server) if who == "client" else (server, client)
        reset(ends)
        with pytest.raises(ConnectionResetError):
            sees.read(1)


def test_a_reset_is_handed_on_while_much_is_under_way() -> None:
    """Reading pauses then, and the reset is noticed all the same."""
    with forwarding() as (client, server):
        fill(client.socket)
        reset(server)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.read(1)


def fill(sock: socket.socket) -> int:
    """Send until nothing more is taken for a moment; return how much was."""
    sent = 0
    while select.select([], [sock], [], 0.3)[1]:
        sent += sock.send(bytes(65536), socket.MSG_DONTWAIT)
    return sent


def test_a_target_that_nobody_listens_on() -> None:
    """The client is reset, one line says why, and the next one is served."""
    with nobody_listens() as refusing, running_forwarder("--to", refusing) as program:
        for _ in range(2):
            # As early as in its `connect`, perhaps.
            with pytest.raises(ConnectionResetError), program.connect() as client:
                client.read(1)
        program.signal(signal.SIGTERM)
        status, out, errors = program.finish()
        assert (status, out) == (0, "")
        lines = errors.splitlines()
        assert len(lines) == 2
        for line in lines:
            assert re.fullmatch(r"tcp:127.0.0.1:\d+: all attempts to connect to .* failed", line)


@contextmanager
def running_forwarder(*arguments: str) -> Iterator[Example]:
    program = Example("portforward", *arguments)
    try:
        yield program
    finally:
        program.discard()


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("tcp:8008", "the port is missing"),
        ("nosuch:1", "unknown kind"),
        ("tls:a:1:trustRoots=/nosuch.pem", "No such file"),
    ],
)
def test_a_bad_target_is_one_clear_line(target: str, shown: str) -> None:
    """Before anything is served."""
    command = [sys.executable, "-m", "examples.portforward", "--listen", LOOPBACK]
    with running(*command, "--to", target) as program:
        status, out, errors = program.finish()
    assert (status, out) == (1, "")
    assert errors.startswith("error: ")
    assert shown in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_both_ends(number: int) -> None:
    """What has been taken is passed on before; the status is 0, and nothing is complained of."""
    with (
        Target() as target,
        example("portforward", "--to", target.text) as program,
        program.connect() as client,
        target.accept() as server,
    ):
        client.send(b"hello")
        assert server.read(5) == b"hello"
        program.signal(number)
        assert client.read_all() == b""
        assert server.read_all() == b""


def test_many_at_once_do_not_mix() -> None:
    with Target() as target, example("portforward", "--to", target.text) as program:
        clients = [program.connect() for _ in range(50)]
        for number, client in enumerate(clients):
            client.send(b"%05d" % number)
        servers = [target.accept() for _ in clients]
        for server in servers:
            server.send(server.read(5) * 2)
        for number, client in enumerate(clients):
            assert client.read(10) == b"%05d" % number * 2
        for each in (*clients, *servers):
            each.__exit__()


# Much of it


def test_a_bulk_transfer_both_ways_at_once_finishes() -> None:
    """To the echo example and back, with a reader that starts late: no memory is needed for it."""
    size = 48 * MEBIBYTE
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


# Inside of it


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
        peer = await target.accept()
        reader, writer = (peer, client) if slow == "target" else (client, peer)
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


async def test_both_ends_may_be_silent_for_hours(
    target: TCPSite, autojump_clock: MockClock
) -> None:
    async with open_server(Forwarder(parse_client_endpoint(target.text)), LOOPBACK) as server:
        client = dial(server.addresses[0])
        peer = await target.accept()
        await trio.sleep(50_000)
        for one, other in ((client, peer), (peer, client)):
            await one.send(b"still there")
            assert await other.receive_exactly(11) == b"still there"
        await client.aclose()
        await peer.receive_until_eof()
        await peer.aclose()


async def send_all(peer: SocketPeer, data: bytes) -> None:
    await peer.send(data)
    await peer.send_eof()


async def test_both_directions_full_at_once_do_not_deadlock(
    target: TCPSite, autojump_clock: MockClock
) -> None:
    """Nobody reads at first; then one end does, and then the other."""
    factory = Forwarder(parse_client_endpoint(target.text))
    sent = bytes(range(256)) * (16 * 1024)
    async with open_server(factory, LOOPBACK) as server:
        client = dial(server.addresses[0])
        peer = await target.accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, client, sent)
            nursery.start_soon(send_all, peer, sent)
            with real_time():
                await trio.testing.wait_all_tasks_blocked(0.2)
            assert await client.receive_until_eof() == sent
            assert await peer.receive_until_eof() == sent
        client.discard()


async def test_a_client_that_leaves_while_we_connect_is_not_waited_for(
    target: TCPSite,
) -> None:
    """The connection to the target is reset when it comes."""
    endpoint = Slow(target.port)
    factory = Forwarder(endpoint)
    async with open_server(factory, LOOPBACK) as server:
        client = dial(server.addresses[0])
        await endpoint.asked.wait()
        await client.reset()
        while server.connections:
            await trio.lowlevel.checkpoint()
        endpoint.go_on.set()
        peer = await target.accept()
        assert await peer.receive_all() == (b"", "reset")


async def test_what_comes_while_we_connect_is_not_lost(target: TCPSite) -> None:
    """It waits in the client's socket, its EOF too."""
    endpoint = Slow(target.port)
    async with open_server(Forwarder(endpoint), LOOPBACK) as server:
        client = dial(server.addresses[0])
        await client.send(b"early")
        await client.send_eof()
        await endpoint.asked.wait()
        await trio.testing.wait_all_tasks_blocked()
        endpoint.go_on.set()
        peer = await target.accept()
        assert await peer.receive_until_eof() == b"early"
        await peer.aclose()
        client.discard()


async def test_a_drain_does_not_wait_for_who_is_not_connected_yet(
    target: TCPSite, autojump_clock: MockClock
) -> None:
    endpoint = Slow(target.port)
    async with open_server(Forwarder(endpoint), LOOPBACK) as server:
        client = dial(server.addresses[0])
        await endpoint.asked.wait()
        await client.send_eof()
        await server.drain()
    assert trio.current_time() < 3
    assert await client.receive_until_eof() == b""
    client.discard()


class Slow(TCPClientEndpoint):
    """A target that answers when it is told to."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self.asked = trio.Event()
        self.go_on = trio.Event()

    async def open(self) -> trio.SocketStream:
        self.asked.set()
        await self.go_on.wait()
        return await super().open()
