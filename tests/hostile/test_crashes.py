"""Callbacks that fail, one after the other, while many peers keep the server busy."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import MORE_THAN_FITS
from tests.hostile.callers import BAD
from tests.hostile.places import Echo, Place, serving
from trioproto import Factory, Protocol, TCPAddress
from trioproto.testing.conformance.peer import PeerWasReset

PEERS = 20
VISIT = ((b"hello", 5), (b"work", 6), (b"switch", 8), (b"much", MORE_THAN_FITS), (b"still?", 6))
"""What each says, and how much it hears of it: in all, every callback is due at least once."""


class BoomError(Exception):
    """What the callbacks of these tests raise."""


class Fragile(Echo):
    """Meets everything that can happen; the callbacks to fail are put in place by a subclass."""

    def data_received(self, data: bytes) -> Any:
        if data == b"much":
            self.transport.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
            self.transport.write(bytes(MORE_THAN_FITS))
        elif data == b"work":
            self.transport.start_soon(self.work)
        elif data == b"switch":
            self.transport.write(b"switched")
            self.transport.switch_protocol(type(self)())
        else:
            super().data_received(data)

    def eof_received(self) -> Any:
        return True

    async def work(self) -> None:
        self.transport.write(b"worked")


def fails(*_: object) -> Any:
    raise BoomError


async def fails_later(*_: object) -> None:
    await trio.lowlevel.checkpoint()
    raise BoomError


CALLBACKS = (
    "attached",
    "connection_made",
    "data_received",
    "eof_received",
    "pause_writing",
    "resume_writing",
    "timed_out",
    "connection_lost",
    "work",
)
NEVER_ASYNC = ("attached",)
ALWAYS_ASYNC = ("work",)


class Mixed(Factory[Any]):
    """Gives those who mean no good what fails, and the others an echo."""

    def __init__(self, bad: type[Protocol] | None, **settings: Any) -> None:
        super().__init__(**settings)
        self.bad = bad

    def build_protocol(self, peer: Any) -> Any:
        assert isinstance(peer, TCPAddress)
        if peer.host != BAD:
            return Echo()
        if self.bad is None:
            raise BoomError
        return self.bad()


def ways_to_crash() -> list[Any]:
    return [
        pytest.param(callback, fail, id=f"{callback}-{fail.__name__}")
        for callback in CALLBACKS
        for fail in (fails, fails_later)
        if callback not in (NEVER_ASYNC if fail is fails_later else ALWAYS_ASYNC)
    ]


@pytest.mark.parametrize(("callback", "fail"), ways_to_crash())
async def test_a_crash_in_every_callback_under_load_ends_its_connection_only(
    driver: str,
    autojump_clock: MockClock,
    logged_errors: list[logging.LogRecord],
    callback: str,
    fail: Any,
) -> None:
    factory = Mixed(type("Crashes", (Fragile,), {callback: fail}))
    async with serving(driver, factory) as place:
        await _load(place)
    assert factory.statistics().errors == {"BoomError": PEERS}
    tracebacks = [record for record in logged_errors if record.exc_info]
    assert 1 <= len(tracebacks) <= 10


async def test_a_crash_in_build_protocol_under_load_ends_its_connection_only(
    driver: str, autojump_clock: MockClock, logged_errors: list[logging.LogRecord]
) -> None:
    factory = Mixed(None)
    async with serving(driver, factory) as place:
        await _load(place)
    assert factory.statistics().errors == {"BoomError": PEERS}


async def test_a_crash_in_what_the_factory_calls_ends_no_connection(
    driver: str, autojump_clock: MockClock, logged_errors: list[logging.LogRecord]
) -> None:
    factory = Mixed(Fragile, soft_limit=1, alarm_interval=0)
    factory.soft_limit_reached = fails.__get__(factory)  # type: ignore[method-assign]
    with factory.subscribe(fails):
        async with serving(driver, factory) as place:
            await _load(place)
    now = factory.statistics()
    assert now.errors == {"BoomError": PEERS + 2}  # at each that has come in
    assert any("subscriber" in record.getMessage() for record in logged_errors)
    assert set(now.closed) <= {"ConnectionDone", "ConnectionLost", "IdleTimeout"}


async def _load(place: Place) -> None:
    """Have many peers do all that a protocol may be told of."""
    place.healthy.hurry()
    async with trio.open_nursery() as nursery:
        for _ in range(PEERS):
            nursery.start_soon(_visit, place)
    await place.healthy.served(20)
    place.healthy.take_it_easy()
    await place.until(lambda: place.connections == 0)


async def _visit(place: Place) -> None:
    """Say all of it, end our side, and stay."""
    try:
        caller = await place.dial()
        for word, size in VISIT:
            await caller.send(word)
            await place.healthy.served(5)
            await caller.receive_exactly(size)
        await caller.send_eof()
    except (PeerWasReset, OSError):
        pass  # as something has failed
