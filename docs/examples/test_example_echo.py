"""The echo over streams in memory: all of it comes back, whatever the network does to it."""

import pytest
from trio.testing import MockClock

from examples.echo import Echo
from trioproto.testing import Faults, connected, peer, serving

DATA = bytes(range(256)) * 400
LITTLE = DATA[:1000]  # byte by byte, perhaps


async def test_all_comes_back_also_what_was_said_last() -> None:
    async with connected(Echo) as stream, peer(stream) as p:
        await p.send(DATA)
        await p.send_eof()
        await p.expect(DATA)
        await p.expect_eof()


@pytest.mark.parametrize("seed", range(5))
async def test_it_does_so_over_a_bad_network(seed: int, autojump_clock: MockClock) -> None:
    bad = Faults.from_seed(seed, size=len(LITTLE))
    async with (
        connected(Echo, to_server=bad, to_client=bad) as stream,
        peer(stream) as p,
    ):
        await p.send(LITTLE, timeout=3600)
        await p.expect(LITTLE, timeout=3600)


@pytest.mark.parametrize("tls", [False, True])
async def test_it_is_the_same_over_tls(tls: bool) -> None:
    async with connected(Echo, tls=tls) as stream, peer(stream) as p:
        for size in (1, 1000, len(DATA)):
            await p.send(DATA[:size])
            await p.expect(DATA[:size])


async def test_nobody_hears_what_another_has_said() -> None:
    async with (
        serving(Echo) as server,
        peer(await server.connect()) as anna,
        peer(await server.connect()) as ben,
    ):
        await anna.send(b"from Anna")
        await ben.send(b"from Ben")
        await ben.expect(b"from Ben")
        await anna.expect(b"from Anna")
