"""Recorded connections: what is left of them, and other ways to one.

What any driver can show of a recording is a part of the suite; this looks for our own
objects, or serves by ``run_protocol`` and ``connect``.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

import trio
import trio.testing

import trioproto
from tests.behaviour.drivers import OURS
from trioproto import Factory, Settings, run_protocol, serve
from trioproto.layers import TrafficLog
from trioproto.runtime.driver import BaseDriver
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Serving
from trioproto.testing.conformance.suite.fixtures import *  # noqa: F403
from trioproto.testing.conformance.suite.recordings import RECEIVED, SENT, answer, passed

SERVICES = OURS


@lacks(Feature.ENCRYPTS)
async def test_without_the_setting_there_is_no_layer(serving: Serving) -> None:
    protocol = Recorder()
    async with serving(protocol) as service:
        await service.connect()
        assert protocol.transport.traffic() is None
        assert protocol.transport.layer is None  # type: ignore[attr-defined]


@needs(Feature.ASYNC_CODE)
async def test_a_kept_transport_keeps_the_recording_and_no_more(serving: Serving) -> None:
    protocols: list[weakref.ref[Recorder]] = []

    def build() -> Recorder:
        made = Recorder()
        protocols.append(weakref.ref(made))
        return made

    factory = Factory(build, traffic_log=TrafficLog())
    async with serving(factory) as service:
        peer = await service.connect()
        (transport,) = (each.transport for each in factory.connections)
        await peer.send(b"hello")
        await peer.settle()
        await peer.send_eof()
        await peer.settle()
        assert len(factory.connections) == 0
        assert passed(transport.traffic(), RECEIVED) == b"hello"
        gc.collect()
        drivers = [each for each in gc.get_objects() if isinstance(each, BaseDriver)]
        assert [each for each in drivers if each.scope.factory is factory] == []
        assert [each() for each in protocols] == [None]


# Other ways to a connection


async def test_run_protocol_is_recorded() -> None:
    near, far = trio.testing.memory_stream_pair()
    protocol = Recorder(data_received=answer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_protocol, protocol, near, Settings(traffic_log=TrafficLog()))
        await far.send_all(b"hello")
        assert await far.receive_some() == b"re: hello"
        await far.aclose()
    assert passed(protocol.transport.traffic(), SENT) == b"re: hello"


class Asks(Recorder):
    def connection_made(self) -> Any:
        super().connection_made()
        self.transport.write(b"question")


async def test_a_clients_connection_is_recorded_from_its_side() -> None:
    async with trio.open_nursery() as nursery:
        server: Any = await nursery.start(
            serve, Factory(lambda: Recorder(data_received=answer)), "tcp:0:interface=127.0.0.1"
        )
        port = server.addresses[0].port
        recorded = Settings(traffic_log=TrafficLog())
        async with trioproto.connect(
            f"tcp:127.0.0.1:{port}", Asks(), settings=recorded
        ) as protocol:
            with trio.fail_after(5):
                while not protocol.chunks:
                    await trio.testing.wait_all_tasks_blocked(0.01)
            recording = protocol.transport.traffic()
        assert recording is not None
        assert not recording.accepted
        assert [(each.direction, each.data) for each in recording.pieces] == [
            (SENT, b"question"),
            (RECEIVED, b"re: question"),
        ]
        server.stop()
