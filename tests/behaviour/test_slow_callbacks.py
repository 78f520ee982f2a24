"""Callbacks that keep everything else waiting are told of; the time is real.

A driver need not measure that: the harness does not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import OURS, PollService
from trioproto import Factory, Protocol
from trioproto.errors import ConnectionClosed
from trioproto.events import CallbackSlow, Event
from trioproto.framing import LineReceiver
from trioproto.testing.conformance import serving as serve
from trioproto.testing.conformance.features import Feature
from trioproto.testing.conformance.service import Serving
from trioproto.testing.conformance.suite.fixtures import *  # noqa: F403

SERVICES = OURS
NEEDS = {Feature.ASYNC_CODE}

LIMIT = 0.05  # on a busy machine what is quick may take its half


def hog(seconds: float = 1.2 * LIMIT) -> None:
    """Keep the loop for a while."""
    ends = perf_counter() + seconds
    while perf_counter() < ends:
        pass


class InConnectionMade(Protocol):
    def connection_made(self) -> None:
        hog()


class InDataReceived(Protocol):
    def data_received(self, data: bytes) -> None:
        hog()


class BeforeItWaits(Protocol):
    async def data_received(self, data: bytes) -> None:
        hog()
        await trio.lowlevel.checkpoint()


class AfterItHasWaited(Protocol):
    async def data_received(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        hog()


class InALine(LineReceiver):
    def line_received(self, line: bytes) -> None:
        hog()


class AtTheEnd(Protocol):
    def connection_lost(self, reason: ConnectionClosed) -> None:
        hog()


class WhenTimedOut(Protocol):
    def timed_out(self) -> None:
        hog()
        self.transport.abort()


class ThenFails(Protocol):
    def data_received(self, data: bytes) -> None:
        hog()
        raise RuntimeError("slow, and wrong")


EVERYWHERE = [
    InConnectionMade,
    InDataReceived,
    BeforeItWaits,
    AfterItHasWaited,
    InALine,
    AtTheEnd,
    WhenTimedOut,
]


async def live(serving: Serving, make: Callable[[], Protocol], **settings: Any) -> list[Event]:
    """Have a connection with every callback, and return the events."""
    heard: list[Event] = []
    factory = Factory(make, idle_timeout=5, **settings)
    with factory.subscribe(heard.append):
        async with serving(factory) as service:
            peer = await service.connect()
            with suppress(OSError, trio.BrokenResourceError):
                await peer.send(b"line\r\n")
            await service.settle()
            await service.pass_time(6)
            with suppress(OSError, trio.BrokenResourceError):
                await peer.aclose()
            await service.settle()
    return heard


@pytest.mark.parametrize("make", EVERYWHERE)
async def test_a_slow_callback_is_told_of_with_protocol_and_time(
    serving: Serving,
    make: Callable[[], Protocol],
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = await live(serving, make, slow_callback=LIMIT)
    slow = [event for event in heard if isinstance(event, CallbackSlow)]
    name = f"{make.__module__}.{make.__qualname__}"
    assert [event.protocol for event in slow] == [name]
    assert LIMIT < slow[0].seconds < 100 * LIMIT
    [record] = [each for each in caplog.records if "kept the whole program" in each.message]
    assert record.levelno == logging.WARNING
    assert name in record.message


async def test_it_can_be_turned_off(
    serving: Serving, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    heard = await live(serving, InDataReceived, slow_callback=None)
    assert not [event for event in heard if isinstance(event, CallbackSlow)]
    assert not caplog.records


async def test_quick_callbacks_are_not_told_of(serving: Serving, autojump_clock: MockClock) -> None:
    heard = await live(serving, Protocol, slow_callback=10 * LIMIT)
    assert not [event for event in heard if isinstance(event, CallbackSlow)]


async def test_one_that_fails_too_is_told_of_both(
    serving: Serving, autojump_clock: MockClock, logged_errors: list[Any]
) -> None:
    heard = await live(serving, ThenFails, slow_callback=LIMIT)
    assert [event for event in heard if isinstance(event, CallbackSlow)]
    assert len(logged_errors) >= 1


async def test_the_log_is_not_flooded(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    factory = Factory(InDataReceived, slow_callback=LIMIT)
    async with serve(PollService, factory) as service:
        peer = await service.connect()
        for _ in range(13):
            await peer.send(b"x")
            await service.settle()
        assert factory.statistics().slow_callbacks == 13
    shown = [each.getMessage() for each in caplog.records]
    assert len([text for text in shown if "kept the whole program" in text]) == 10
    assert "InDataReceived was slow: 3 more" in shown[-1]
