"""The port forwarder, between a client and a target in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from examples.echo import Echo
from examples.portforward import Forwarder
from trioproto.testing import (
    MemoryClientEndpoint,
    MemoryStream,
    PlainMemoryStream,
    ScriptedPeer,
    connected,
    open_memory_listener,
    peer,
    serving,
)


@asynccontextmanager
async def forwarding() -> AsyncIterator[tuple[MemoryStream, PlainMemoryStream]]:
    """Yield both ends of one connection: the client's, and the target's."""
    listener = open_memory_listener()
    forwarder = Forwarder(MemoryClientEndpoint(listener))
    async with connected(forwarder) as client, await listener.accept() as target:
        yield client, target


async def test_each_may_have_the_first_word_and_the_last() -> None:
    async with forwarding() as (client, target), peer(client) as c, peer(target) as t:
        await t.send(b"220 ready\r\n")
        await c.expect(b"220 ready\r\n")
        await c.send(b"QUIT\r\n")
        await c.send_eof()
        await t.expect(b"QUIT\r\n")
        await t.expect_eof()
        await t.send(b"221 goodbye\r\n")  # the other direction goes on
        await t.send_eof()
        await c.expect(b"221 goodbye\r\n")
        await c.expect_eof()


@pytest.mark.parametrize("who", ["client", "target"])
async def test_a_connection_that_is_cut_does_not_look_whole(who: str) -> None:
    async with forwarding() as (client, target):
        ends, sees = (client, target) if who == "client" else (target, client)
        ends.reset()
        await ScriptedPeer(sees).expect_reset()


async def test_it_goes_no_faster_than_it_is_read(autojump_clock: MockClock) -> None:
    async with forwarding() as (client, target):
        sent = 0
        with trio.move_on_after(1):
            while True:
                await client.send_all(bytes(1000))
                sent += 1000
        assert sent < 500_000
        await client.send_eof()
        received = sum([len(data) async for data in target])
        assert sent <= received < sent + 1000


async def test_two_who_send_before_they_read_do_not_block_each_other() -> None:
    much = bytes(1_000_000)
    async with forwarding() as (client, target), trio.open_nursery() as nursery:
        for stream in (client, target):
            nursery.start_soon(stream.send_all, much)
        await wait_all_tasks_blocked()  # all is full
        for stream in (target, client):
            await ScriptedPeer(stream).expect(much)


async def test_both_may_be_silent_for_hours(autojump_clock: MockClock) -> None:
    async with forwarding() as (client, target), peer(client) as c, peer(target) as t:
        await trio.sleep(50_000)
        for one, other in ((c, t), (t, c)):
            await one.send(b"still there")
            await other.expect(b"still there")


async def test_each_client_has_its_own_connection_to_an_echo() -> None:
    async with (
        serving(Echo) as echo,
        serving(Forwarder(MemoryClientEndpoint(echo.listener))) as server,
        peer(await server.connect()) as one,
        peer(await server.connect()) as two,
    ):
        await one.send(b"one")
        await two.send(b"two")
        await two.expect(b"two")
        await one.expect(b"one")
        server.server.stop()
        await one.expect_eof()
        await two.expect_eof()


async def test_without_a_target_the_client_is_reset(capsys: pytest.CaptureFixture[str]) -> None:
    nobody = open_memory_listener()
    await nobody.aclose()
    async with connected(Forwarder(MemoryClientEndpoint(nobody))) as stream, peer(stream) as p:
        await p.expect_reset()
    assert capsys.readouterr().err.count("\n") == 1
