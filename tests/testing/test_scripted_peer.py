"""The scripted peer: what is right passes at once, and what is wrong is told as it is."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.behaviour.tls_peers import authority
from tests.tls.handshakes import trusting
from trioproto import Factory
from trioproto.errors import NotSupported
from trioproto.framing import LineReceiver
from trioproto.testing import ScriptedPeer, TranscriptError, chunks, connected, peer

Stream = trio.abc.Stream
Script = Callable[[ScriptedPeer], Awaitable[object]]


class Answers(LineReceiver):
    """Greets, answers each line, and leaves when it is asked to."""

    def connection_made(self) -> None:
        self.send_line(b"hello")

    def line_received(self, line: bytes) -> None:
        self.send_line(b"<" + line + b">")
        if line == b"bye":
            self.transport.close()


@asynccontextmanager
async def scripted(**options: Any) -> AsyncIterator[tuple[ScriptedPeer, Stream]]:
    """Give a peer, and the stream of what stands for a protocol."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with peer(ours, **options) as p:
        yield p, theirs


async def failure(p: ScriptedPeer, script: Script) -> TranscriptError:
    with pytest.raises(TranscriptError) as caught:
        await script(p)
    return caught.value


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
            nursery.start_soon(dribble, theirs, pieces, 0.1)
            await p.expect(b"one\r\n")
            assert await p.expect_until(b"\r\n\r\n") == b"two"
            assert await p.expect_exactly(5) == b"three"
            await p.expect_eof()

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def dribble(stream: Stream, pieces: list[bytes], seconds: float) -> None:
    for piece in pieces:
        await trio.sleep(seconds)
        await stream.send_all(piece)
    await stream.aclose()


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
        await p.expect_nothing(1)


async def test_the_stream_is_closed_in_the_end() -> None:
    async with scripted() as (_, theirs):
        pass
    assert await theirs.receive_some() == b""


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


EVERY: dict[str, Script] = {
    "expect": lambda p: p.expect(b"x", timeout=2),
    "expect_exactly": lambda p: p.expect_exactly(1, timeout=2),
    "expect_until": lambda p: p.expect_until(b";", timeout=2),
    "expect_line": lambda p: p.expect_line(timeout=2),
    "expect_eof": lambda p: p.expect_eof(timeout=2),
    "expect_reset": lambda p: p.expect_reset(timeout=2),
}


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


async def test_what_nobody_takes_is_not_sent_for_ever(autojump_clock: MockClock) -> None:
    ours, _theirs = trio.testing.lockstep_stream_pair()
    async with peer(ours, timeout=3) as p:
        error = await failure(p, lambda p: p.send(b"much"))
        assert error.problem == "b'much' was not all taken in 3 s"
        assert trio.current_time() == 3


# What is wrong


async def test_a_difference_is_told_at_once(autojump_clock: MockClock) -> None:
    async with scripted() as (p, theirs):
        await theirs.send_all(b"250 ")
        error = await failure(p, lambda p: p.expect(b"220 ready\r\n"))
        assert error.problem == "not what was to come"
        assert (error.came, error.expected) == (b"250 ", b"220 ready\r\n")
        assert "byte 1 is 53, expected 50" in str(error)
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
    async with connected(Answers) as stream, peer(stream) as p:
        await p.expect(b"hello\r\n")
        await trio.sleep(1.5)
        await p.send(b"one\r\n")
        error = await failure(p, lambda p: p.expect(b"<two>\r\n"))
        assert str(error) == (
            "not what was to come\n"
            "  came:     b'<one>\\r\\n'\n"
            "  expected: b'<two>\\r\\n'\n"
            "  byte 1 is 111, expected 116\n"
            "the exchange (< received, > sent):\n"
            "     0.000 > b'hello\\r\\n'\n"
            "     1.500 < b'one\\r\\n'\n"
            "     1.500 > b'<one>\\r\\n'"
        )
        await p.expect(b"<one>\r\n")


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
    async with scripted() as (p, theirs):
        await theirs.send_all(bytes(1_000_000))
        await p.expect(b"\0")
        assert len(p._heard.data) < 65_536
        await p.expect(bytes(999_999))


# Leaving the block


async def hold(stream: Stream, script: Script) -> None:
    async with peer(stream) as p:
        await script(p)


async def test_bytes_that_nobody_expected_are_an_error(autojump_clock: MockClock) -> None:
    """Also those that were not read until then."""
    ours, theirs = trio.testing.memory_stream_pair()

    async def script(p: ScriptedPeer) -> None:
        await theirs.send_all(b"one")
        await p.expect(b"o")
        await theirs.send_all(b"two")

    with pytest.raises(TranscriptError) as caught:
        await hold(ours, script)
    assert caught.value.problem == "b'netwo' came, and nobody expected it"
    assert caught.value.transcript == "     0.000 > b'one'\n     0.000 > b'two'"
    assert await theirs.receive_some() == b""


async def test_an_answer_that_nobody_expected_is_an_error(autojump_clock: MockClock) -> None:
    async def script(p: ScriptedPeer) -> None:
        await p.expect(b"hello\r\n")
        await p.send(b"one\r\n")

    async with connected(Answers) as stream:
        with pytest.raises(TranscriptError, match=r"b'<one>.*' came, and nobody expected it"):
            await hold(stream, script)
    assert trio.current_time() == 0


async def test_endless_output_that_nobody_expected_is_not_all_read() -> None:
    ours, theirs = trio.testing.lockstep_stream_pair()

    async def flood() -> None:
        with suppress(trio.BrokenResourceError):
            while True:
                await theirs.send_all(bytes(65_536))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        with pytest.raises(TranscriptError, match="came, and nobody expected it") as caught:
            await hold(ours, lambda p: p.expect(b"\0"))
    assert caught.value.transcript.count(" bytes more") == 17


async def test_an_exception_is_not_masked() -> None:
    async def script(p: ScriptedPeer) -> None:
        await p.expect(b"he")
        raise KeyError

    async with connected(Answers) as stream:
        with pytest.raises(KeyError):
            await hold(stream, script)


async def test_a_cancellation_goes_on_and_closes_the_stream() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"that nobody expects")
    with trio.CancelScope() as scope:
        scope.cancel()
        await hold(ours, lambda p: p.expect_eof())
    assert scope.cancelled_caught
    assert await theirs.receive_some() == b""


async def test_a_stream_that_was_closed_already_is_fine() -> None:
    async with scripted() as (p, theirs):
        await p.send(b"last")
        await p.stream.aclose()
    assert await theirs.receive_some() == b"last"


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


# Other streams


@asynccontextmanager
async def over_tcp() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        ours = await trio.open_tcp_stream(*listener.socket.getsockname())
        theirs = await listener.accept()
        async with ours, theirs:
            yield ours, theirs


async def reset(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await trio.aclose_forcefully(stream)


async def test_over_sockets() -> None:
    async with over_tcp() as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(Factory(Answers).handle, theirs)
        async with peer(ours) as p:
            await p.expect(b"hello\r\n")
            await p.send(b"bye\r\n")
            await p.expect(b"<bye>\r\n")
            await p.expect_eof()


async def test_a_reset_is_told_as_one() -> None:
    async with over_tcp() as (ours, theirs), peer(ours) as p:
        await theirs.send_all(b"25")
        await p.expect(b"2")
        await reset(theirs)
        error = await failure(p, lambda p: p.expect(b"50"))
        assert error.problem == "b'5' came, and then a reset"
        assert isinstance(error.__cause__, trio.BrokenResourceError)
        await p.expect(b"5")
        await p.expect_reset()
        assert (await failure(p, EVERY["expect_eof"])).problem == "a reset came instead"


async def test_a_reset_that_nobody_expected_is_an_error() -> None:
    async with over_tcp() as (ours, theirs):
        with pytest.raises(TranscriptError, match="a reset came, and nobody expected it"):
            await hold(ours, lambda _: reset(theirs))


async def test_sending_into_a_reset() -> None:
    async with over_tcp() as (ours, theirs), peer(ours) as p:
        await reset(theirs)
        error = await failure(p, lambda p: p.send(b"late"))
        assert error.problem == "the connection was reset while b'late' was sent"
        await p.expect_reset()


async def test_with_tls(autojump_clock: MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert("host.test").configure_cert(context)
    outside = trio.SSLStream(theirs, context, server_side=True, https_compatible=False)
    inside = trio.SSLStream(
        ours, trusting(authority()), server_hostname="host.test", https_compatible=False
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Factory(Answers).handle, outside)
        async with peer(inside) as p:
            await p.expect(b"hello\r\n")
            with pytest.raises(NotSupported):
                await p.send_eof()
            await p.expect_nothing(1)
            await p.send(b"bye\r\n")
            await p.expect(b"<bye>\r\n")
            await p.expect_eof()
