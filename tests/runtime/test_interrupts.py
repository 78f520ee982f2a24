"""A KeyboardInterrupt may be raised in the user's code, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import ASYNC, MORE_THAN_FITS, Serving
from trioproto import Factory, Protocol
from trioproto.framing import LineReceiver
from trioproto.testing.conformance.recorder import CALLBACKS, Act, Recorder

pytestmark = pytest.mark.parametrize("driver", ASYNC)

protected = trio.lowlevel.currently_ki_protected
DEFAULTS: dict[str, Callable[[Any], object]] = {
    "timed_out": Protocol.timed_out,
    "quiesce": Protocol.quiesce,
}


def note(seen: dict[str, list[bool]], name: str) -> Act:
    """An act that notes whether it is protected, once it has begun."""

    def act(self: Recorder) -> object:
        seen.setdefault(name, []).append(protected())
        return DEFAULTS.get(name, lambda _: None)(self)

    return act


def note_twice(seen: dict[str, list[bool]], name: str) -> Act:
    """The same for an async callback, before and after it waits."""

    async def act(self: Recorder) -> None:
        seen.setdefault(name, []).append(protected())
        await trio.sleep(0)
        seen[name].append(protected())
        DEFAULTS.get(name, lambda _: None)(self)

    return act


@pytest.mark.parametrize("kind", [note, note_twice])
async def test_no_callback_is_protected(
    serving: Serving, autojump_clock: MockClock, kind: Any
) -> None:
    seen: dict[str, list[bool]] = {}
    acts = {name: kind(seen, name) for name in CALLBACKS}
    made: list[Recorder] = []

    def build() -> Recorder:
        made.append(Recorder(**acts))
        return made[-1]

    factory = Factory(build, write_timeout=None, max_buffered=1 << 30)
    async with serving(factory, small_buffers=True) as service:
        first = await service.connect()
        await first.send(b"data")
        await first.settle()
        await first.send(b"fast path")  # on a connection that has been idle
        await first.settle()
        made[0].transport.pause_reading()
        await first.settle()
        await first.send(b"held")
        await first.settle()
        made[0].transport.resume_reading()
        await first.settle()
        made[0].transport.write(bytes(MORE_THAN_FITS))
        await first.settle()
        await first.receive_exactly(MORE_THAN_FITS)
        await first.send_eof()
        await first.settle()
        second = await service.connect()
        await second.pass_time(61)
        del seen["connection_lost"]
        third = await service.connect()
        await third.reset()
        await third.settle()
        made[2].transport.abort()  # where a reset is noticed at the next read only
        await third.settle()
        heard = set(CALLBACKS) - {"quiesce"}
        if service.__class__.__name__ in ("ListenerService", "PollService"):
            await service.connect()
            await service.start_drain()
            heard.add("quiesce")
        assert set(seen) == heard
    assert not any(flag for flags in seen.values() for flag in flags), seen


async def test_a_callback_in_the_turn_of_another_connection_is_not_protected(
    serving: Serving, autojump_clock: MockClock
) -> None:
    """What a broadcast causes is called by the flusher."""
    seen: dict[str, list[bool]] = {}

    def tell_all(self: Recorder) -> None:
        for each in self.factory.connections:
            each.transport.write(bytes(MORE_THAN_FITS))

    def build() -> Recorder:
        return Recorder(
            data_received=tell_all,
            pause_writing=note(seen, "pause_writing"),
            connection_lost=note(seen, "connection_lost"),
        )

    async with serving(Factory(build), small_buffers=True) as service:
        peers = [await service.connect() for _ in range(3)]
        await peers[0].send(b"go")
        await peers[0].settle()
        assert seen == {"pause_writing": [False] * 3}
        for protocol in service.factory.connections:
            protocol.transport.abort()
        await peers[0].settle()
        assert seen["connection_lost"] == [False] * 3


async def test_a_task_is_not_protected(serving: Serving) -> None:
    seen: list[bool] = []

    async def task() -> None:
        seen.append(protected())
        await trio.sleep(0)
        seen.append(protected())

    protocol = Recorder(
        connection_made=lambda self: self.transport.start_soon(task),
        data_received=lambda self: self.transport.start_soon(task),
    )
    async with serving(protocol) as service:
        peer = await service.connect()
        await peer.send(b"go")
        await peer.settle()
    assert seen == [False] * 4


async def test_build_protocol_is_not_protected(serving: Serving) -> None:
    seen: list[bool] = []

    class Builds(Factory[Any]):
        def build_protocol(self, peer: object) -> Recorder:
            seen.append(protected())
            return Recorder()

    async with serving(Builds()) as service:
        await service.connect()
    assert seen == [False]


async def test_lines_are_not_protected(serving: Serving) -> None:
    seen: list[bool] = []

    class Lines(LineReceiver):
        async def line_received(self, line: bytes) -> None:
            seen.append(protected())
            if line == b"wait":
                await trio.sleep(0)
                seen.append(protected())

    async with serving(Factory(Lines)) as service:
        peer = await service.connect()
        await peer.send(b"one\r\nwait\r\nthree\r\n")
        await peer.settle()
    assert seen == [False] * 4
