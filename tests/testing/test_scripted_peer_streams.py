"""The scripted peer over streams of other kinds, and what it leaves of a stream."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.testing.scripts import (
    EVERY,
    Answers,
    failure,
    hold,
    scripted,
)
from trioproto import Factory
from trioproto.errors import NotSupported
from trioproto.testing import ScriptedPeer, TranscriptError, connected, memory_stream_pair, peer
from trioproto.testing.tls_contexts import SERVER_NAME, contexts_of

# Leaving the block


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


async def test_an_end_that_nobody_expected_is_none(autojump_clock: MockClock) -> None:
    async def script(p: ScriptedPeer) -> None:
        await p.expect(b"hello\r\n")
        await p.send(b"bye\r\n")
        await p.expect(b"<bye>\r\n")

    async with connected(Answers) as stream:
        await hold(stream, script)


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


async def test_a_stream_that_was_closed_below_tls_is_fine_too() -> None:
    async with connected(Answers, tls=True) as stream, peer(stream) as p:
        await p.expect(b"hello\r\n")
        await trio.aclose_forcefully(stream.transport_stream)


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
    async with connected(Answers, tls=True) as stream, peer(stream) as p:
        await p.expect(b"hello\r\n")
        with pytest.raises(NotSupported):
            await p.send_eof()
        await p.expect_nothing(1)
        await p.send(b"bye\r\n")
        await p.expect(b"<bye>\r\n")
        await p.expect_eof()


async def test_no_time_does_not_spoil_a_handshake(autojump_clock: MockClock) -> None:
    """The first thing that is expected shakes hands, if nothing has before."""
    server, client = contexts_of(True)
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        assert isinstance(server, ssl.SSLContext)
        outside = trio.SSLStream(theirs, server, server_side=True)
        nursery.start_soon(Factory(Answers).handle, outside)
        inside = trio.SSLStream(ours, client, server_hostname=SERVER_NAME)
        async with peer(inside, timeout=0) as p:
            await p.expect(b"hello\r\n")
            await p.send(b"one\r\n")
            await p.expect(b"<one>\r\n")
    assert trio.current_time() == 0
