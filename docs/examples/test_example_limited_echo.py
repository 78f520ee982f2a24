"""The limited echo: so many visitors and no more, whoever counts them."""

from collections.abc import Callable

import pytest
from trio.testing import wait_all_tasks_blocked

from examples.limited_echo import TOO_MANY, CountingFactory, limited_factory
from trioproto import Factory
from trioproto.testing import ScriptedPeer, peer, serving

ways = pytest.mark.parametrize("make", [limited_factory, CountingFactory])


async def check_echo(p: ScriptedPeer) -> None:
    await p.send(b"hello")
    await p.expect(b"hello")


@ways
async def test_the_one_too_many_is_told_so(make: Callable[[int], Factory]) -> None:
    async with (
        serving(make(2)) as server,
        peer(await server.connect()) as first,
        peer(await server.connect()) as second,
    ):
        await check_echo(first)
        await check_echo(second)
        async with peer(await server.connect()) as third:
            await third.send(b"let me in")
            await third.expect(TOO_MANY)
            await third.expect_eof()
        await check_echo(first)
        await check_echo(second)


@ways
async def test_a_place_is_given_again(make: Callable[[int], Factory]) -> None:
    async with serving(make(1)) as server:
        for _ in range(3):
            async with peer(await server.connect()) as p:
                await check_echo(p)
                await p.send_eof()
                await p.expect_eof()


@ways
async def test_so_is_the_place_of_one_who_has_crashed(make: Callable[[int], Factory]) -> None:
    async with serving(make(1)) as server:
        stream = await server.connect()
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"
        stream.reset()
        await wait_all_tasks_blocked()
        async with peer(await server.connect()) as p:
            await check_echo(p)
