"""An exception in user code ends its connection, and no other.

The rule: docs/callbacks.md, Errors.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import CallbackError
from trioproto.testing.conformance.failing import (
    BoomError,
    BuildsOnce,
    Log,
    assert_reported,
    async_boom,
    boom,
    eager_async_boom,
    only_error,
)
from trioproto.testing.conformance.features import Feature, each, needs
from trioproto.testing.conformance.provoking import each_callback, provoke
from trioproto.testing.conformance.recorder import CALLBACKS, Recorder
from trioproto.testing.conformance.service import Connecting, Serving, in_turn

ENDING = [callback for callback in CALLBACKS if callback != "connection_lost"]


async def see_it_end(connect: Connecting, callback: str, act: Any, logged: Log) -> None:
    """An error in this callback is reported; then comes the end, and the peer sees a reset."""
    protocol = Recorder(**{callback: act})
    async with connect(protocol, small_buffers=True) as peer:
        await provoke(callback, peer, protocol)
        assert protocol.heard[-2:] == [callback, "connection_lost"]
        assert_reported(logged, protocol, callback)
        assert (await peer.receive_all())[1] == "reset"


@each_callback(ENDING)
async def test_an_error_in_a_callback_ends_its_connection_with_a_reset(
    connect: Connecting, autojump_clock: MockClock, callback: str, logged_errors: Log
) -> None:
    await see_it_end(connect, callback, boom, logged_errors)


@needs(Feature.ASYNC_CODE)
@each_callback(ENDING)
@pytest.mark.parametrize("act", [async_boom, eager_async_boom])
async def test_an_error_in_an_async_callback_ends_its_connection_with_a_reset(
    connect: Connecting, autojump_clock: MockClock, callback: str, act: Any, logged_errors: Log
) -> None:
    await see_it_end(connect, callback, act, logged_errors)


@each("kind", {"sync": {}, "async": {Feature.ASYNC_CODE}})
async def test_an_error_in_connection_lost_is_logged_once(
    connect: Connecting, kind: str, logged_errors: Log
) -> None:
    protocol = Recorder(connection_lost={"sync": boom, "async": async_boom}[kind])
    async with connect(protocol) as peer:
        await peer.crash()
        assert protocol.heard == ["connection_made", "connection_lost"]
    assert type(only_error(logged_errors)) is BoomError


@needs(Feature.ASYNC_CODE)
async def test_an_error_in_a_task_ends_its_connection_with_a_reset(
    connect: Connecting, logged_errors: Log
) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.start_soon(async_boom, self))
    async with connect(protocol) as peer:
        await peer.send(b"go")
        assert await peer.receive_all() == (b"", "reset")
        await peer.settle()
        assert_reported(logged_errors, protocol, "async_boom")


@needs(Feature.ASYNC_CODE)
async def test_an_error_in_a_task_cancels_the_running_callback_and_other_tasks(
    connect: Connecting, logged_errors: Log
) -> None:
    cancelled: list[str] = []

    async def wait(what: str) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(what)
            raise

    def begin(self: Recorder) -> Any:
        self.transport.start_soon(wait, "task")
        self.transport.start_soon(async_boom, self)
        return wait("callback")

    protocol = Recorder(data_received=begin)
    async with connect(protocol) as peer:
        await peer.say(b"go")
        assert sorted(cancelled) == ["callback", "task"]
        assert_reported(logged_errors, protocol, "async_boom")


async def test_an_error_in_build_protocol_ends_that_connection_only(
    serving: Serving, logged_errors: Log
) -> None:
    good = Recorder(data_received=lambda self: self.transport.write(self.chunks[-1]))
    factory = BuildsOnce(iter([None, good]))
    async with serving(factory) as service:
        bad_peer = await service.connect()
        assert type(only_error(logged_errors)) is BoomError
        assert len(factory.connections) == 0
        good_peer = await service.connect()
        await good_peer.send(b"fine")
        assert await good_peer.receive_exactly(4) == b"fine"
        data, ending = await bad_peer.receive_all()
        assert (data, ending) == (b"", "reset")


@each_callback()
async def test_an_error_touches_no_other_connection(
    serving: Serving, autojump_clock: MockClock, callback: str, logged_errors: Log
) -> None:
    echo = Recorder(
        data_received=lambda self: self.transport.write(self.chunks[-1]), quiesce=lambda _: None
    )
    bad = Recorder(**{callback: boom})
    async with serving(in_turn([echo, bad]), small_buffers=True) as service:
        echo_peer = await service.connect()
        bad_peer = await service.connect()
        await provoke(callback, bad_peer, bad)
        assert bad.lost
        assert not echo.lost
        if callback == "quiesce":
            echo.transport.write(b"still here")
        else:
            await echo_peer.send(b"still here")
        assert await echo_peer.receive_exactly(10) == b"still here"
        echo.transport.close()
        assert await echo_peer.receive_all() == (b"", "eof")


async def test_a_cut_reply_does_not_look_whole(connect: Connecting, logged_errors: Log) -> None:
    def half_a_reply(self: Recorder) -> None:
        self.transport.write(b"half a reply")
        raise BoomError

    async with connect(Recorder(data_received=half_a_reply)) as peer:
        await peer.send(b"go")
        _, ending = await peer.receive_all()
        assert ending == "reset"


async def test_an_error_after_a_close_in_the_same_callback_is_an_error_too(
    connect: Connecting, logged_errors: Log
) -> None:
    def close_and_fail(self: Recorder) -> None:
        self.transport.write(b"reply")
        self.transport.close()
        raise BoomError

    protocol = Recorder(data_received=close_and_fail)
    async with connect(protocol) as peer:
        await peer.send(b"go")
        _, ending = await peer.receive_all()
        assert ending == "reset"
        await peer.settle()
        assert_reported(logged_errors, protocol, "data_received")


@needs(Feature.ASYNC_CODE)
async def test_an_error_in_a_task_that_was_cancelled_by_a_close_is_an_error_too(
    connect: Connecting, logged_errors: Log
) -> None:
    async def fail_at_last() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise BoomError

    protocol = Recorder(data_received=lambda self: self.transport.start_soon(fail_at_last))
    async with connect(protocol) as peer:
        await peer.say(b"go")
        protocol.transport.close()
        await peer.settle()
        await peer.leave()
        assert_reported(logged_errors, protocol, "fail_at_last")


@pytest.mark.parametrize("result", [1, "text", object(), [], True])
async def test_a_callback_that_returns_anything_else_is_a_type_error(
    connect: Connecting, logged_errors: Log, result: object
) -> None:
    protocol = Recorder(data_received=lambda _: result)
    async with connect(protocol) as peer:
        await peer.say(b"go")
        assert isinstance(protocol.reason, CallbackError)
        assert isinstance(protocol.reason.__cause__, TypeError)


async def test_write_of_text_in_a_callback_ends_the_connection_as_any_error_does(
    connect: Connecting, logged_errors: Log
) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.write("text"))  # type: ignore[arg-type]
    async with connect(protocol) as peer:
        await peer.send(b"go")
        assert await peer.receive_all() == (b"", "reset")
        await peer.settle()
        assert isinstance(protocol.reason, CallbackError)
        assert isinstance(protocol.reason.__cause__, TypeError)


async def test_the_same_error_is_logged_with_at_most_ten_tracebacks_a_minute(
    serving: Serving, logged_errors: Log
) -> None:
    async with serving(Factory(lambda: Recorder(data_received=boom))) as service:
        for _ in range(30):
            peer = await service.connect()
            await peer.say(b"go")
    assert sum(bool(record.exc_info) for record in logged_errors) == 10


@needs(Feature.ASYNC_CODE)  # whose service has an end
async def test_errors_that_were_not_logged_are_counted(
    serving: Serving, logged_errors: Log
) -> None:
    async with serving(Factory(lambda: Recorder(data_received=boom))) as service:
        for _ in range(37):
            peer = await service.connect()
            await peer.say(b"go")
    counted = [record.getMessage() for record in logged_errors if not record.exc_info]
    assert len(counted) == 1
    assert "27" in counted[0]
    assert "BoomError" in counted[0]


async def test_other_errors_are_logged_beside_one_that_repeats(
    serving: Serving, logged_errors: Log
) -> None:
    def other(_: Recorder) -> None:
        raise ZeroDivisionError

    acts = iter([boom] * 15 + [other])
    async with serving(Factory(lambda: Recorder(data_received=next(acts)))) as service:
        for _ in range(16):
            peer = await service.connect()
            await peer.say(b"go")
    tracebacks = [record.exc_info[0] for record in logged_errors if record.exc_info]
    assert tracebacks[-1] is ZeroDivisionError


async def test_what_a_peer_does_is_never_logged_as_an_error(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """That no traceback is logged is seen to for every test; this is about its bytes."""
    caplog.set_level(logging.DEBUG, logger="trioproto")
    garbage = b"\x00\x1b[31m\r\n" * 100
    async with serving(Factory(Recorder)) as service:
        for _ in range(3):
            peer = await service.connect()
            await peer.say(garbage)
            await peer.crash()
    assert all(record.levelno < logging.ERROR for record in caplog.records)
    assert "\x1b" not in caplog.text
    assert "\x00" not in caplog.text
