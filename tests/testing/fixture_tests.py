"""Tests as a user writes them whose block is a fixture's; all fail.

`test_pytest_plugin.py` runs them in another process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

from trioproto import Protocol
from trioproto.testing import MemoryServer, MemoryStream, ServeFactory, peer

pytestmark = pytest.mark.trio
Serving = MemoryServer["Faulty", MemoryStream]


class Faulty(Protocol):
    def data_received(self, data: bytes) -> None:
        self.look_at(data)

    def look_at(self, data: bytes) -> None:
        raise ValueError(f"cannot look at {data!r}")


@pytest.fixture
async def server(serve_factory: ServeFactory, autojump_clock: MockClock) -> AsyncIterator[Serving]:
    async with serve_factory(Faulty) as server:
        yield server


@pytest.fixture
async def another(serve_factory: ServeFactory) -> AsyncIterator[Serving]:
    async with serve_factory(Faulty) as server:
        yield server


async def test_receives(server: Serving) -> None:
    stream = await server.connect()
    await stream.send_all(b"x")
    await stream.receive_some()


async def test_expects(server: Serving) -> None:
    async with peer(await server.connect()) as p:
        await p.send(b"x")
        await p.expect(b"x")


async def test_waits(server: Serving) -> None:
    stream = await server.connect()
    await stream.send_all(b"x")
    await trio.sleep_forever()


async def test_callbacks_of_two_fail(server: Serving, another: Serving) -> None:
    await (await server.connect()).send_all(b"x")
    await (await another.connect()).send_all(b"x")
    await trio.sleep_forever()


async def test_fails_otherwise(server: Serving) -> None:
    stream = await server.connect()
    await stream.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    assert 1 + 1 == 3


async def test_only_the_test_fails(server: Serving) -> None:
    async with peer(await server.connect()) as p:
        await p.expect(b"x")
