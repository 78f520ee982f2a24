"""The code that the pages on limits and drains show does what they say."""

from __future__ import annotations

import signal
import sys

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from examples.echo import Echo
from tests.examples.running import Caller, running
from tests.examples.snippets_operating import (
    Follower,
    Thrifty,
    Upload,
    Watched,
    empty_slowly,
    public_server,
)
from trioproto import Factory, TCPAddress
from trioproto.errors import IdleTimeout, PeerTooSlow
from trioproto.testing import Harness, ScriptedPeer, peer, serving


def test_an_upload_has_to_go_on() -> None:
    """Who announces nothing may take its time; who uploads may not be silent, nor dribble."""
    silent, slow = Harness(Upload()), Harness(Upload())
    for harness in (silent, slow):
        harness.connect()
        harness.advance(50)
        harness.feed(b"1000000\r\n")
    silent.advance(6)
    assert type(silent.reason) is IdleTimeout
    for _ in range(30):
        slow.feed(b"x")
        slow.advance(1)
    assert type(slow.reason) is PeerTooSlow


async def test_a_public_server_tells_the_one_too_many_how_many_are_there() -> None:
    async with serving(public_server()) as server:
        for port in range(20):
            p = ScriptedPeer(await server.connect(peer=TCPAddress("192.0.2.1", port)))
            await p.send(b"hello")
            await p.expect(b"hello")
        async with peer(await server.connect(peer=TCPAddress("192.0.2.1", 20))) as refused:
            await refused.expect(b"421 20 are here, try later\r\n")
            await refused.expect_eof()


async def test_a_crowded_server_gives_up_on_silent_peers_sooner(
    autojump_clock: MockClock,
) -> None:
    factory = Thrifty(soft_limit=3)
    async with serving(factory) as server:
        silent, *_ = [await server.connect() for _ in range(3)]
        await wait_all_tasks_blocked()
        assert factory.settings.idle_timeout == 5
        async with peer(silent) as p:
            await p.expect_nothing(4.9)
            await p.expect_eof(timeout=0.2)


async def test_a_follower_takes_nobodys_place(autojump_clock: MockClock) -> None:
    factory = Factory(Follower, max_connections=1)
    async with serving(factory) as server:
        follower = await server.connect()
        await follower.send_all(b"follow\r\n")
        await wait_all_tasks_blocked()
        await server.connect()
        await wait_all_tasks_blocked()
        assert len(factory.connections) == 2
        await trio.sleep(1000)
        assert len(factory.connections) == 1  # the other was silent for a minute


async def test_a_server_is_emptied_slowly(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(Factory(Echo)) as server, trio.open_nursery() as nursery:
        streams = [await server.connect() for _ in range(4)]
        await wait_all_tasks_blocked()
        nursery.start_soon(empty_slowly, server.server)
        await wait_all_tasks_blocked()
        await server.connect()  # it waits to be accepted
        await wait_all_tasks_blocked()
        assert len(server.factory.connections) == 4
        for stream in streams[:2]:
            await stream.aclose()
        await server.server.wait_closed()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # with the one that was queued
    assert all(line.endswith(" finished ServerDraining()") for line in lines)


HANGING = """
import threading, trio, trioproto
from tests.examples.snippets_operating import Watched

class Obedient(trioproto.Protocol):
    async def data_received(self, data):
        if data == b"hang":
            threading.Event().wait()
        await trio.sleep(0.5)
        self.transport.write(data)

factory = Watched(Obedient)
factory.too_long = 0.1
trioproto.run(factory, "tcp:0:interface=127.0.0.1")
"""


def test_a_program_that_hangs_shows_where_and_one_that_does_not_shows_nothing() -> None:
    assert Watched().too_long == 10
    with running(sys.executable, "-c", HANGING) as program:
        port = int(program.read_line().rpartition(":")[2])
        with Caller("127.0.0.1", port) as caller:
            caller.send(b"wait")
            assert caller.read(4) == b"wait"
            program.signal(signal.SIGTERM)
            assert caller.read_all() == b""
        assert program.finish()[0::2] == (0, "")
    with running(sys.executable, "-c", HANGING) as program:
        port = int(program.read_line().rpartition(":")[2])
        with Caller("127.0.0.1", port) as caller:
            caller.send(b"hang")
            assert program.process.stderr is not None
            assert program.process.stderr.readline() == b"Timeout (0:00:00.100000)!\n"
            assert any(b" in data_received" in line for line in program.process.stderr)
            program.process.kill()
            assert program.finish()[0] == -signal.SIGKILL
