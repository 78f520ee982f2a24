"""The scripted peer: what is right passes at once, and what is late does not."""

from __future__ import annotations

import re

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.testing.scripts import (
    EVERY,
    Answers,
    Script,
    dribble,
    dribble_and_close,
    failure,
    scripted,
)
from trioproto import Protocol
from trioproto.errors import ConnectionClosed, ConnectionDone
from trioproto.testing import chunks, connected, peer

# What is right


async def test_a_conversation(autojump_clock: MockClock) -> None:
    async with connected(Answers) as stream, peer(stream) as p:
        await p.expect(b"hello\r\n")
        await p.send(b"one\r\ntwo\r\n")
        await p.expect(b"<one>\r\n<two>\r\n")
        await p.send(b"bye\r\n")
        assert await p.expect_line() == b"<bye>"
        await p.expect_eof()
    assert trio.current_time() == 0


async def test_what_follows_stays_for_the_next_expectation(autojump_clock: MockClock) -> None:
    async with scripted() as (p, theirs):
        await theirs.send_all(b"abcdef\r\nhead: 1\r\n\r\nbody and")
        await p.expect(b"ab")
        assert await p.expect_exactly(2) == b"cd"
        assert await p.expect_line("e.") == b"ef"
        assert await p.expect_until(b"\r\n\r\n") == b"head: 1"
        assert await p.expect_line(re.compile(rb"(?i)BODY"), newline=b" ") == b"body"
        await p.expect(b"and")


@given(st.data())
def test_a_chunk_may_end_anywhere(data: st.DataObject) -> None:
    pieces = data.draw(chunks(b"one\r\ntwo\r\n\r\nthree"))

    async def main() -> None:
        async with scripted() as (p, theirs), trio.open_nursery() as nursery:
            nursery.start_soon(dribble_and_close, theirs, pieces, 0.1)
            await p.expect(b"one\r\n")
            assert await p.expect_until(b"\r\n\r\n") == b"two"
            assert await p.expect_exactly(5) == b"three"
            await p.expect_eof()

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_both_sides_can_be_ended_alone(autojump_clock: MockClock) -> None:
    async with scripted() as (p, theirs):
        await theirs.send_all(b"last")
        assert isinstance(theirs, trio.abc.HalfCloseableStream)
        await theirs.send_eof()
        await p.send(b"more")
        await p.send_eof()
        assert await theirs.receive_some() == b"more"
        assert await theirs.receive_some() == b""
        await p.expect(b"last")
        await p.expect_eof()
        await p.expect_eof()
        await p.expect_nothing(1.5)
        assert trio.current_time() == 1.5


async def test_the_stream_is_closed_in_the_end() -> None:
    async with scripted() as (_, theirs):
        pass
    assert await theirs.receive_some() == b""


async def test_an_end_in_pieces_is_known_with_its_last_byte(autojump_clock: MockClock) -> None:
    async with scripted() as (p, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(dribble, theirs, [b"line\r", b"\n", b"\r", b"\n\r", b"\n"], 1)
        assert await p.expect_line() == b"line"
        assert trio.current_time() == 2
        assert await p.expect_until(b"\r\n\r\n") == b""
        assert trio.current_time() == 5


# Time


@pytest.mark.parametrize(("seconds", "in_time"), [(4.999, True), (5.0, True), (5.001, False)])
async def test_what_comes_at_the_last_moment_is_in_time(
    autojump_clock: MockClock, seconds: float, in_time: bool
) -> None:
    async with scripted() as (p, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(dribble, theirs, [b"late"], seconds)
        if in_time:
            await p.expect(b"late")
            assert trio.current_time() == seconds
        else:
            error = await failure(p, lambda p: p.expect(b"late"))
            assert error.problem == "nothing came in 5 s"
            assert trio.current_time() == 5
            await p.expect(b"late")


@pytest.mark.parametrize(("seconds", "is_told"), [(4.999, True), (5.0, True), (5.001, False)])
async def test_nothing_may_come_until_the_last_moment(
    autojump_clock: MockClock, seconds: float, is_told: bool
) -> None:
    async with scripted() as (p, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(dribble, theirs, [b"late"], seconds)
        if is_told:
            error = await failure(p, lambda p: p.expect_nothing(5))
            assert error.problem == "nothing was to come, and b'late' came"
            assert trio.current_time() == seconds
        else:
            await p.expect_nothing(5)
            assert trio.current_time() == 5
        await p.expect(b"late")


async def test_the_time_is_that_of_all_that_is_expected(autojump_clock: MockClock) -> None:
    """Who dribbles a byte a second does not get a new time with each."""
    async with scripted(timeout=3.5) as (p, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(dribble, theirs, [b"a", b"b", b"c", b"d"], 1)
        error = await failure(p, lambda p: p.expect(b"abcd"))
        assert error.problem == "only b'abc' came in 3.5 s"
        assert (error.came, error.expected) == (b"abc", b"abcd")
        assert trio.current_time() == 3.5
        await p.expect(b"abcd", timeout=1)


@pytest.mark.parametrize("script", EVERY.values(), ids=EVERY)
async def test_each_has_its_own_timeout(autojump_clock: MockClock, script: Script) -> None:
    async with scripted() as (p, _):
        assert (await failure(p, script)).problem == "nothing came in 2 s"
        assert trio.current_time() == 2


async def test_no_time_is_enough_for_what_is_on_its_way(autojump_clock: MockClock) -> None:
    async with connected(Answers) as stream, peer(stream, timeout=0) as p:
        await p.expect(b"hello\r\n")
        await p.send(b"one\r\n")
        await p.expect(b"<one>\r\n")
        await p.expect_nothing()
    assert trio.current_time() == 0


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("timeout", [0, 0.001])
async def test_however_little_time_is_given_leaving_is_no_reset(
    autojump_clock: MockClock, timeout: float, tls: bool
) -> None:
    reasons: list[ConnectionClosed] = []

    class Notes(Protocol):
        def connection_lost(self, reason: ConnectionClosed) -> None:
            reasons.append(reason)

    async with connected(Notes, tls=tls) as stream, peer(stream, timeout=timeout) as p:
        await p.send(b"bye")
    assert [type(reason) for reason in reasons] == [ConnectionDone]


async def test_what_nobody_takes_is_not_sent_for_ever(autojump_clock: MockClock) -> None:
    ours, _theirs = trio.testing.lockstep_stream_pair()
    async with peer(ours, timeout=3) as p:
        error = await failure(p, lambda p: p.send(b"much"))
        assert error.problem == "b'much' was not all taken in 3 s"
        assert trio.current_time() == 3


# Cancellation


@pytest.mark.parametrize("script", EVERY.values(), ids=EVERY)
async def test_what_was_read_stays_when_it_is_cancelled(
    autojump_clock: MockClock, script: Script
) -> None:
    async with scripted() as (p, theirs):
        with trio.move_on_after(1) as scope:
            await script(p)
        assert scope.cancelled_caught
        assert trio.current_time() == 1
        await theirs.send_all(b"later")
        await p.expect(b"later")


async def test_a_cancelled_expectation_has_taken_nothing(autojump_clock: MockClock) -> None:
    async with scripted() as (p, theirs):
        await theirs.send_all(b"abc")
        with trio.move_on_after(1):
            await p.expect(b"abcd")
        await p.expect(b"abc")


async def test_every_step_is_a_checkpoint() -> None:
    """Also one that has nothing to wait for."""
    async with scripted() as (p, theirs):
        await theirs.send_all(b"xx;\r\n\r\n")
        steps: list[Script] = [
            lambda p: p.expect(b"x"),
            lambda p: p.expect_exactly(1),
            lambda p: p.expect_until(b";"),
            lambda p: p.expect_line(""),
            lambda p: p.expect_exactly(2),
            lambda p: p.expect_nothing(),
            lambda p: p.send(b""),
            lambda p: p.check_nothing_is_left(),
            lambda p: p.send_eof(),
        ]
        for step in steps:
            with trio.testing.assert_checkpoints():
                await step(p)
            with trio.CancelScope() as scope:
                scope.cancel()
                await step(p)
            assert scope.cancelled_caught
        await theirs.aclose()
        for end in (p.expect_eof, p.expect_nothing, p.check_nothing_is_left):
            with trio.testing.assert_checkpoints():
                await end()
