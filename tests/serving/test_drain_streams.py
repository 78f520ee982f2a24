"""What has come over a stream, and was not read yet, when a drain begins."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import SocketPeer, small_listener
from tests.serving.conversations import dial, settle
from trioproto import Factory, TCPAddress, open_server
from trioproto.errors import ConnectionLost, ServerDraining
from trioproto.framing import LineReceiver
from trioproto.testing.conformance.recorder import Recorder


class SocketStreams(trio.abc.Listener[trio.SocketStream]):
    """Gives trio's socket streams, and is no listener that we would take the socket of."""

    def __init__(self) -> None:
        self._listener = small_listener()

    async def accept(self) -> trio.SocketStream:
        return await self._listener.accept()

    async def aclose(self) -> None:
        await self._listener.aclose()

    def dial(self) -> SocketPeer:
        return dial(TCPAddress(*self._listener.socket.getsockname()))


class Slow(LineReceiver):
    """Takes a second for each line."""

    async def line_received(self, line: bytes) -> None:
        await trio.sleep(1)
        self.send_line(line.upper())


@pytest.mark.parametrize("count", [1, 2, 9000])
async def test_what_a_socket_has_received_in_a_callback_is_answered(
    autojump_clock: MockClock, count: int
) -> None:
    """Of one read, or of more, though the lines after the first are not waited for."""
    listener = SocketStreams()

    class FirstIsSlow(Slow):
        async def line_received(self, line: bytes) -> None:
            if line == b"first":
                await super().line_received(line)
            else:
                self.send_line(line.upper())

    async with open_server(Factory(FirstIsSlow), listener) as server:
        peer = listener.dial()
        await peer.send(b"first\r\n")
        await settle()
        await peer.send(b"then %04d\r\n" % count * count)
        await settle()
        server.stop()
        answers = b"FIRST\r\n" + b"THEN %04d\r\n" % count * count
        assert await peer.receive_all() == (answers, "eof")
        await peer.aclose()


async def test_a_socket_that_broke_in_a_callback_is_lost(autojump_clock: MockClock) -> None:
    listener = SocketStreams()
    async with open_server(Factory(Slow), listener) as server:
        peer = listener.dial()
        await peer.send(b"first\r\n")
        await settle()
        await peer.reset()
        (each,) = (await server.drain()).connections
    assert type(each.reason) is ConnectionLost
    assert isinstance(each.reason.__cause__, ConnectionResetError)


async def test_nothing_overtakes_what_trio_has_taken_from_a_socket(
    autojump_clock: MockClock,
) -> None:
    """A receive that need not wait holds its bytes for a tick: here a byte at each."""
    listener = SocketStreams()
    made: list[Recorder] = []

    def build() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with open_server(Factory(build, read_size=1), listener) as server:
        peers = [listener.dial() for _ in range(50)]
        await settle()
        sent = bytes(range(200))
        for peer in peers:
            peer.raw.send(sent)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        server.stop()
        for peer in peers:
            await peer.receive_all()
            await peer.aclose()
    assert all(sent.startswith(each.received) for each in made)
    assert {len(each.received) for each in made} != {0}


async def test_an_end_that_came_in_a_callback_is_the_end(autojump_clock: MockClock) -> None:
    listener = SocketStreams()
    async with open_server(Factory(Slow), listener) as server:
        peer = listener.dial()
        await peer.send(b"first\r\n")
        await settle()
        await peer.send(b"last\r\n")
        await peer.send_eof()
        await settle()
        report = await server.drain()
        assert await peer.receive_all() == (b"FIRST\r\nLAST\r\n", "eof")
        await peer.aclose()
    assert [type(each.reason) for each in report.connections] == [ServerDraining]
