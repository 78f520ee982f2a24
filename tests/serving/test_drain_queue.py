"""Who sits in the kernel's queue when a server is told to stop: rule 10, "accept what is queued".

A test connects, sends and stops the server in one go, without waiting: so nobody
can have been accepted before. Mostly not even the acceptor has begun. The report tells of
these as it does of those who were open.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import MORE_THAN_FITS, SocketPeer, small_listener
from tests.behaviour.tls_peers import server_context
from tests.endpoints.sockets import dial_unix
from tests.serving.conversations import LOOPBACK, dial, listens, outcome, settle
from tests.tls.client_side import Client, for_client
from tests.tls.over_wire import Speaker
from trioproto import DrainReport, Factory, Server, open_server, serve
from trioproto.endpoints import TCPServerEndpoint, TLSServerEndpoint
from trioproto.errors import ConnectionAborted, ServerCancelled, ServerDraining
from trioproto.framing import LineReceiver

HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.1 1111 2222\r\n"
TRUSTING = f"haproxy:trusted=127.0.0.0/8:{LOOPBACK}"
NOBODY = DrainReport(finished=0, cancelled=0, aborted=0)
MANY = 150
"""More than are accepted between two checkpoints: the rest is found by the sweep alone."""
REPLY = bytes(range(256)) * (MORE_THAN_FITS // 256)


class Answers(LineReceiver):
    """Answers each line; ``big`` with more than fits."""

    factory: Executes

    def line_received(self, line: bytes) -> Any:
        self.factory.executed.append(line)
        self.answer(line)

    def answer(self, line: bytes) -> None:
        self.transport.write(REPLY if line == b"big" else line.upper() + b"\r\n")


class Slow(Answers):
    async def line_received(self, line: bytes) -> None:
        self.factory.executed.append(line)
        await trio.sleep(3)
        self.answer(line)


class Executes(Factory[Any]):
    """Notes what was executed, and how many there were at once."""

    def __init__(self, protocol: Any = Answers, **settings: Any) -> None:
        super().__init__(protocol, **settings)
        self.executed: list[bytes] = []
        self.lost: list[object] = []
        self.peers: list[object] = []
        self.most = 0

    def build_protocol(self, peer: Any) -> Any:
        self.peers.append(peer)
        self.most = max(self.most, len(self.connections) + 1)
        return super().build_protocol(peer)


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def asking(address: Any, request: bytes) -> SocketPeer:
    """Connect and ask, without waiting."""
    peer = dial(address)
    peer.raw.sendall(request)
    return peer


async def outcomes(peers: list[SocketPeer]) -> list[tuple[bytes, str]]:
    """What each gets, all at once, within a minute of virtual time; then they close."""
    got: dict[SocketPeer, tuple[bytes, str]] = {}

    async def collect(peer: SocketPeer) -> None:
        got[peer] = await outcome(peer)
        peer.discard()

    async with trio.open_nursery() as nursery:
        for peer in peers:
            nursery.start_soon(collect, peer)
    return [got[peer] for peer in peers]


# Plain


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("count", [1, 2, MANY])
async def test_who_is_queued_is_accepted_and_answered(
    autojump_clock: MockClock, count: int, *, runs: bool
) -> None:
    """One, or more than are accepted in one burst; by an acceptor that waits, or is new."""
    factory = Executes()
    async with open_server(factory, LOOPBACK) as server:
        if runs:
            await settle()
        peers = [asking(server.addresses[0], b"%d\r\n" % each) for each in range(count)]
        server.stop()
        assert await outcomes(peers) == [(b"%d\r\n" % each, "eof") for each in range(count)]
        assert await server.drain() == DrainReport(finished=count, cancelled=0, aborted=0)
    assert sorted(factory.executed) == sorted(b"%d" % each for each in range(count))
    assert trio.current_time() < 1


async def test_a_reply_larger_than_any_buffer_is_whole(autojump_clock: MockClock) -> None:
    async with open_server(Executes(), small_listener()) as server:
        peer = asking(server.addresses[0], b"big\r\n")
        server.stop()
        assert await outcomes([peer]) == [(REPLY, "eof")]


async def test_a_request_in_many_pieces_is_answered_if_all_have_come(
    autojump_clock: MockClock,
) -> None:
    """More than one read of them."""
    lines = [b"%05d" % each for each in range(20_000)]
    factory = Executes(max_buffered=64 << 20)
    async with open_server(factory, LOOPBACK) as server:
        peer = dial(server.addresses[0])
        peer.raw.setblocking(False)
        request = b"".join(line + b"\r\n" for line in lines)
        sent = peer.raw.send(request)
        server.stop()
        whole = lines[: sent // 7]
        expected = b"".join(line + b"\r\n" for line in whole)
        assert await outcomes([peer]) == [(expected, "eof")]
    assert factory.executed == whole
    assert sent > 65536


async def test_half_a_request_is_not_executed_and_sees_a_clean_end(
    autojump_clock: MockClock,
) -> None:
    factory = Executes()
    async with open_server(factory, LOOPBACK) as server:
        peer = asking(server.addresses[0], b"whole\r\nhal")
        server.stop()
        while not factory.executed:
            await trio.lowlevel.checkpoint()
        await settle()
        await peer.send(b"f\r\n")
        assert await outcomes([peer]) == [(b"WHOLE\r\n", "eof")]
    assert factory.executed == [b"whole"]


async def test_who_has_said_nothing_sees_a_clean_end(autojump_clock: MockClock) -> None:
    async with open_server(Executes(), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(3)]
        server.stop()
        assert await outcomes(peers) == [(b"", "eof")] * 3
    assert trio.current_time() < 1


async def test_a_slow_answer_has_the_grace(autojump_clock: MockClock) -> None:
    async with open_server(Executes(Slow), LOOPBACK) as server:
        peer = asking(server.addresses[0], b"slow\r\n")
        server.stop()
        assert await outcomes([peer]) == [(b"SLOW\r\n", "eof")]
    assert 3 <= trio.current_time() < 4


async def test_who_was_queued_and_does_not_finish_is_bounded(autojump_clock: MockClock) -> None:
    async with open_server(Executes(Slow), LOOPBACK) as server:
        peer = asking(server.addresses[0], b"slow\r\n")
        report = await server.drain(grace=2, force=1)
        assert await outcomes([peer]) == [(b"", "reset")]
    assert report == DrainReport(finished=0, cancelled=1, aborted=0)
    assert trio.current_time() < 3.5


async def test_one_that_has_gone_again_does_not_keep_out_who_comes_after_it(
    autojump_clock: MockClock,
) -> None:
    async with open_server(Executes(), LOOPBACK) as server:
        first = asking(server.addresses[0], b"first\r\n")
        for _ in range(3):
            await_less_reset(asking(server.addresses[0], b"gone\r\n"))
        last = asking(server.addresses[0], b"last\r\n")
        server.stop()
        assert await outcomes([first, last]) == [(b"FIRST\r\n", "eof"), (b"LAST\r\n", "eof")]


def await_less_reset(peer: SocketPeer) -> None:
    """Reset without waiting."""
    peer.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.raw.close()


async def test_who_has_asked_and_half_closed_is_answered(autojump_clock: MockClock) -> None:
    async with open_server(Executes(), LOOPBACK) as server:
        peer = asking(server.addresses[0], b"bye\r\n")
        peer.raw.shutdown(socket.SHUT_WR)
        server.stop()
        assert await outcomes([peer]) == [(b"BYE\r\n", "eof")]
        assert await server.drain() == DrainReport(finished=1, cancelled=0, aborted=0)


async def test_after_the_sweep_nobody_is_listened_to(autojump_clock: MockClock) -> None:
    async with open_server(Executes(Slow), LOOPBACK) as server:
        peer = asking(server.addresses[0], b"slow\r\n")
        server.stop()
        await settle()
        assert not listens(server.addresses[0])
        assert await outcomes([peer]) == [(b"SLOW\r\n", "eof")]


async def test_a_queue_longer_than_the_setting_is_accepted_whole(
    autojump_clock: MockClock,
) -> None:
    """A ready-made listener, or an inherited one, has a backlog of its own."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2 * MANY)
    listening.setblocking(False)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
    async with open_server(Executes(backlog=2), listener) as server:
        peers = [asking(server.addresses[0], b"%d\r\n" % each) for each in range(MANY)]
        server.stop()
        assert await outcomes(peers) == [(b"%d\r\n" % each, "eof") for each in range(MANY)]


async def test_the_kernel_queues_one_more_than_was_asked_for(autojump_clock: MockClock) -> None:
    async with open_server(Executes(backlog=MANY - 1), LOOPBACK) as server:
        peers = [asking(server.addresses[0], b"%d\r\n" % each) for each in range(MANY)]
        server.stop()
        assert await outcomes(peers) == [(b"%d\r\n" % each, "eof") for each in range(MANY)]


# Limits


@pytest.mark.parametrize("at_limit", ["wait", "refuse"])
async def test_no_more_are_accepted_than_there_are_places(
    autojump_clock: MockClock, at_limit: str
) -> None:
    """The rest was never accepted; that is reset, as the kernel does it."""
    factory = Executes(Slow, max_connections=3, at_limit=at_limit)
    async with open_server(factory, LOOPBACK) as server:
        peers = [asking(server.addresses[0], b"%d\r\n" % each) for each in range(5)]
        server.stop()
        got = await outcomes(peers)
    answered = [(b"%d\r\n" % each, "eof") for each in range(3)]
    assert got == [*answered, (b"", "reset"), (b"", "reset")]
    assert sorted(factory.executed) == [b"0", b"1", b"2"]
    assert factory.most == 3


@pytest.mark.parametrize("queued", [1, 2, 3])
async def test_the_places_that_are_taken_count(autojump_clock: MockClock, queued: int) -> None:
    """Of three one is taken: two are left, for one, two or three."""
    factory = Executes(Slow, max_connections=3)
    async with open_server(factory, LOOPBACK) as server:
        here = asking(server.addresses[0], b"here\r\n")
        await settle()
        peers = [asking(server.addresses[0], b"%d\r\n" % each) for each in range(queued)]
        server.stop()
        got = await outcomes([here, *peers])
    answered = [(b"HERE\r\n", "eof"), (b"0\r\n", "eof"), (b"1\r\n", "eof")]
    assert got == [*answered, (b"", "reset")][: queued + 1]
    assert factory.most == min(3, queued + 1)


async def test_a_full_server_stops_though_some_wait_in_the_queue(
    autojump_clock: MockClock,
) -> None:
    """Its acceptor waits for a place at that time."""
    factory = Executes(Slow, max_connections=1)
    async with open_server(factory, LOOPBACK) as server:
        here = asking(server.addresses[0], b"here\r\n")
        await settle()
        late = asking(server.addresses[0], b"late\r\n")
        await settle()
        server.stop()
        assert await outcomes([here, late]) == [(b"HERE\r\n", "eof"), (b"", "reset")]
    assert factory.executed == [b"here"]
    assert trio.current_time() < 4


async def test_the_limit_of_a_peer_counts_in_the_sweep(autojump_clock: MockClock) -> None:
    factory = Executes(Slow, max_per_peer=2, refusal=b"too many")
    async with open_server(factory, LOOPBACK) as server:
        peers = [asking(server.addresses[0], b"x\r\n") for _ in range(4)]
        server.stop()
        got = await outcomes(peers)
        assert await server.drain() == DrainReport(finished=2, cancelled=0, aborted=0)
    assert sorted(got) == [(b"X\r\n", "eof")] * 2 + [(b"too many", "eof")] * 2


# Several listeners


async def test_the_queues_of_all_listeners_are_swept(
    autojump_clock: MockClock, folder: Path
) -> None:
    path = folder / "x"
    async with open_server(Executes(), LOOPBACK, LOOPBACK, f"unix:{path}") as server:
        peers = [
            asking(address, b"%d\r\n" % each)
            for each in range(2)
            for address in server.addresses[:2]
        ]
        for each in range(2):
            peers.append(dial_unix(path))
            peers[-1].raw.sendall(b"u%d\r\n" % each)
        server.stop()
        got = await outcomes(peers)
    replies = [b"0\r\n", b"0\r\n", b"1\r\n", b"1\r\n", b"U0\r\n", b"U1\r\n"]
    assert got == [(reply, "eof") for reply in replies]
    assert not path.exists()


async def test_the_limit_is_exact_over_the_queues_of_all_listeners(
    autojump_clock: MockClock,
) -> None:
    factory = Executes(Slow, max_connections=3)
    async with open_server(factory, LOOPBACK, LOOPBACK) as server:
        peers = [asking(address, b"x\r\n") for _ in range(3) for address in server.addresses]
        server.stop()
        got = await outcomes(peers)
    assert sorted(got) == [(b"", "reset")] * 3 + [(b"X\r\n", "eof")] * 3
    assert factory.most == 3


# TLS and PROXY headers


def over_tls() -> TLSServerEndpoint:
    return TLSServerEndpoint(TCPServerEndpoint(0, "127.0.0.1"), server_context())


def greeting(server: Server[Any], version: str = "TLSv1.3") -> Speaker:
    """Connect, and say hello, without waiting."""
    client = Client(for_client(version))
    peer = dial(server.addresses[0])
    peer.raw.sendall(client.output())
    return Speaker(peer, client)


async def ask_at_once(speaker: Speaker, request: bytes) -> bytes:
    """Shake hands, and ask together with the last flight."""
    client = speaker.client
    while not client.shaken:
        assert await speaker.hear(), (speaker.was_reset, client.error)
        if not client.shaken:
            await speaker.tell()
    await speaker.peer.send(client.output() + client.encrypt(request))
    reply = await speaker.receive_all()
    assert client.ended
    assert not speaker.was_reset
    speaker.peer.discard()
    return reply


async def test_a_queued_hello_is_answered_and_so_is_what_comes_with_its_last_flight(
    autojump_clock: MockClock,
) -> None:
    """The client has begun to speak, as one has that was accepted just before."""
    factory = Executes()
    async with open_server(factory, over_tls()) as server:
        speakers = [greeting(server) for _ in range(3)]
        server.stop()
        for speaker in speakers:
            assert await ask_at_once(speaker, b"hi\r\n") == b"HI\r\n"
    assert factory.executed == [b"hi"] * 3
    assert trio.current_time() < 1


async def test_a_queued_hello_that_is_not_followed_up_is_bounded_by_the_grace(
    autojump_clock: MockClock,
) -> None:
    async with open_server(Executes(handshake_timeout=None), over_tls()) as server:
        speaker = greeting(server)
        report = await server.drain(grace=5, force=1)
        assert trio.current_time() < 6.5
        speaker.peer.discard()
    assert report == NOBODY


async def test_a_queued_peer_without_a_hello_is_closed_and_counts_for_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_server(Executes(), over_tls()) as server:
        peer = dial(server.addresses[0])
        server.stop()
        assert (await outcome(peer))[1] == "eof"
        report = await server.drain()
        peer.discard()
    assert report == NOBODY
    assert report.connections == ()


async def test_a_queued_peer_without_a_hello_that_lingers_counts_for_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_server(Executes(), over_tls()) as server:
        peer = dial(server.addresses[0])
        report = await server.drain()
        peer.discard()
    assert report.connections == ()
    assert report == NOBODY


async def test_a_queued_header_with_its_request_is_answered(autojump_clock: MockClock) -> None:
    factory = Executes()
    async with open_server(factory, TRUSTING) as server:
        peer = asking(server.addresses[0], HEADER + b"hi\r\n")
        server.stop()
        assert await outcomes([peer]) == [(b"HI\r\n", "eof")]
    assert str(factory.peers) == "[TCPAddress(host='192.0.2.1', port=1111)]"


async def test_a_request_that_is_longer_than_what_is_read_with_the_header_is_answered(
    autojump_clock: MockClock,
) -> None:
    line = b"x" * 10_000
    async with open_server(Executes(), TRUSTING) as server:
        peer = asking(server.addresses[0], HEADER + line + b"\r\n")
        server.stop()
        assert await outcomes([peer]) == [(line.upper() + b"\r\n", "eof")]


@pytest.mark.parametrize("sent", [b"", HEADER[:1], HEADER[:-1]])
async def test_half_a_queued_header_sees_a_clean_end(
    autojump_clock: MockClock, sent: bytes
) -> None:
    async with open_server(Executes(), TRUSTING) as server:
        peer = asking(server.addresses[0], sent)
        server.stop()
        assert await outcomes([peer]) == [(b"", "eof")]
        assert (await server.drain()).connections == ()
    assert trio.current_time() < 1


# Suspended, and cancelled


@pytest.mark.parametrize("at_limit", ["wait", "refuse"])
async def test_a_suspended_server_that_is_stopped_accepts_who_was_queued_meanwhile(
    autojump_clock: MockClock, at_limit: str
) -> None:
    factory = Executes(at_limit=at_limit)
    async with open_server(factory, LOOPBACK) as server:
        server.suspend()
        peers = [asking(server.addresses[0], b"%d\r\n" % each) for each in range(3)]
        await trio.sleep(1)
        assert factory.executed == []
        server.stop()
        assert await outcomes(peers) == [(b"%d\r\n" % each, "eof") for each in range(3)]
    assert trio.current_time() < 2


@pytest.mark.parametrize("at_limit", ["wait", "refuse"])
async def test_a_full_server_that_is_suspended_and_stopped_takes_in_no_more(
    autojump_clock: MockClock, at_limit: str
) -> None:
    """Its acceptor is woken by the end of the suspension, and finds no place."""
    factory = Executes(Slow, max_connections=1, at_limit=at_limit)
    async with open_server(factory, LOOPBACK, LOOPBACK) as server:
        here = asking(server.addresses[0], b"here\r\n")
        await settle()
        server.suspend()
        late = [asking(address, b"late\r\n") for address in server.addresses]
        await settle()
        server.stop()
        got = await outcomes([here, *late])
    assert got == [(b"HERE\r\n", "eof"), (b"", "reset"), (b"", "reset")]
    assert factory.executed == [b"here"]
    assert factory.most == 1


async def test_a_cancelled_server_accepts_nobody(autojump_clock: MockClock) -> None:
    factory = Executes()
    peers: list[SocketPeer] = []
    with trio.CancelScope() as scope:
        async with open_server(factory, LOOPBACK) as server:
            peers += [asking(server.addresses[0], b"x\r\n") for _ in range(3)]
            scope.cancel()
            await trio.sleep_forever()
    assert await outcomes(peers) == [(b"", "reset")] * 3
    assert factory.executed == []
    assert trio.current_time() < 1


async def test_a_server_whose_block_fails_accepts_nobody(autojump_clock: MockClock) -> None:
    factory = Executes()
    peers: list[SocketPeer] = []

    async def fail() -> None:
        async with open_server(factory, LOOPBACK) as server:
            peers.append(asking(server.addresses[0], b"x\r\n"))
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await outcomes(peers) == [(b"", "reset")]
    assert factory.executed == []


async def test_a_drain_that_is_cancelled_from_outside_ends_who_was_swept_at_once(
    autojump_clock: MockClock,
) -> None:
    class Notes(Slow):
        def connection_lost(self, reason: object) -> None:
            self.factory.lost.append(type(reason))

    factory = Executes(Notes)
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, factory, LOOPBACK)
        await settle()
        peers = [asking(server.addresses[0], b"x\r\n") for _ in range(2)]
        server.stop()
        await settle()
        assert factory.executed == [b"x"] * 2
        nursery.cancel_scope.cancel()
    assert factory.lost == [ServerCancelled] * 2
    assert await outcomes(peers) == [(b"", "reset")] * 2
    assert trio.current_time() < 1


async def test_whoever_is_swept_is_told_of_the_drain(autojump_clock: MockClock) -> None:
    class Notes(Answers):
        def connection_lost(self, reason: object) -> None:
            self.factory.lost.append(type(reason))

    factory = Executes(Notes)
    async with open_server(factory, LOOPBACK) as server:
        peer = asking(server.addresses[0], b"x\r\n")
        server.stop()
        assert await outcomes([peer]) == [(b"X\r\n", "eof")]
    assert factory.lost == [ServerDraining]


async def test_whoever_is_swept_and_ends_at_once_is_reported(autojump_clock: MockClock) -> None:
    """Before anybody could look who is open."""

    class EndsAtOnce(Answers):
        def connection_made(self) -> None:
            self.transport.abort()

    async with open_server(Executes(EndsAtOnce), LOOPBACK) as server:
        peer = asking(server.addresses[0], b"x\r\n")
        server.stop()
        assert await outcomes([peer]) == [(b"", "reset")]
        report = await server.drain()
    assert report == DrainReport(finished=1, cancelled=0, aborted=0)
    assert [type(each.reason) for each in report.connections] == [ConnectionAborted]
