"""All limits are on, each of one: whatever way a connection goes, the next one is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import OverTLS, SocketPeer
from tests.serving.conversations import LOOPBACK, Greeter, dial, settle
from tests.serving.limited import NOTHING, admission_of, check_at_rest, held
from tests.tls.over_wire import Speaker
from trioproto import Factory, open_server
from trioproto.endpoints import ProxyServerEndpoint, ServerEndpoint, TCPServerEndpoint
from trioproto.layers.networks import parse_networks

HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.1 1111 2222\r\n"
TRUSTED = parse_networks("127.0.0.0/8")
PLAIN = TCPServerEndpoint(0, "127.0.0.1")
Way = Callable[[SocketPeer], Awaitable[None]]


class BoomError(Exception):
    """What the protocols raise here."""


class RaisesAtFirst(Greeter):
    def connection_made(self) -> Any:
        raise BoomError


class RaisesOnData(Greeter):
    def data_received(self, data: bytes) -> Any:
        raise BoomError


class RaisesOnEOF(Greeter):
    def eof_received(self) -> Any:
        raise BoomError


class RaisesAtTheEnd(Greeter):
    def connection_lost(self, reason: object) -> Any:
        raise BoomError


class RaisesWhenDrained(Greeter):
    def quiesce(self) -> Any:
        raise BoomError


class RaisesOnTimeout(Greeter):
    def timed_out(self) -> Any:
        raise BoomError


class RaisesWhenFull(Greeter):
    def data_received(self, data: bytes) -> Any:
        self.transport.write(bytes(8 << 20))

    def pause_writing(self) -> Any:
        raise BoomError


class RaisesInATask(Greeter):
    def data_received(self, data: bytes) -> Any:
        self.transport.start_soon(self.fail)

    async def fail(self) -> None:
        raise BoomError


class AsyncRaisesAtFirst(Greeter):
    async def connection_made(self) -> Any:
        await trio.lowlevel.checkpoint()
        raise BoomError


class AsyncRaisesOnData(Greeter):
    async def data_received(self, data: bytes) -> Any:
        await trio.lowlevel.checkpoint()
        raise BoomError


class AsyncRaisesAtTheEnd(Greeter):
    async def connection_lost(self, reason: object) -> Any:
        await trio.lowlevel.checkpoint()
        raise BoomError


class NeverEnds(Greeter):
    async def data_received(self, data: bytes) -> Any:
        await trio.sleep_forever()

    async def connection_lost(self, reason: object) -> Any:
        await trio.sleep_forever()


class ClosesAtOnce(Greeter):
    def connection_made(self) -> Any:
        self.transport.close()


class AbortsAtOnce(Greeter):
    def connection_made(self) -> Any:
        self.transport.abort()


def raises() -> Any:
    raise BoomError


def refuses() -> Any:
    return None


def is_none() -> Any:
    return "no protocol"


async def talk(peer: SocketPeer) -> None:
    await peer.send(b"go")
    await trio.sleep(1)


async def end(peer: SocketPeer) -> None:
    await peer.send_eof()


async def talk_and_end(peer: SocketPeer) -> None:
    await peer.send(b"go")
    await settle()
    await peer.send_eof()


async def give_up(peer: SocketPeer) -> None:
    await peer.aclose()


async def reset(peer: SocketPeer) -> None:
    await peer.reset()


async def talk_and_reset(peer: SocketPeer) -> None:
    await peer.send(b"go")
    await settle()
    await peer.reset()


async def stay_silent(peer: SocketPeer) -> None:
    """Longer than any deadline."""
    await trio.sleep(200)


class Limited(Factory[Any]):
    """One of everything; the first connection is built by another than the later ones."""

    max_connections = 1
    max_per_peer = 1
    max_handshakes = 1

    def __init__(self, first: Callable[[], Any], **settings: Any) -> None:
        super().__init__(**settings)
        self.makers = [first]

    def build_protocol(self, peer: object) -> Any:
        return self.makers.pop()() if self.makers else Greeter()


async def check_way(
    first: Callable[[], Any], way: Way, endpoint: ServerEndpoint, begin: Way, **settings: Any
) -> None:
    """Have one connection begin and go its way; see that nothing is held, and serve another."""
    factory = Limited(first, **settings)
    async with open_server(factory, endpoint, grace=0) as server:
        admission = admission_of(factory)
        peer = dial(server.addresses[0])
        await settle()
        with suppress(OSError, AssertionError):  # it may be cut off
            await begin(peer)
            await settle()
            await way(peer)
        await peer.aclose()
        await settle()
        await trio.sleep(30)
        check_at_rest(factory, admission)
        factory.makers.clear()
        last = dial(server.addresses[0])
        with trio.fail_after(5):
            await begin(last)
            await last.receive_some()
        assert admission.places.borrowed_tokens == 1
        assert admission.handshakes.borrowed_tokens == 0
        assert list(admission.peers.values()) == [1]
        await last.aclose()
        await settle()
        await trio.sleep(30)
        check_at_rest(factory, admission)


async def plainly(peer: SocketPeer) -> None:
    """Begin to talk at once."""


async def over_tls(peer: SocketPeer) -> None:
    await Speaker(peer).shake()


async def behind_a_proxy(peer: SocketPeer) -> None:
    await peer.send(HEADER)


async def over_tls_behind_a_proxy(peer: SocketPeer) -> None:
    await peer.send(HEADER)
    await Speaker(peer).shake()


BEGINNINGS: dict[Way, ServerEndpoint] = {
    plainly: PLAIN,
    over_tls: OverTLS(LOOPBACK),
    behind_a_proxy: ProxyServerEndpoint(PLAIN, TRUSTED),
    over_tls_behind_a_proxy: ProxyServerEndpoint(OverTLS(LOOPBACK), TRUSTED),
}


@pytest.mark.parametrize("begin", BEGINNINGS)
@pytest.mark.parametrize("way", [end, give_up, reset, talk_and_end, talk_and_reset, stay_silent])
@pytest.mark.parametrize(
    "first",
    [
        Greeter,
        RaisesAtFirst,
        RaisesOnData,
        RaisesOnEOF,
        RaisesAtTheEnd,
        RaisesOnTimeout,
        RaisesWhenFull,
        RaisesInATask,
        AsyncRaisesAtFirst,
        AsyncRaisesOnData,
        AsyncRaisesAtTheEnd,
        NeverEnds,
        ClosesAtOnce,
        AbortsAtOnce,
        raises,
        refuses,
        is_none,
    ],
)
async def test_all_is_given_back(
    autojump_clock: MockClock,
    logged_errors: list[Any],
    first: Callable[[], Any],
    way: Way,
    begin: Way,
) -> None:
    settings = {"callback_timeout": 5}
    await check_way(first, way, BEGINNINGS[begin], begin, **settings)


@pytest.mark.parametrize("first", [Greeter, NeverEnds, RaisesWhenDrained])
async def test_all_is_given_back_by_one_that_is_too_old(
    autojump_clock: MockClock, logged_errors: list[Any], first: Callable[[], Any]
) -> None:
    await check_way(first, stay_silent, PLAIN, plainly, max_age=5, idle_timeout=None)


# Before there is a protocol


async def send_rubbish(peer: SocketPeer) -> None:
    await peer.send(b"rubbish\r\n" * 100)


async def send_half_a_header(peer: SocketPeer) -> None:
    await peer.send(HEADER[:20])
    await trio.sleep(20)


async def send_half_a_header_and_end(peer: SocketPeer) -> None:
    await peer.send(HEADER[:20])
    await peer.send_eof()


async def send_a_header_and_rubbish(peer: SocketPeer) -> None:
    await peer.send(HEADER + b"rubbish")


async def send_a_header_and_half_a_handshake(peer: SocketPeer) -> None:
    await peer.send(HEADER)
    await Speaker(peer).tell()
    await trio.sleep(20)


@pytest.mark.parametrize("begin", list(BEGINNINGS)[1:])
@pytest.mark.parametrize(
    "way",
    [
        end,
        give_up,
        reset,
        stay_silent,
        send_rubbish,
        send_half_a_header,
        send_half_a_header_and_end,
        send_a_header_and_rubbish,
        send_a_header_and_half_a_handshake,
    ],
)
async def test_all_is_given_back_by_who_does_not_get_so_far(
    autojump_clock: MockClock, logged_errors: list[Any], way: Way, begin: Way
) -> None:
    begun = False

    async def begin_the_second(peer: SocketPeer) -> None:
        nonlocal begun
        if begun:
            await begin(peer)
        begun = True

    await check_way(Greeter, way, BEGINNINGS[begin], begin_the_second)
    assert not any(record.exc_info for record in logged_errors)


class NoContext(ServerEndpoint):
    """Has nothing to make TLS of."""

    text = "no context"

    async def bind(self) -> Any:
        (bound,) = await PLAIN.bind()
        bound.opening = type(bound.opening)(layers=raises, trusted=None)
        return [bound]


async def test_all_is_given_back_if_there_are_no_layers_to_be_made(
    autojump_clock: MockClock, logged_errors: list[Any]
) -> None:
    factory = Limited(Greeter)
    async with open_server(factory, NoContext()) as server:
        for _ in range(3):
            peer = dial(server.addresses[0])
            assert await peer.receive_all() == (b"", "reset")
        check_at_rest(factory, admission_of(factory))
    assert len(logged_errors) == 3


# From outside


@pytest.mark.parametrize("begin", BEGINNINGS)
@pytest.mark.parametrize("half_way", [True, False])
@pytest.mark.parametrize("how", ["cancel", "drain", "error"])
async def test_all_is_given_back_at_the_servers_end(
    autojump_clock: MockClock, begin: Way, half_way: bool, how: str
) -> None:
    factory = Limited(NeverEnds)
    with trio.CancelScope() as scope, suppress(BoomError):
        async with open_server(factory, BEGINNINGS[begin]) as server:
            admission = admission_of(factory)
            peer = dial(server.addresses[0])
            await settle()
            if not half_way:
                await begin(peer)
            await settle()
            assert held(admission) != NOTHING
            late = dial(server.addresses[0])
            await settle()
            if how == "drain":
                await server.drain(grace=3, force=1)
            elif how == "cancel":
                scope.cancel()
                await trio.lowlevel.checkpoint()
            else:
                raise BoomError
    check_at_rest(factory, admission)
    await peer.aclose()
    await late.aclose()
