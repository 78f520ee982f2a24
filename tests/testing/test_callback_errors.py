"""Errors in callbacks come out of the block as they are, from the user's line on."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trioproto import Address, Factory, Protocol
from trioproto.errors import ConnectionClosed
from trioproto.framing import LineReceiver
from trioproto.testing import connected, serving


class Oops(Exception):
    """What the callbacks of these tests raise."""


def fail(*_: object) -> None:
    raise Oops


async def fail_later(*_: object) -> None:
    await trio.lowlevel.checkpoint()
    raise Oops


FAIL: Any = fail
FAIL_LATER: Any = fail_later


class Starts(Protocol):
    def connection_made(self) -> None:
        self.transport.start_soon(fail_later)


class Async(Protocol):
    data_received = FAIL_LATER


class Made(Protocol):
    connection_made = FAIL


class Data(Protocol):
    data_received = FAIL


class Line(LineReceiver):
    line_received = FAIL


class AsyncLine(LineReceiver):
    line_received = FAIL_LATER


class End(Protocol):
    eof_received = FAIL


class Lost(Protocol):
    connection_lost = FAIL


class AsyncLost(Protocol):
    connection_lost = FAIL_LATER


class Quiesces(Protocol):
    quiesce = FAIL

    def eof_received(self) -> bool:
        return True


class TimesOut(Protocol):
    timed_out = FAIL

    def connection_made(self) -> None:
        self.transport.set_timeout(0.01)


class Pauses(Protocol):
    pause_writing = FAIL

    def connection_made(self) -> None:
        self.transport.write(bytes(1 << 20))


class Returns(Protocol):
    def data_received(self, data: bytes) -> int:  # type: ignore[override]
        return 5


class Builds(Factory[Protocol]):
    build_protocol = FAIL


class StartFails(Factory[Protocol]):
    protocol = Protocol
    start_factory = FAIL


class StopFails(Factory[Protocol]):
    protocol = Protocol
    stop_factory = FAIL_LATER


KINDS = [Starts, Async, Made, Data, Line, AsyncLine, End, Lost, AsyncLost, Quiesces, TimesOut]
KINDS += [Pauses]
FACTORIES = [Builds, StartFails, StopFails]
SERVER_KINDS = [*KINDS, *FACTORIES]


async def provoke(target: Any, **options: Any) -> None:
    """Do all that leads to a callback; whatever is raised is the block's."""
    async with connected(target, **options) as stream:
        await stream.send_all(b"a line\r\n")
        await trio.sleep(0.1)


def places(error: BaseException) -> list[str]:
    """The functions in which an error was, from outside, after the test's own."""
    return [each.name for each in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("target", SERVER_KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("tls", [False, True])
async def test_each_comes_out_as_itself(
    autojump_clock: MockClock, target: Any, tls: bool, error_log: list[logging.LogRecord]
) -> None:
    with pytest.raises(Oops) as caught:
        await provoke(target, tls=tls)
    frames = traceback.extract_tb(caught.value.__traceback__)
    names = [each.name for each in frames]
    assert names[-1] in ("fail", "fail_later")
    kit = [each for each in frames if "/trioproto/testing/" in each.filename]
    assert {each.name for each in kit} <= {"__aenter__", "__aexit__", "raise_as_it_was"}
    rest = [each for each in frames if each not in kit]
    assert [each.filename for each in rest] == [__file__] * len(rest)
    assert caught.value.__context__ is None
    assert error_log == []


async def test_what_the_library_says_of_a_callback_has_no_frames_of_it() -> None:
    with pytest.raises(TypeError, match=r"Returns.data_received returned 5, not None") as caught:
        await provoke(Returns)
    assert len([each for each in places(caught.value) if each != "raise_as_it_was"]) <= 5


async def test_the_callbacks_own_frames_are_all_there() -> None:
    def deep(count: int) -> None:
        if not count:
            raise Oops
        deep(count - 1)

    class Deep(LineReceiver):
        def line_received(self, line: bytes) -> None:
            deep(3)

    with pytest.raises(Oops) as caught:
        await provoke(Deep)
    assert places(caught.value)[-5:] == ["line_received", *["deep"] * 4]


async def test_what_user_code_calls_in_the_library_stays_in_the_traceback() -> None:
    class WritesText(Protocol):
        def connection_made(self) -> None:
            self.transport.write("text")  # type: ignore[arg-type]

    with pytest.raises(TypeError) as caught:
        await provoke(WritesText)
    names = places(caught.value)
    assert names[names.index("connection_made") + 1] == "write"


async def test_its_own_cause_and_context_are_kept() -> None:
    class Chained(Protocol):
        def data_received(self, data: bytes) -> None:
            try:
                raise KeyError("first")
            except KeyError as error:
                raise Oops from error

    with pytest.raises(Oops) as caught:
        await provoke(Chained)
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__context__ is caught.value.__cause__


async def test_it_cancels_the_block_at_once(autojump_clock: MockClock) -> None:
    cancelled = False
    with pytest.raises(Oops) as caught:
        async with connected(Made):
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                cancelled = True
                raise
    assert cancelled
    assert trio.current_time() == 0
    assert not hasattr(caught.value, "__notes__")


async def test_a_block_whose_stream_was_reset_is_a_note() -> None:
    with pytest.raises(Oops) as caught:
        async with connected(Data) as stream:
            await stream.send_all(b"x")
            await stream.receive_some()  # here
    (note,) = caught.value.__notes__
    with open(__file__) as file:
        line = 1 + next(n for n, text in enumerate(file) if text.endswith("# here\n"))
    assert note.startswith(f"and so the block failed at {__file__}:{line}: BrokenResourceError: ")


class TestFails(AssertionError):
    """What the tests' own blocks raise."""

    __test__ = False


async def test_a_block_that_has_failed_too_comes_out_with_the_callbacks_error_as_its_context() -> (
    None
):
    with pytest.raises(TestFails) as caught:
        async with connected(Data) as stream:
            await stream.send_all(b"x")
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
            raise TestFails
    context = caught.value.__context__
    assert isinstance(context, Oops)
    assert places(context) == ["fail"]
    assert not caught.value.__suppress_context__


@pytest.mark.parametrize("how", ["from cause", "from none", "in handler"])
async def test_the_callbacks_error_comes_before_the_whole_chain_of_the_blocks(how: str) -> None:
    with pytest.raises(TestFails) as caught:
        async with connected(Data) as stream:
            await stream.send_all(b"x")
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
            fail_in_a_chain(how)
    shown = "".join(traceback.format_exception(caught.value))
    order = [shown.index(f"{name}\n") for name in ("Oops", "TestFails")]
    assert order == sorted(order)
    if how != "from none":
        assert order[0] < shown.index("KeyError") < order[1]


def fail_in_a_chain(how: str) -> None:
    try:
        raise KeyError
    except KeyError as error:
        if how == "from cause":
            raise TestFails from error
        if how == "from none":
            raise TestFails from None
        raise TestFails  # noqa: B904


async def test_a_block_that_raises_the_callbacks_error_itself_makes_no_circle() -> None:
    with pytest.raises(ConnectionClosed) as caught:
        async with serving(Data) as server:
            stream = await server.connect()
            await wait_all_tasks_blocked()
            (protocol,) = server.server.connections
            transport = protocol.transport
            await stream.send_all(b"x")
            with trio.CancelScope(shield=True):
                raise await transport.wait_closed()
    assert isinstance(caught.value.__cause__, Oops)
    assert caught.value.__cause__.__context__ is None


@pytest.mark.parametrize("many", [2, 5])
async def test_several_come_as_one_flat_group(many: int) -> None:
    with pytest.raises(ExceptionGroup, match="errors in callbacks") as caught:
        async with serving(Lost) as server:
            for _ in range(many):
                await server.connect()
            await wait_all_tasks_blocked()
    assert list(map(type, caught.value.exceptions)) == [Oops] * many
    for error in caught.value.exceptions:
        assert places(error) == ["fail"]


async def test_a_group_that_a_callback_raised_is_flat_too() -> None:
    class Group(Protocol):
        def data_received(self, data: bytes) -> None:
            raise ExceptionGroup("mine", [Oops(), ExceptionGroup("", [KeyError()])])

    with pytest.raises(ExceptionGroup) as caught:
        await provoke(Group)
    assert list(map(type, caught.value.exceptions)) == [Oops, KeyError]


async def test_a_group_of_the_blocks_stays_one_beside_a_callbacks_error() -> None:
    group = ExceptionGroup("mine", [KeyError(), ValueError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with connected(Data) as stream:
            await stream.send_all(b"x")
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
            raise group
    assert caught.value is group
    assert isinstance(group.__context__, Oops)


async def test_an_interrupt_in_a_callback_comes_out() -> None:
    class Interrupts(Protocol):
        def data_received(self, data: bytes) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await provoke(Interrupts)


async def test_an_interrupt_of_the_block_comes_out_with_the_error_as_its_context() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        async with connected(Data) as stream:
            await stream.send_all(b"x")
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
            raise KeyboardInterrupt
    assert isinstance(caught.value.__context__, Oops)


async def test_an_error_that_a_cancellation_from_outside_led_to_comes_out_as_itself() -> None:
    """In its place, as anywhere in Python: trio asks no more of an exception than to come out."""

    class FailsLast(Protocol):
        connection_lost = FAIL

    with pytest.raises(Oops) as caught, trio.CancelScope() as scope:
        async with connected(FailsLast):
            await wait_all_tasks_blocked()
            scope.cancel()
            await trio.sleep_forever()
    assert places(caught.value)[-1] == "fail"
    assert not scope.cancelled_caught


async def test_if_it_is_to_be_logged_it_is_logged(logged_errors: list[logging.LogRecord]) -> None:
    async with connected(Data, callback_errors="log") as stream:
        await stream.send_all(b"x")
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    assert len(logged_errors) == 1


class FailsAtTheEnd(Factory[Protocol]):
    protocol = Protocol

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            raise Oops


async def test_a_lifespan_that_fails_at_the_end_is_an_error_like_any() -> None:
    with pytest.raises(Oops) as caught:
        async with serving(FailsAtTheEnd()):
            pass
    assert caught.value.__context__ is None
    with pytest.raises(Oops) as caught:
        async with serving(FailsAtTheEnd()):
            raise TestFails
    assert isinstance(caught.value.__context__, ExceptionGroup)
    assert isinstance(caught.value.__context__.exceptions[0], TestFails)


async def test_the_next_block_of_the_same_factory_is_as_the_first() -> None:
    class Once(Factory[Protocol]):
        fails = True

        def build_protocol(self, peer: Address) -> Protocol:
            if self.fails:
                raise Oops
            return Protocol()

    factory = Once()
    with pytest.raises(Oops):
        await provoke(factory)
    factory.fails = False
    await provoke(factory)
