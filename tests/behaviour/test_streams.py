"""What becomes of the streams and the tasks that connections are served with.

This looks at the streams that our services in memory are made of, and at their scopes.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.behaviour.drivers import OURS
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting
from trioproto.testing.conformance.suite.fixtures import *  # noqa: F403

SERVICES = OURS


@needs(Feature.HALF_CLOSE_IS_OPTIONAL)
async def test_a_close_closes_a_stream_gracefully_that_cannot_send_eof_alone(
    connect: Connecting,
) -> None:
    protocol = Recorder()
    async with connect(protocol, half_close=False) as peer:
        protocol.transport.write(b"bye")
        protocol.transport.close()
        await peer.settle()
        assert protocol.lost
        assert await peer.receive_all() == (b"bye", "eof")


@needs(Feature.HALF_CLOSE_IS_OPTIONAL)
@pytest.mark.parametrize("half_close", [True, False])
async def test_an_abort_closes_a_stream_by_force(connect: Connecting, half_close: bool) -> None:
    protocol = Recorder()
    async with connect(protocol, half_close=half_close) as peer:
        protocol.transport.abort()
        await peer.settle()
        assert protocol.lost
        assert await peer.receive_all() == (b"", "reset")


@needs(Feature.ASYNC_CODE)
async def test_cancelled_goes_on_up(connect: Connecting) -> None:
    async def work(_: Recorder) -> None:
        await trio.sleep_forever()

    protocol = Recorder(data_received=work)
    async with connect(protocol) as peer:
        await peer.say(b"go")
        peer.service.cancel()
        await peer.settle()
        service: Any = peer.service
        assert service.scope.cancelled_caught
