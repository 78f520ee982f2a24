from __future__ import annotations

import trio
from trio.testing import check_half_closeable_stream, check_two_way_stream

from trioproto.testing.memory import MemoryStream, PlainMemoryStream, memory_stream_pair


async def make() -> tuple[MemoryStream, MemoryStream]:
    await trio.lowlevel.checkpoint()
    return memory_stream_pair(capacity=1000)


async def clogged() -> tuple[MemoryStream, MemoryStream]:
    pair = memory_stream_pair(capacity=10)
    for stream in pair:
        await stream.send_all(b"x" * 10)
    return pair


async def test_it_is_a_half_closeable_stream_by_trios_rules() -> None:
    await check_half_closeable_stream(make, clogged)


async def test_the_plain_one_is_a_stream_by_trios_rules() -> None:
    async def make_plain() -> tuple[MemoryStream, PlainMemoryStream]:
        await trio.lowlevel.checkpoint()
        return memory_stream_pair(half_close=False)

    async def clogged_plain() -> tuple[MemoryStream, PlainMemoryStream]:
        pair = memory_stream_pair(half_close=False, capacity=3)
        for stream in pair:
            await stream.send_all(b"xxx")
        return pair

    await check_two_way_stream(make_plain, clogged_plain)
