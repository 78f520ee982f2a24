"""Made is the first callback and lost the last, once, whoever ends whom.

The rule: docs/callbacks.md, The order.
"""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from trioproto.sansio.errors import ConnectionDone
from trioproto.testing.conformance.provoking import each_callback, provoke
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting, Serving, in_turn


async def test_callbacks_come_in_order(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        assert protocol.heard == ["connection_made"]
        await peer.say(b"one")
        await peer.send(b"two")
        await peer.say_eof()
        assert await peer.receive_all() == (b"", "eof")
        await peer.settle()
    assert protocol.heard == [
        "connection_made",
        "data_received",
        "data_received",
        "eof_received",
        "connection_lost",
    ]
    assert protocol.received == b"onetwo"
    assert type(protocol.reason) is ConnectionDone


@pytest.mark.parametrize("ending", ["close", "abort"])
@each_callback()
async def test_a_protocol_may_end_another_connection_in_any_callback(
    serving: Serving, autojump_clock: MockClock, callback: str, ending: str
) -> None:
    inside: list[str] = []
    others: list[Recorder] = []

    def lost(self: Recorder) -> None:
        assert not inside, "called inside another connection's callback"

    def end_others(self: Recorder) -> None:
        inside.append(callback)
        for other in others:
            getattr(other.transport, ending)()
            assert other.transport.closing
            assert not other.lost
        inside.clear()

    actor = Recorder(**{callback: end_others})
    victim = Recorder(connection_lost=lost, quiesce=lambda _: None)
    async with serving(in_turn([victim, actor]), small_buffers=True) as service:
        victim_peer = await service.connect()
        others.append(victim)
        actor_peer = await service.connect()
        await provoke(callback, actor_peer, actor)
        assert callback in actor.heard
        await victim_peer.settle()
        _, how = await victim_peer.receive_all()
        assert how == {"close": "eof", "abort": "reset"}[ending]
        await victim_peer.leave()
        assert victim.lost
    victim.check()
    actor.check()
