"""What is over leaves nothing behind in a connection that would keep it off the fast path.

This looks into the connection: no protocol and no peer would notice.
"""

from __future__ import annotations

from trio.testing import MockClock

from tests.behaviour.drivers import OURS
from trioproto import Factory
from trioproto.framing import LineReceiver
from trioproto.sansio import holds
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting
from trioproto.testing.conformance.suite.fixtures import *  # noqa: F403

SERVICES = OURS


async def test_without_a_rate_there_is_no_throttle(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol):
        assert protocol.transport.throttle is None
        assert not protocol.transport.holds & holds.THROTTLED


async def test_a_rate_that_was_lifted_leaves_no_throttle(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    factory = Factory(lambda: protocol)
    async with connect(factory) as peer:
        free = protocol.transport.holds
        factory.configure(receive_rate_total=1, send_rate_total=1)
        await peer.settle()
        assert protocol.transport.holds & holds.THROTTLED
        await peer.send(bytes(40_000))
        protocol.transport.write(bytes(40_000))
        await peer.pass_time(3)
        factory.configure(receive_rate_total=None, send_rate_total=None)
        await peer.settle()
        assert protocol.transport.throttle is None
        assert protocol.transport.holds & ~holds.UNSETTLED == free & ~holds.UNSETTLED


@needs(Feature.ASYNC_CODE)
async def test_frames_that_had_a_time_of_their_own_leave_no_hold(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    class SetsTimeout(LineReceiver):
        async def line_received(self, line: bytes) -> None:
            self.transport.set_timeout(3, "callback_timeout")

    protocol = SetsTimeout()
    async with connect(protocol, idle_timeout=None) as peer:
        await peer.send(b"one\r\ntwo\r\n")
        await peer.pass_time(10)
        assert not protocol.transport.closing
        assert not protocol.transport.holds & holds.CALLBACK
