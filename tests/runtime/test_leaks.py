"""After its end nothing is kept of a connection, however it ended."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import ASYNC, Serving
from trioproto import Factory
from trioproto.runtime.driver import BaseDriver
from trioproto.sansio.connection import Connection
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder

pytestmark = pytest.mark.parametrize("driver", ASYNC)


async def end_by_eof(peer: Peer, transport: Any) -> None:
    await peer.send_eof()


async def end_by_close(peer: Peer, transport: Any) -> None:
    transport.write(b"good bye")
    transport.close()
    await peer.settle()
    await peer.aclose()


async def end_by_abort(peer: Peer, transport: Any) -> None:
    transport.write(b"never sent")
    transport.abort()


async def end_by_reset(peer: Peer, transport: Any) -> None:
    await peer.reset()
    await peer.settle()
    transport.write(b"noticed at the latest now")


async def end_by_timeout(peer: Peer, transport: Any) -> None:
    await peer.pass_time(100)


async def end_by_error(peer: Peer, transport: Any) -> None:
    await peer.send(b"fail")


async def end_in_async_callback(peer: Peer, transport: Any) -> None:
    await peer.send(b"async")
    await peer.settle()
    transport.abort()


async def end_after_async_callback(peer: Peer, transport: Any) -> None:
    await peer.send(b"answer")
    await peer.settle()
    await peer.send_eof()


async def end_with_task(peer: Peer, transport: Any) -> None:
    await peer.send(b"task")
    await peer.settle()
    transport.close()


async def end_with_others_waiting(peer: Peer, transport: Any) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.wait_closed)
        nursery.start_soon(transport.wait_draining)
        await peer.settle()
        transport.abort()


async def end_while_output_waits(peer: Peer, transport: Any) -> None:
    transport.write(bytes(2 << 20))
    await peer.settle()
    transport.abort()


async def end_while_paused(peer: Peer, transport: Any) -> None:
    transport.pause_reading()
    await peer.send(b"unread")
    await peer.settle()
    transport.abort()


ENDINGS = [
    end_by_eof,
    end_by_close,
    end_by_abort,
    end_by_reset,
    end_by_timeout,
    end_by_error,
    end_in_async_callback,
    end_after_async_callback,
    end_with_task,
    end_with_others_waiting,
    end_while_output_waits,
    end_while_paused,
]


class Obedient(Recorder):
    """Does what it receives."""

    def data_received(self, data: bytes) -> Any:
        super().data_received(data)
        if data == b"fail":
            raise ZeroDivisionError
        if data == b"async":
            return self.wait()
        if data == b"answer":
            return self.answer()
        if data == b"task":
            self.transport.start_soon(self.wait)
        return None

    async def wait(self) -> None:
        self.transport.write(b"waiting")
        await trio.sleep_forever()

    async def answer(self) -> None:
        self.transport.write(b"line")
        await trio.lowlevel.checkpoint()
        self.transport.write(b"line")
        await trio.lowlevel.checkpoint()


def kept(factory: Factory[Any]) -> list[str]:
    """What is alive of the connections and drivers of *factory*."""
    gc.collect()
    return sorted(
        type(thing).__name__
        for thing in gc.get_objects()
        if (isinstance(thing, Connection) and thing._owner is factory)
        or (isinstance(thing, BaseDriver) and thing.scope.factory is factory)
    )


@pytest.fixture(scope="module", autouse=True)
def little_to_look_at() -> None:
    """Have the collector pass over all that tests before these have left."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers in a test keep what is logged, and with a traceback all that it leads to."""
    monkeypatch.setattr(logging.getLogger("trioproto"), "disabled", True)


@pytest.mark.parametrize("end", ENDINGS)
async def test_nothing_is_kept_of_a_connection_that_has_ended(
    serving: Serving, autojump_clock: MockClock, end: Any
) -> None:
    protocols: list[weakref.ref[Any]] = []

    def build() -> Obedient:
        made = Obedient()
        protocols.append(weakref.ref(made))
        return made

    factory = Factory(build)
    async with serving(factory) as service:
        peer = await service.connect()
        assert len(kept(factory)) == 2
        (transport,) = (each.transport for each in factory.connections)
        await end(peer, transport)
        del transport
        await peer.pass_time(10)
        assert kept(factory) == []
        assert [ref() for ref in protocols] == [None]
        scope = factory._scope
        assert scope is not None
        assert [entry for entry in scope.deadlines._heap if entry.driver is not None] == []
        assert scope.poller is not None
        assert scope.poller._watchers == {}
        assert (scope.flusher._marked, scope.flusher._busy) == ([], [])
        assert factory._buffered == 0


async def test_a_thousand_connections_leave_nothing_behind(
    serving: Serving, autojump_clock: MockClock
) -> None:
    factory = Factory(Recorder, max_connections=None)
    async with serving(factory) as service:
        for _ in range(100):
            peer = await service.connect()
            await peer.send(b"hello")
            await peer.settle()
            await peer.aclose()
            service.peers.clear()
        await trio.sleep(100)
        assert kept(factory) == []
        scope = factory._scope
        assert scope is not None
        assert len(scope.deadlines._heap) <= 100
