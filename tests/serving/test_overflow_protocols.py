"""Overflow protocols: what speaks to a peer that is refused, and how it may fail."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import MORE_THAN_FITS, OverTLS, small_listener
from tests.serving.conversations import LOOPBACK, Echo, dial, settle
from tests.serving.limited import REFUSAL, Held, TriesLater, admission_of, ends, held
from tests.serving.test_refusals import Babbles, KeepsOpen, Silent, Sleeps, full
from tests.tls.over_wire import Speaker
from trioproto import Protocol
from trioproto.errors import ConnectionClosed


async def test_an_overflow_protocol_speaks_for_the_factory_that_is_served(
    autojump_clock: MockClock,
) -> None:
    seen: list[Any] = []

    class Overflow(TriesLater):
        def connection_made(self) -> None:
            seen.append((self.factory, self in self.factory.connections, self.transport.peer))
            super().connection_made()

        def connection_lost(self, reason: ConnectionClosed) -> None:
            seen.append(type(reason).__name__)

    async with full(Overflow) as (factory, server):
        refused = dial(server.addresses[0])
        assert await ends(refused) == (REFUSAL, "eof")
        await refused.aclose()
        await settle()
        ((speaks_for, counted, peer), reason) = seen
        assert speaks_for is factory
        assert not counted
        assert peer.host == "127.0.0.1"
        assert reason == "ConnectionDone"


async def test_an_overflow_protocol_may_take_its_time_and_ask_the_peer(
    autojump_clock: MockClock,
) -> None:
    class Asks(Protocol):
        async def connection_made(self) -> None:
            await trio.sleep(0.5)
            self.transport.write(b"who?")

        async def data_received(self, data: bytes) -> None:
            await trio.sleep(0.5)
            self.transport.write(b"no, " + data)
            self.transport.close()

    async with full(Asks, refusal_timeout=2) as (_, server):
        refused = dial(server.addresses[0])
        assert await refused.receive_exactly(4) == b"who?"
        await refused.send(b"me")
        assert await ends(refused) == (b"no, me", "eof")
        await refused.aclose()


async def test_an_overflow_protocol_may_switch_to_another(autojump_clock: MockClock) -> None:
    factories: list[Any] = []

    class Second(TriesLater):
        def connection_made(self) -> None:
            factories.append(self.factory)
            super().connection_made()

    class First(Protocol):
        def connection_made(self) -> None:
            self.transport.switch_protocol(Second())

    async with full(First) as (factory, server):
        refused = dial(server.addresses[0])
        assert await ends(refused) == (REFUSAL, "eof")
        assert factories == [factory]
        await refused.aclose()


@pytest.mark.parametrize("kind", [Silent, Sleeps, KeepsOpen, Babbles])
@pytest.mark.parametrize("over_tls", [False, True])
async def test_no_overflow_protocol_holds_its_place_for_long(
    autojump_clock: MockClock, logged_errors: list[Any], kind: type[Protocol], over_tls: bool
) -> None:
    endpoint = OverTLS(LOOPBACK) if over_tls else LOOPBACK
    async with full(kind, endpoint) as (factory, server):
        peers = [dial(server.addresses[0]) for _ in range(3)]
        if over_tls:
            speakers = [Speaker(peer) for peer in peers]
            for speaker in speakers:
                await speaker.shake()
        await settle()
        assert held(admission_of(factory)).refusals == 3
        if kind is KeepsOpen and not over_tls:
            await peers[0].send_eof()
        await trio.sleep(4)
        assert held(admission_of(factory)).refusals == 0
    assert not any(record.exc_info for record in logged_errors)


async def test_a_talk_with_a_peer_that_is_refused_comes_to_an_end(
    autojump_clock: MockClock,
) -> None:
    async with full(Echo) as (factory, server):
        refused = dial(server.addresses[0])
        for _ in range(20):
            with suppress(OSError):
                await refused.send(b"and another thing")
            await trio.sleep(0.2)
        assert held(admission_of(factory)).refusals == 0


async def test_a_long_message_to_a_peer_that_does_not_read_comes_to_an_end(
    autojump_clock: MockClock,
) -> None:
    async with full(bytes(MORE_THAN_FITS), small_listener()) as (factory, server):
        deaf = dial(server.addresses[0])
        await settle()
        assert held(admission_of(factory)).refusals == 1
        await trio.sleep(3)
        assert held(admission_of(factory)).refusals == 0
        await deaf.aclose()


class BoomError(Exception):
    """What overflow protocols raise here."""


class FailsAtOnce(Protocol):
    def connection_made(self) -> None:
        raise BoomError


class FailsLater(Protocol):
    async def connection_made(self) -> None:
        await trio.lowlevel.checkpoint()
        raise BoomError


class FailsLast(TriesLater):
    def connection_lost(self, reason: object) -> None:
        raise BoomError


class FailsInATask(Protocol):
    def connection_made(self) -> None:
        self.transport.start_soon(self.fail)

    async def fail(self) -> None:
        raise BoomError


def fails_to_be_made() -> Protocol:
    raise BoomError


def is_none() -> Any:
    return "no protocol"


@pytest.mark.parametrize(
    "kind", [FailsAtOnce, FailsLater, FailsLast, FailsInATask, fails_to_be_made, is_none]
)
async def test_errors_of_an_overflow_protocol_are_logged_and_harm_nobody(
    autojump_clock: MockClock, logged_errors: list[Any], kind: Any
) -> None:
    async with full(kind) as (factory, server):
        for _ in range(3):
            refused = dial(server.addresses[0])
            await ends(refused)
            await refused.aclose()
        await settle()
        assert held(admission_of(factory)) == Held(places=1)
        assert sum(factory.statistics().errors.values()) == 3
    assert len(logged_errors) == 3


async def test_an_overflow_protocol_that_is_none_says_nothing(autojump_clock: MockClock) -> None:
    async with full(lambda: None) as (factory, server):
        refused = dial(server.addresses[0])
        assert (await ends(refused))[0] == b""
        await settle()
        assert held(admission_of(factory)) == Held(places=1)
        assert dict(factory.statistics().refused) == {"max_connections": 1}
