"""A connection that has reached its age is drained, alone: ``max_age``.

The rule: docs/flow-control.md, Deadlines.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import AgeTimeout, ConnectionLost, ServerDraining, WriteTimeout
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Serving, in_turn

AGED: dict[str, Any] = {"max_age": 10, "drain_grace": 20, "idle_timeout": None}


def told_later(_: Recorder) -> None:
    """An act for ``quiesce``: the exchange goes on."""


@pytest.mark.parametrize(("seconds", "old"), [(9, False), (10, True), (11, True)])
async def test_an_idle_connection_is_told_and_closed_at_its_age(
    connect: Connecting, seconds: float, old: bool, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, **AGED) as peer:
        await peer.pass_time(seconds)
        assert ("quiesce" in protocol.heard) is old
        assert protocol.transport.draining is old
        assert protocol.transport.closing is old


async def test_the_peer_of_an_old_connection_sees_a_clean_end(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(connection_made=lambda self: self.transport.pause_reading())
    async with connect(protocol, **AGED) as peer:
        await peer.send(b"x" * 10_000)
        await peer.pass_time(11)
        with suppress(OSError, trio.BrokenResourceError):  # it has closed meanwhile
            await peer.send(b"too late")
        assert await peer.receive_all() == (b"", "eof")
        await peer.pass_time(3)
        assert type(protocol.reason) is AgeTimeout
        assert protocol.reason.seconds == 10
        assert protocol.received == b""


async def test_what_the_peer_says_does_not_make_it_younger(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.write(b"y"))
    async with connect(protocol, **AGED) as peer:
        for _ in range(9):
            await peer.send(b"x")
            assert await peer.receive_exactly(1) == b"y"
            await peer.pass_time(1)
        assert not protocol.transport.closing
        await peer.pass_time(1.5)
        assert protocol.heard.count("quiesce") == 1
        assert type(protocol.transport.reason) is AgeTimeout


@needs(Feature.ASYNC_CODE)
async def test_a_running_callback_runs_on_before_the_connection_is_told(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    async def work(self: Recorder) -> None:
        await trio.sleep(25)
        self.transport.write(b"reply")

    protocol = Recorder(data_received=work)
    async with connect(protocol, **AGED) as peer:
        await peer.send(b"x")
        await peer.pass_time(24)
        assert "quiesce" not in protocol.heard
        assert protocol.transport.draining
        assert await peer.receive_all() == (b"reply", "eof")
        await peer.pass_time(3)
        assert type(protocol.reason) is AgeTimeout
        assert protocol.heard[-2:] == ["quiesce", "connection_lost"]


@needs(Feature.ASYNC_CODE)
async def test_a_callback_that_goes_on_for_ever_is_cancelled_when_the_grace_is_over(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    ended: list[str] = []

    async def work(_: Recorder) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("cancelled")

    protocol = Recorder(data_received=work)
    async with connect(protocol, **AGED) as peer:
        await peer.send(b"x")
        await peer.pass_time(29)
        assert ended == []
        await peer.pass_time(2)
        assert ended == ["cancelled"]
        assert type(protocol.reason) is AgeTimeout
        assert "quiesce" not in protocol.heard
        assert await peer.receive_all() == (b"", "reset")


async def test_who_is_told_and_never_closes_is_reset_when_the_grace_is_over(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(quiesce=told_later)
    async with connect(protocol, **AGED) as peer:
        await peer.pass_time(29)
        assert not protocol.lost
        assert protocol.heard == ["connection_made", "quiesce"]
        await peer.pass_time(2)
        assert type(protocol.reason) is AgeTimeout
        assert await peer.receive_all() == (b"", "reset")


async def test_who_reads_on_is_reset_when_the_grace_is_over_too(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(quiesce=lambda self: self.transport.resume_reading())
    async with connect(protocol, **AGED) as peer:
        for _ in range(29):
            await peer.pass_time(1)
            await peer.send(b"x")
        await peer.settle()
        assert protocol.received == b"x" * 29
        await peer.pass_time(2)
        assert type(protocol.reason) is AgeTimeout


async def test_output_that_waits_is_flushed_at_the_age(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=None, **AGED) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.pass_time(15)
        assert not protocol.lost
        data, ending = await peer.receive_all()
        assert (len(data), ending) == (MORE_THAN_FITS, "eof")
        await peer.pass_time(3)
        assert type(protocol.reason) is AgeTimeout


async def test_a_peer_that_does_not_take_the_output_holds_no_old_connection(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, write_timeout=12, **AGED) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.pass_time(13)
        assert protocol.lost
        assert type(protocol.reason) in (AgeTimeout, WriteTimeout)


@needs(Feature.DRAINS)
async def test_a_server_that_drains_is_told_of_no_age(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(quiesce=told_later)
    async with connect(protocol, **AGED) as peer:
        await peer.pass_time(5)
        await peer.service.start_drain(grace=100, force=1)
        await peer.pass_time(20)
        assert protocol.heard == ["connection_made", "quiesce"]
        assert not protocol.lost
        protocol.transport.close(protocol.transport.drain_reason)
        await peer.pass_time(3)
        assert type(protocol.reason) is ServerDraining


@needs(Feature.SERVER)
async def test_an_old_connection_holds_no_drain(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(quiesce=told_later)
    async with connect(protocol, **AGED) as peer:
        await peer.pass_time(12)
        await peer.service.start_drain(grace=3, force=1)
        await peer.pass_time(5)
        assert protocol.lost
        assert protocol.heard.count("quiesce") == 1


async def test_a_reset_of_an_old_connection_is_a_loss(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(quiesce=told_later)
    async with connect(protocol, **AGED) as peer:
        await peer.pass_time(12)
        await peer.crash()
        protocol.transport.write(b"anyone?")
        await peer.settle()
        assert type(protocol.reason) is ConnectionLost


@needs(Feature.HALF_CLOSE)
async def test_a_new_protocol_does_not_make_a_connection_younger(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    new = Recorder()
    protocol = Recorder(data_received=lambda self: self.transport.switch_protocol(new))
    async with connect(Factory(lambda: protocol, **AGED)) as peer:
        await peer.pass_time(8)
        await peer.say(b"x")
        await peer.pass_time(1)
        assert not new.transport.closing
        await peer.pass_time(2)
        assert new.heard == ["connection_made", "quiesce"]
        assert "quiesce" not in protocol.heard
        assert type(new.transport.reason) is AgeTimeout


async def test_an_age_that_is_set_late_leaves_the_whole_grace(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder(quiesce=told_later)
    async with connect(protocol, **AGED | {"max_age": None}) as peer:
        await peer.pass_time(100)
        protocol.transport.set_timeout(10, "max_age")
        await peer.settle()
        assert protocol.heard == ["connection_made", "quiesce"]
        await peer.pass_time(19)
        assert not protocol.lost
        await peer.pass_time(2)
        assert type(protocol.reason) is AgeTimeout


@pytest.mark.parametrize("value", [None, 10_000, 1])
async def test_the_grace_that_has_begun_keeps_its_time(
    connect: Connecting, value: float | None, autojump_clock: MockClock
) -> None:
    protocol = Recorder(quiesce=lambda self: self.transport.set_timeout(value, "max_age"))
    async with connect(protocol, **AGED) as peer:
        await peer.pass_time(29)
        assert not protocol.lost
        await peer.pass_time(2)
        assert type(protocol.reason) is AgeTimeout


@pytest.mark.parametrize(
    "end", [lambda protocol: protocol.transport.close(), lambda protocol: None]
)
async def test_a_connection_that_ended_before_has_no_age(
    connect: Connecting, end: Callable[[Recorder], None], autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, **AGED) as peer:
        await peer.pass_time(8)
        peer.service.do(lambda: end(protocol))
        await peer.say_eof()
        await peer.pass_time(30)
        assert "quiesce" not in protocol.heard
        assert type(protocol.reason) is not AgeTimeout


async def test_a_new_age_is_that_of_new_connections(
    serving: Serving, autojump_clock: MockClock
) -> None:
    protocols = [Recorder(), Recorder()]
    factory = in_turn(protocols, idle_timeout=None)
    async with serving(factory) as service:
        await service.connect()
        factory.configure(max_age=10)
        await service.connect()
        await service.pass_time(11)
        assert [protocol.transport.closing for protocol in protocols] == [False, True]
        await service.pass_time(3)
