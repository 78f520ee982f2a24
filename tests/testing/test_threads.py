"""The tests' own virtual clock, where threads work."""

from __future__ import annotations

from hashlib import pbkdf2_hmac
from math import inf

import trio
from trio.testing import MockClock

from trioproto import Protocol
from trioproto.testing import connected, threads_take_no_time


def work() -> None:
    """Take some milliseconds, without holding others up."""
    pbkdf2_hmac("sha256", b"", b"", 20_000)


async def test_no_virtual_time_passes_while_a_thread_works(autojump_clock: MockClock) -> None:
    with threads_take_no_time(), trio.fail_after(1):
        await trio.to_thread.run_sync(work)
    assert trio.current_time() == 0


async def test_it_passes_before_and_after_that(autojump_clock: MockClock) -> None:
    with threads_take_no_time():
        await trio.sleep(1)
        await trio.to_thread.run_sync(work)
        await trio.sleep(1)
    await trio.sleep(1)
    assert trio.current_time() == 3


async def test_a_block_in_which_something_is_served_waits_for_threads(
    autojump_clock: MockClock,
) -> None:
    class Slow(Protocol):
        async def connection_made(self) -> None:
            await trio.to_thread.run_sync(work)
            self.transport.write(b"done")

    async with connected(Slow) as stream:
        with trio.fail_after(1):
            assert await stream.receive_some() == b"done"
        assert trio.current_time() == 0


async def test_a_clock_that_does_not_jump_stays_so() -> None:
    clock = trio.lowlevel.current_clock()
    assert not isinstance(clock, MockClock)
    with threads_take_no_time():
        await trio.to_thread.run_sync(work)


async def test_a_threshold_that_others_set_meanwhile_is_kept(autojump_clock: MockClock) -> None:
    with threads_take_no_time():
        for threshold in (0.01, inf, 0):
            autojump_clock.autojump_threshold = threshold
            await trio.lowlevel.checkpoint()
            assert autojump_clock.autojump_threshold == threshold
            await trio.to_thread.run_sync(work)
            assert autojump_clock.autojump_threshold == threshold
        autojump_clock.autojump_threshold = 0.01
    assert autojump_clock.autojump_threshold == 0


async def test_blocks_may_be_nested(autojump_clock: MockClock) -> None:
    with threads_take_no_time(), threads_take_no_time():
        await trio.to_thread.run_sync(work)
    with threads_take_no_time():
        await trio.sleep(1)
    await trio.sleep(1)
    assert trio.current_time() == 2
