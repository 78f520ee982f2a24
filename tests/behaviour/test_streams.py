"""What becomes of the streams and the tasks that connections are served with."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.behaviour.drivers import ASYNC, IN_MEMORY, Connecting
from trioproto.testing.conformance.recorder import Recorder


@pytest.mark.drivers(*IN_MEMORY)
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


@pytest.mark.drivers(*IN_MEMORY)
@pytest.mark.parametrize("half_close", [True, False])
async def test_an_abort_closes_a_stream_by_force(connect: Connecting, half_close: bool) -> None:
    protocol = Recorder()
    async with connect(protocol, half_close=half_close) as peer:
        protocol.transport.abort()
        await peer.settle()
        assert protocol.lost
        assert await peer.receive_all() == (b"", "reset")


@pytest.mark.drivers(*ASYNC)
async def test_cancelled_goes_on_up(connect: Connecting) -> None:
    async def work(_: Recorder) -> None:
        await trio.sleep_forever()

    protocol = Recorder(data_received=work)
    async with connect(protocol) as peer:
        await peer.send(b"go")
        await peer.settle()
        peer.service.cancel()
        await peer.settle()
        service: Any = peer.service
        assert service.scope.cancelled_caught
