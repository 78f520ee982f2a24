"""What a drain counts, and what it does, with connections that are not open yet."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from tests.behaviour.drivers import SocketPeer
from tests.behaviour.tls_peers import server_context
from tests.serving.conversations import LOOPBACK, Greeter, dial, outcome, settle
from tests.tls.client_side import Client
from tests.tls.over_wire import Speaker
from trioproto import DrainReport, Factory, Server, open_server
from trioproto.endpoints import TCPServerEndpoint, TLSServerEndpoint

TRUSTING = f"haproxy:trusted=127.0.0.0/8:{LOOPBACK}"
HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.1 1111 2222\r\n"


class Stubborn(Greeter):
    """Waits for ever in its first callback."""

    async def connection_made(self) -> Any:
        super().connection_made()
        await trio.sleep_forever()


def over_tls() -> TLSServerEndpoint:
    return TLSServerEndpoint(TCPServerEndpoint(0, "127.0.0.1"), server_context())


def dial_tls(server: Server[Any]) -> Speaker:
    return Speaker(dial(server.addresses[0]), Client())


async def greeted(server: Server[Any], count: int) -> list[Speaker]:
    """Connect with so many that shake hands."""
    speakers = [dial_tls(server) for _ in range(count)]
    for speaker in speakers:
        await speaker.shake()
        assert await speaker.receive_exactly(5) == b"hello"
    return speakers


async def in_handshake(server: Server[Any]) -> Speaker:
    """Connect with one that says hello, hears the answer, and does not go on."""
    speaker = dial_tls(server)
    await speaker.tell()
    await speaker.hear()
    return speaker


async def say_farewell(speakers: list[Speaker]) -> None:
    for speaker in speakers:
        await speaker.receive_all()
        speaker.peer.discard()


async def test_a_handshake_that_never_ends_counts_for_nothing(autojump_clock: MockClock) -> None:
    """Those that were open are all that is told of, each once."""
    factory = Factory(Greeter, handshake_timeout=None)
    async with open_server(factory, over_tls()) as server:
        speakers = await greeted(server, 2)
        for _ in range(3):
            await in_handshake(server)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say_farewell, speakers)
            report = await server.drain(grace=5, force=1)
    assert report == DrainReport(finished=2, cancelled=0, aborted=0)


async def test_a_handshake_that_ends_during_a_drain_counts_as_well(
    autojump_clock: MockClock,
) -> None:
    """Its protocol is told of the drain, does not end by itself, and is cancelled."""
    protocols = iter([Greeter(), Stubborn()])
    async with open_server(Factory(lambda: next(protocols)), over_tls()) as server:
        speakers = await greeted(server, 1)
        late = await in_handshake(server)
        reports: list[DrainReport] = []

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain_into, reports, server)
            await settle()
            await late.shake()
            assert await late.receive_exactly(5) == b"hello"
            await say_farewell(speakers)
    assert reports == [DrainReport(finished=1, cancelled=1, aborted=0)]


async def test_a_header_that_never_ends_counts_for_nothing(autojump_clock: MockClock) -> None:
    factory = Factory(Greeter, handshake_timeout=None)
    async with open_server(factory, TRUSTING) as server:
        good, late = dial(server.addresses[0]), dial(server.addresses[0])
        await good.send(HEADER)
        assert await good.receive_exactly(5) == b"hello"
        await late.send(HEADER[:20])
        await settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang_up, good)
            report = await server.drain(grace=5, force=5)
        assert trio.current_time() < 6
    assert report == DrainReport(finished=1, cancelled=0, aborted=0)


async def drain_into(reports: list[DrainReport], server: Server[Any]) -> None:
    reports.append(await server.drain(grace=5, force=5))


async def hang_up(peer: SocketPeer) -> None:
    assert await outcome(peer) == (b"", "eof")
    peer.discard()


async def test_a_header_that_ends_during_a_drain_counts_as_well(
    autojump_clock: MockClock,
) -> None:
    protocols = iter([Greeter(), Stubborn()])
    async with open_server(Factory(lambda: next(protocols)), TRUSTING) as server:
        good, late = dial(server.addresses[0]), dial(server.addresses[0])
        await good.send(HEADER)
        assert await good.receive_exactly(5) == b"hello"
        await late.send(HEADER[:20])
        await settle()
        reports: list[DrainReport] = []

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain_into, reports, server)
            await settle()
            await late.send(HEADER[20:])
            assert await late.receive_exactly(5) == b"hello"
            await hang_up(good)
    assert reports == [DrainReport(finished=1, cancelled=1, aborted=0)]


async def test_who_has_sent_nothing_of_its_header_is_closed_by_a_drain_and_not_reset(
    autojump_clock: MockClock,
) -> None:
    """A client that only was about to speak has done nothing wrong."""
    async with open_server(Factory(Greeter), TRUSTING) as server:
        peer = dial(server.addresses[0])
        await settle()
        server.stop()
        assert await outcome(peer) == (b"", "eof")
        peer.discard()
        await server.wait_closed()
        assert trio.current_time() < 1
