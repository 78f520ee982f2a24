"""A callback may be given more time, or less, while it runs.

The rule: docs/flow-control.md, Deadlines.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trioproto.framing import LineReceiver
from trioproto.sansio.errors import (
    CallbackTimeout,
)
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("callback", ["connection_made", "data_received"])
async def test_a_running_callback_has_the_new_time_from_then_on(
    connect: Connecting, callback: str, autojump_clock: MockClock
) -> None:
    times: list[float] = []

    async def work(self: Recorder) -> None:
        await trio.sleep(50)
        self.transport.set_timeout(3, "callback_timeout")
        await trio.sleep(2)
        self.transport.set_timeout(None, "callback_timeout")
        await trio.sleep(50)
        self.transport.set_timeout(3, "callback_timeout")
        began = trio.current_time()
        try:
            await trio.sleep_forever()
        finally:
            times.append(trio.current_time() - began)

    protocol = Recorder(**{callback: work})
    async with connect(protocol, idle_timeout=None) as peer:
        await peer.send(b"x")
        await peer.pass_time(104)
        assert not protocol.lost
        await peer.pass_time(2)
        assert times == [pytest.approx(3)]
        assert type(protocol.reason) is CallbackTimeout
        assert protocol.reason.seconds == 3


@needs(Feature.ASYNC_CODE)
async def test_another_task_can_give_a_running_callback_more_time(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    async def work(_: Recorder) -> None:
        await trio.sleep(20)

    protocol = Recorder(data_received=work)
    async with connect(protocol, idle_timeout=None, callback_timeout=5) as peer:
        await peer.send(b"x")
        await peer.pass_time(4)
        protocol.transport.set_timeout(30, "callback_timeout")
        await peer.pass_time(20)
        assert not protocol.lost


@needs(Feature.ASYNC_CODE)
async def test_each_frame_has_its_own_time_from_when_it_is_set(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    class Slow(LineReceiver):
        done = 0

        async def line_received(self, line: bytes) -> None:
            if line == b"set":
                self.transport.set_timeout(3, "callback_timeout")
            await trio.sleep(2)
            self.done += 1

    protocol = Slow()
    async with connect(protocol, idle_timeout=None) as peer:
        await peer.send(b"set\r\n" + b"go on\r\n" * 5)
        await peer.pass_time(13)
        assert not protocol.transport.closing
        assert protocol.done == 6
