"""Chargen: a stream without end, as fast as it is read and no faster."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from examples.chargen import ChargenFactory
from trioproto.errors import WriteTimeout
from trioproto.testing import Faults, ScriptedPeer, connected, serving


def pattern(count: int) -> bytes:
    """Return the first bytes of the RFC's: on line N, the characters N to N + 71 of its ring."""
    ring = bytes(range(ord(" "), ord("~") + 1)) * 2
    lines = (ring[number % 95 :][:72] + b"\r\n" for number in range(count // 74 + 1))
    return b"".join(lines)[:count]


# Not `async with peer(stream)`, which fails if anything is left that nobody has expected.


@pytest.mark.parametrize("size", [7, 73, 7031, 65536])
async def test_the_pattern_is_whole_in_reads_of_any_size(size: int) -> None:
    async with connected(ChargenFactory(), to_client=Faults(reads=(size,))) as stream:
        await ScriptedPeer(stream).expect(pattern(15_000))  # two turns of the ring


@pytest.mark.parametrize("high_water", [1, 73, 65536])
async def test_what_waits_for_a_slow_reader_is_bounded(high_water: int) -> None:
    factory = ChargenFactory()
    received = b""
    async with connected(factory, capacity=100, high_water=high_water, low_water=0) as stream:
        for size in (1, 500, 70_000):
            received += await stream.receive_some(size)
            await wait_all_tasks_blocked()
            (protocol,) = factory.connections
            assert 0 < protocol.transport.buffered <= high_water
    assert received == pattern(len(received))


async def test_who_only_listens_may_do_so_for_hours(autojump_clock: MockClock) -> None:
    async with connected(ChargenFactory()) as stream:
        p = ScriptedPeer(stream)
        while trio.current_time() < 3600:
            await p.expect_exactly(100_000)
            await trio.sleep(20)


async def test_who_does_not_read_is_heard_and_may_end(autojump_clock: MockClock) -> None:
    async with connected(ChargenFactory(), capacity=1000) as stream:
        await stream.send_all(bytes(100_000))
        await stream.send_eof()
        await stream.wait_all_read()
        rest = b"".join([data async for data in stream])
        assert rest == pattern(len(rest))


async def test_who_reads_nothing_is_given_up(autojump_clock: MockClock) -> None:
    factory = ChargenFactory()
    async with connected(factory, capacity=1000) as stream:
        assert await stream.receive_some()
        (protocol,) = factory.connections
        with trio.fail_after(3600):
            assert type(await protocol.transport.wait_closed()) is WriteTimeout
        assert trio.current_time() == factory.settings.write_timeout


async def test_a_drain_does_not_wait_for_who_reads_nothing(autojump_clock: MockClock) -> None:
    async with serving(ChargenFactory(), capacity=1000) as server:
        stuck, reader = await server.connect(), await server.connect()
        begin = await reader.receive_some()
        server.server.stop()
        rest = b"".join([data async for data in reader])
        assert begin + rest == pattern(len(begin + rest))
        await reader.aclose()
        await server.server.drain()
        assert trio.current_time() < 30
        assert stuck.unread
