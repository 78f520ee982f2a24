"""A server that is cancelled, at each step of a scenario in turn, leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import MemoryPeer, OverTLS
from tests.serving.conversations import LOOPBACK, Greeter, dial, dialled
from tests.serving.limited import TriesLater, check_at_rest
from tests.serving.test_listeners import offer
from tests.tls.over_wire import Speaker
from trioproto import Factory, open_server
from trioproto.runtime.admission import Admission
from trioproto.testing import MemoryListener, PlainMemoryStream

STRIDE = 3
"""Every so many steps: other ones in each run, as tasks are run in another order."""


class Talks(Greeter):
    """Has async callbacks."""

    async def data_received(self, data: bytes) -> None:
        await trio.sleep(0.1)
        self.transport.write(data)

    async def connection_lost(self, reason: object) -> None:
        await trio.sleep(0.1)


class CancelsAt(trio.abc.Instrument):
    """Cancels what serves when so many steps of tasks have been made."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.scope: trio.CancelScope | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.scope is not None:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


class Kept(Factory[Any]):
    """Keeps what has its limits."""

    admission: Admission | None = None

    def start_factory(self) -> Any:
        pass

    def look(self) -> None:
        assert self._scope is not None
        self.admission = self._scope.admission


SCENARIOS: dict[str, dict[str, Any]] = {
    "wait": {},
    "wait for a time": {"refuse_after": 0.3},
    "refuse": {"at_limit": "refuse"},
    "say so": {"at_limit": "refuse", "refusal": b"no"},
    "have it said": {"at_limit": "refuse", "refusal": TriesLater},
    "wait for a time and have it said": {"refuse_after": 0.3, "refusal": TriesLater},
    "wait for the rate": {"max_accept_rate": 4},
    "wait for the rate for a time": {"max_accept_rate": 4, "refuse_after": 0.3},
}


class Remembers(MemoryListener):
    """Knows what was accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[PlainMemoryStream] = []

    async def accept(self) -> PlainMemoryStream:
        self.accepted.append(await super().accept())
        return self.accepted[-1]


async def serve_some(factory: Kept, instrument: CancelsAt) -> None:
    """Have peers come to a socket, over TLS and to a ready-made listener, until all have gone."""
    listener = Remembers()
    streams: list[MemoryPeer] = [await offer(listener) for _ in range(3)]
    clients: list[Any] = []
    with trio.CancelScope() as instrument.scope:
        async with open_server(factory, LOOPBACK, OverTLS(LOOPBACK), listener, grace=1) as server:
            factory.look()
            for number in range(5):
                with suppress(OSError):  # it may have been cancelled already
                    clients.append(dial(server.addresses[number % 2]))
                    await (Speaker(clients[-1]).tell() if number % 2 else clients[-1].send(b"data"))
            for stream in streams:
                with suppress(trio.BrokenResourceError):  # or refused
                    await stream.send(b"data")
            await trio.sleep(0.25)
            factory.configure(max_connections=2)
            await trio.sleep(0.25)
            for client in clients[:3]:
                await client.aclose()
            for stream in streams[:2]:
                await stream.aclose()
            await trio.sleep(0.25)
            await server.drain()
    instrument.scope = None
    if factory.admission is not None:
        check_at_rest(factory, factory.admission)
    assert all(each.closed for each in listener.accepted)


def run(make: Callable[[], Kept], steps: int) -> int:
    """Run the scenario, cancelled after so many steps; return those that were left."""
    before = len(os.listdir("/proc/self/fd"))
    instrument = CancelsAt(steps)
    trio.run(
        serve_some,
        make(),
        instrument,
        clock=MockClock(autojump_threshold=0),
        instruments=[instrument],
    )
    while dialled:
        dialled.pop().discard()
    assert len(os.listdir("/proc/self/fd")) == before
    return instrument.left


@pytest.mark.parametrize("name", SCENARIOS)
def test_cancelled_anywhere(name: str) -> None:
    def make() -> Kept:
        return Kept(Talks, max_connections=1, max_per_peer=3, max_handshakes=1, **SCENARIOS[name])

    steps = 1
    while run(make, steps) <= 0:
        steps += STRIDE
    assert steps > 50, "it was cancelled where something happened"
