"""The task of a connection that is cancelled ends as cancelled, whatever it was doing.

What it has done meanwhile is in other tests: here its caller looks at how it came back.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import pytest
import trio

from tests.behaviour.drivers import MORE_THAN_FITS, tcp_pair
from trioproto import Factory
from trioproto.errors import ServerCancelled
from trioproto.runtime.poll_driver import PollDriver
from trioproto.sansio.addresses import UnknownAddress
from trioproto.testing.conformance.recorder import Act, Recorder

Way = Callable[[Factory[Recorder], socket.socket], Awaitable[None]]


async def by_handle(factory: Factory[Recorder], sock: socket.socket) -> None:
    await factory.handle(trio.SocketStream(trio.socket.from_stdlib_socket(sock)))


async def by_poller(factory: Factory[Recorder], sock: socket.socket) -> None:
    scope = factory._scope
    assert scope is not None
    address = UnknownAddress("test")
    await PollDriver(scope, scope.poller, sock).run(address, address)


async def wait(_: Recorder) -> None:
    await trio.sleep_forever()


def write_and_close(protocol: Recorder) -> None:
    protocol.transport.write(bytes(MORE_THAN_FITS))
    protocol.transport.close()


STATES: dict[str, Act] = {
    "idle": lambda _: None,
    "in a callback": wait,
    "with a task": lambda protocol: protocol.transport.start_soon(trio.sleep_forever),
    "with output that waits": lambda protocol: protocol.transport.write(bytes(MORE_THAN_FITS)),
    "flushing": write_and_close,
    "lingering": lambda protocol: protocol.transport.close(),
}


@pytest.mark.parametrize("way", [by_handle, by_poller])
@pytest.mark.parametrize("state", STATES)
async def test_cancelled_comes_out_of_it(way: Way, state: str) -> None:
    protocol = Recorder(connection_made=STATES[state])
    factory = Factory(lambda: protocol)
    client, server = tcp_pair(None)

    async def cancel(scope: trio.CancelScope) -> None:
        await trio.testing.wait_all_tasks_blocked()
        assert protocol.heard
        assert not protocol.lost
        scope.cancel()

    with client, trio.fail_after(5):
        async with factory, trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(cancel, scope)
                await way(factory, server)
                pytest.fail("it came back as if it had ended by itself")
            assert scope.cancelled_caught
    protocol.check()
    if state not in ("flushing", "lingering"):
        assert type(protocol.reason) is ServerCancelled
