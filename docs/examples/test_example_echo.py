"""The echo over streams in memory: all of it comes back, whatever the network does to it."""

import pytest
from trio.testing import MockClock

from examples.echo import Echo
from trioproto import Factory
from trioproto.testing import Faults, connected, peer, serving

DATA = bytes(range(256)) * 400
LITTLE = DATA[:1000]  # byte by byte, perhaps


async def test_all_comes_back_also_what_was_said_last() -> None:
    async with connected(Factory(Echo)) as stream, peer(stream) as p:
        await p.send(DATA)
        await p.send_eof()
        await p.expect(DATA)
        await p.expect_eof()


@pytest.mark.parametrize("seed", range(5))
async def test_it_does_so_over_a_bad_network(seed: int, autojump_clock: MockClock) -> None:
    bad = Faults.from_seed(seed, size=len(LITTLE))
    async with (
        connected(Factory(Echo), to_server=bad, to_client=bad) as stream,
        peer(stream) as p,
    ):
        await p.send(LITTLE, timeout=3600)
        await p.expect(LITTLE, timeout=3600)


async def test_over_tls_too() -> None:
    async with connected(Factory(Echo), tls=True) as stream, peer(stream) as p:
        await p.send(DATA)
        await p.expect(DATA)


async def test_nobody_hears_what_another_has_said() -> None:
    async with (
        serving(Factory(Echo)) as server,
        peer(await server.connect()) as anna,
        peer(await server.connect()) as ben,
    ):
        await anna.send(b"from Anna")
        await ben.send(b"from Ben")
        await ben.expect(b"from Ben")
        await anna.expect(b"from Anna")
