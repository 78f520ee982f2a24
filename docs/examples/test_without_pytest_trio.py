"""Without pytest-trio: trio's own decorator runs the test, and its mock clock is a fixture."""

import pytest
import trio
from trio.testing import MockClock, trio_test

from trioproto import Protocol
from trioproto.testing import ServeFactory


class Patient(Protocol):
    """Lets who says nothing go after a minute."""

    def connection_made(self) -> None:
        self.transport.set_timeout(60)


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


@trio_test
async def test_who_says_nothing_is_let_go(serve_factory: ServeFactory, clock: MockClock) -> None:
    async with serve_factory(Patient) as server:
        stream = await server.connect()
        assert await stream.receive_some() == b""
        assert trio.current_time() == pytest.approx(60)
