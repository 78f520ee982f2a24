"""The scripted peer: what is wrong is told as it is, and as soon as it is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.testing.scripts import (
    EVERY,
    Answers,
    Script,
    dribble,
    failure,
    hold,
    scripted,
)
from trioproto.testing import Faults, TranscriptError, connected, memory_stream_pair, peer


async def test_a_difference_is_told_at_once(autojump_clock: MockClock) -> None:
    async with scripted() as (p, theirs):
        await theirs.send_all(b"250 ")
        error = await failure(p, lambda p: p.expect(b"220 ready\r\n"))
        assert error.problem == "not what was to come"
        assert (error.came, error.expected) == (b"250 ", b"220 ready\r\n")
        assert "from byte 1 on: b'50 ', expected b'20 ready\\r\\n'" in str(error)
        assert trio.current_time() == 0
        await p.expect(b"250 ")


async def test_a_difference_is_found_in_whatever_piece_it_comes(autojump_clock: MockClock) -> None:
    async with scripted() as (p, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(dribble, theirs, [b"a", b"bc", b"x", b"d"], 1)
        error = await failure(p, lambda p: p.expect(b"abcd"))
        assert error.came == b"abcx"
        assert trio.current_time() == 3
        await p.expect(b"abcxd")


async def test_the_error_shows_the_exchange(autojump_clock: MockClock) -> None:
    greeting, answer = b"220 mx.example.org ESMTP\r\n", b"250 sender accepted\r\n"
    async with scripted() as (p, theirs), trio.open_nursery() as nursery:
        await theirs.send_all(greeting)
        await p.expect(greeting)
        await trio.sleep(1.5)
        await p.send(b"MAIL FROM:<me@example.org>\r\n")
        nursery.start_soon(dribble, theirs, [b"250 sender "], 1)
        error = await failure(p, lambda p: p.expect(answer))
        shown_in_the_docs = Path(__file__).with_name("peer_error.txt")
        assert f"TranscriptError: {error}\n" == shown_in_the_docs.read_text(encoding="utf-8")
        await p.expect(b"250 sender ")


@pytest.mark.parametrize("script", list(EVERY.values())[:4], ids=list(EVERY)[:4])
async def test_eof_in_place_of_what_was_to_come(autojump_clock: MockClock, script: Script) -> None:
    async with scripted() as (p, theirs):
        await theirs.aclose()
        assert (await failure(p, script)).problem == "EOF came instead"
        assert trio.current_time() == 0


async def test_eof_behind_the_beginning_of_what_was_to_come(autojump_clock: MockClock) -> None:
    async with scripted() as (p, theirs):
        await theirs.send_all(b"25")
        await theirs.aclose()
        error = await failure(p, lambda p: p.expect(b"250 ok\r\n"))
        assert error.problem == "b'25' came, and then EOF"
        assert str(error).endswith("     0.000 > b'25'\n     0.000   EOF sent")
        await p.expect(b"25")


@pytest.mark.parametrize("script", [EVERY["expect_eof"], EVERY["expect_reset"]])
async def test_bytes_in_place_of_an_end(autojump_clock: MockClock, script: Script) -> None:
    async with scripted() as (p, theirs):
        await theirs.send_all(b"more")
        await theirs.aclose()
        error = await failure(p, script)
        assert (error.problem, error.came) == ("not what was to come", b"more")
        await p.expect(b"more")
        await p.expect_eof()


async def test_eof_in_place_of_a_reset_or_of_nothing(autojump_clock: MockClock) -> None:
    async with scripted() as (p, theirs):
        await theirs.aclose()
        assert (await failure(p, EVERY["expect_reset"])).problem == "EOF came instead"
    async with scripted() as (p, theirs):
        await theirs.aclose()
        error = await failure(p, lambda p: p.expect_nothing(5))
        assert error.problem == "nothing was to come, and EOF came"


@pytest.mark.parametrize(
    ("line", "pattern"), [(b"250 ok", "25. o"), (b"250 ok", "50 ok"), (b"ok\n", "ok")]
)
async def test_a_line_must_match_as_a_whole(line: bytes, pattern: str) -> None:
    async with scripted() as (p, theirs):
        await theirs.send_all(line + b"\r\n")
        error = await failure(p, lambda p: p.expect_line(pattern))
        assert error.problem == "not what was to come"
        assert error.came == line + b"\r\n"
        assert f"  expected: re.compile({pattern.encode()!r})" in str(error)
        await p.expect(line + b"\r\n")


async def test_a_line_that_does_not_end_is_told_with_the_end_that_it_should_have() -> None:
    async with scripted() as (p, theirs):
        await theirs.send_all(b"250 ok\n")
        error = await failure(p, lambda p: p.expect_line("250 .*", timeout=0))
        assert "\n  expected: re.compile(b'250 .*') and b'\\r\\n'\n" in str(error)
        await p.expect(b"250 ok\n")


async def test_what_is_expected_in_words_is_told_without_quotes() -> None:
    async with scripted() as (p, _):
        error = await failure(p, lambda p: p.expect_exactly(3, timeout=0))
        assert "\n  expected: 3 bytes\n" in str(error)
        error = await failure(p, lambda p: p.expect_eof(timeout=0))
        assert "\n  expected: EOF\n" in str(error)
        error = await failure(p, lambda p: p.expect_until(b"\n", max_bytes=9, timeout=0))
        assert "\n  expected: at most 9 bytes and b'\\n'\n" in str(error)


@pytest.mark.parametrize(("length", "fits"), [(9, True), (10, True), (11, False)])
async def test_a_line_has_a_limit(length: int, fits: bool) -> None:
    """What is too long is told as soon as no end of it can be in its place any more."""
    async with scripted() as (p, theirs):
        await theirs.send_all(b"x" * length + b"\r\n")
        if fits:
            assert len(await p.expect_line(max_bytes=10)) == length
        else:
            error = await failure(p, lambda p: p.expect_line(max_bytes=10))
            assert error.expected == "at most 10 bytes and b'\\r\\n'"
            await p.expect_exactly(length + 2)


@pytest.mark.parametrize(("length", "decided"), [(11, False), (12, True)])
async def test_a_line_without_end_fails_without_waiting(
    autojump_clock: MockClock, length: int, decided: bool
) -> None:
    async with scripted() as (p, theirs):
        await theirs.send_all(b"x" * length)
        await failure(p, lambda p: p.expect_line(max_bytes=10))
        assert (trio.current_time() == 0) is decided
        await p.expect_exactly(length)


@pytest.mark.parametrize("data", ["text", 5, None])
async def test_only_bytes_are_sent_and_expected(data: Any) -> None:
    async with scripted() as (p, _):
        with pytest.raises(TypeError):
            await p.send(data)
        with pytest.raises(TypeError):
            await p.expect(data)


async def test_nothing_is_not_expected_by_mistake() -> None:
    async with scripted() as (p, _):
        with pytest.raises(ValueError, match="at least one byte"):
            await p.expect(b"")
        with pytest.raises(ValueError, match="at least one byte"):
            await p.expect_line(newline=b"")
        with pytest.raises(ValueError, match="at least 0 bytes"):
            await p.expect_exactly(-1)
        assert await p.expect_exactly(0) == b""


async def test_no_more_is_read_than_was_expected_and_a_chunk() -> None:
    ours, theirs = memory_stream_pair(capacity=None)
    async with peer(ours) as p:
        await theirs.send_all(bytes(1_000_000))
        await p.expect(b"\0")
        assert ours.unread >= 1_000_000 - 65_536
        await p.expect(bytes(999_999))


FAULTS = {
    "a reset": (Faults(reset_after=3), "b'hel' came, and then a reset"),
    "a drop": (Faults(drop_after=3), "only b'hel' came in 5 s"),
    "a stall": (Faults(stalls=((3, 5.5),)), "only b'hel' came in 5 s"),
}


@pytest.mark.parametrize(("faults", "problem"), FAULTS.values(), ids=FAULTS)
async def test_what_a_network_does_is_told(
    autojump_clock: MockClock, faults: Faults, problem: str
) -> None:
    async with connected(Answers, to_client=faults) as stream, peer(stream) as p:
        assert (await failure(p, lambda p: p.expect(b"hello\r\n"))).problem == problem
        await p.expect(b"hel")
        if faults.reset_after:
            await p.expect_reset()
        elif faults.stalls:
            await p.expect(b"lo\r\n")


async def test_a_server_whose_answers_nobody_reads_stops_reading(
    autojump_clock: MockClock,
) -> None:
    async with connected(Answers, capacity=1000, high_water=1000, low_water=100) as stream:
        with pytest.raises(TranscriptError, match=r"was not all taken in 5 s"):
            await hold(stream, lambda p: p.send(b"line\r\n" * 1000))
    assert trio.current_time() == 5
