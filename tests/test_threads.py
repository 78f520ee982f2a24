"""The tests' own virtual clock, where threads work."""

from __future__ import annotations

from hashlib import pbkdf2_hmac

import trio
import trio.testing
from trio.testing import MockClock

from tests.threads import no_thread_works, threads_take_no_time


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


async def test_threads_that_nobody_waits_for_are_waited_for(autojump_clock: MockClock) -> None:
    done: list[bool] = []

    def work_and_tell() -> None:
        work()
        done.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, work_and_tell)
        await trio.testing.wait_all_tasks_blocked()
        await no_thread_works()
        assert done == [True]
