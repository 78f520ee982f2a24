"""After the end nothing more is delivered, and nothing is sent.

The rule: docs/callbacks.md, Nothing after the end.
"""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from trioproto.sansio.errors import ConnectionAborted, ConnectionDone
from trioproto.testing.conformance.provoking import each_callback, provoke
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting


def act_close(protocol: Recorder) -> None:
    protocol.transport.close()


def act_abort(protocol: Recorder) -> None:
    protocol.transport.abort()


async def test_writes_after_close_are_discarded_silently(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(b"before")
        protocol.transport.close()
        protocol.transport.write(b"after")
        protocol.transport.writelines([b"after", b"after"])
        protocol.transport.close()
        assert await peer.receive_all() == (b"before", "eof")
        protocol.transport.write(b"after")
        assert protocol.transport.buffered == 0


async def test_writes_after_close_in_the_same_callback_are_discarded(connect: Connecting) -> None:
    def act(self: Recorder) -> None:
        self.transport.write(b"before")
        self.transport.close()
        self.transport.write(b"after")

    async with connect(Recorder(data_received=act)) as peer:
        await peer.send(b"go")
        assert await peer.receive_all() == (b"before", "eof")


async def test_writes_in_connection_lost_are_discarded(connect: Connecting) -> None:
    protocol = Recorder(connection_lost=lambda self: self.transport.write(b"late"))
    async with connect(protocol) as peer:
        protocol.transport.close()
        assert await peer.receive_all() == (b"", "eof")


async def test_nothing_more_is_delivered_after_close(connect: Connecting) -> None:
    protocol = Recorder(eof_received=act_close)
    async with connect(protocol) as peer:
        protocol.transport.close()
        await peer.say(b"more")
        await peer.say_eof()
    assert protocol.heard == ["connection_made", "connection_lost"]


async def test_nothing_more_is_delivered_after_a_close_in_data_received(
    connect: Connecting,
) -> None:
    protocol = Recorder(data_received=act_close)
    async with connect(protocol, read_size=4) as peer:
        await peer.send(b"fourmore")
        await peer.send(b"still more")
        await peer.say_eof()
    assert protocol.heard[:2] == ["connection_made", "data_received"]
    assert protocol.heard[2:] == ["connection_lost"]


async def test_close_and_abort_from_connection_made_deliver_nothing(connect: Connecting) -> None:
    for act, reason in ((act_close, ConnectionDone), (act_abort, ConnectionAborted)):
        protocol = Recorder(connection_made=act)
        async with connect(protocol) as peer:
            await peer.aclose()
        assert protocol.heard == ["connection_made", "connection_lost"]
        assert type(protocol.reason) is reason


@pytest.mark.parametrize("ending", ["loss", "close", "abort"])
async def test_using_a_transport_after_loss_is_a_silent_no_op(
    connect: Connecting, ending: str
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        if ending == "loss":
            await peer.reset()
        else:
            getattr(protocol.transport, ending)()
            await peer.settle()
            await peer.aclose()
        await peer.settle()
        assert protocol.lost
        transport = protocol.transport
        transport.write(b"late")
        transport.writelines([b"late"])
        transport.close()
        transport.abort()
        transport.pause_reading()
        transport.resume_reading()
        transport.set_timeout(1)
        assert transport.buffered == 0
        assert transport.closing
        await peer.settle()
    assert protocol.heard == ["connection_made", "connection_lost"]


@each_callback()
@pytest.mark.parametrize("act", [act_close, act_abort])
async def test_a_protocol_may_end_itself_in_any_callback(
    connect: Connecting, autojump_clock: MockClock, callback: str, act: Any
) -> None:
    protocol = Recorder(**{callback: act})
    async with connect(protocol, small_buffers=True) as peer:
        await provoke(callback, peer, protocol)
        assert callback in protocol.heard
        await peer.aclose()
        await peer.pass_time(60)
    following = protocol.heard[protocol.heard.index(callback) + 1 :]
    assert following == ([] if callback == "connection_lost" else ["connection_lost"])
