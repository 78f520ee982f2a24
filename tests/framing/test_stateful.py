"""StatefulProtocol and StateDispatch: the next step is a method."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from trioproto import run_protocol
from trioproto.errors import ConnectionDone, FrameTooLong, IncompleteFrame
from trioproto.framing import LineReceiver, State, StateDispatch, StatefulProtocol
from trioproto.sansio.protocol import CallbackResult
from trioproto.testing import Harness


class Records(StatefulProtocol):
    """A byte that says how many follow, and those."""

    max_length = 200

    def connection_made(self) -> None:
        self.records: list[bytes] = []
        self.reasons: list[Exception] = []

    def initial_state(self) -> State:
        return self.header, 1

    def header(self, data: bytes) -> State:
        return self.body, data[0]

    def body(self, data: bytes) -> State:
        self.records.append(data)
        return self.header, 1

    def connection_lost(self, reason: Exception) -> None:
        self.reasons.append(reason)


def connected(protocol: StatefulProtocol) -> Harness[Any]:
    harness = Harness(protocol)
    harness.connect()
    return harness


@given(st.lists(st.binary(max_size=20)), st.data())
def test_each_state_gets_its_bytes_however_they_were_cut(
    records: list[bytes], data: st.DataObject
) -> None:
    protocol = Records()
    harness = connected(protocol)
    stream = b"".join(bytes([len(record)]) + record for record in records)
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        harness.feed(stream[:size])
        stream = stream[size:]
    assert protocol.records == records


def test_a_state_that_needs_no_bytes_is_entered_at_once() -> None:
    protocol = Records()
    connected(protocol).feed(b"\0\0\0")
    assert protocol.records == [b"", b"", b""]


def test_none_stays_in_the_state() -> None:
    class Pairs(StatefulProtocol):
        def connection_made(self) -> None:
            self.pairs: list[bytes] = []

        def initial_state(self) -> State:
            return self.pair, 2

        def pair(self, data: bytes) -> None:
            self.pairs.append(data)

    protocol = Pairs()
    connected(protocol).feed(b"aabbc")
    assert protocol.pairs == [b"aa", b"bb"]


@pytest.mark.parametrize("size", [199, 200, 201])
def test_a_state_may_need_max_length_and_not_a_byte_more(size: int) -> None:
    protocol = Records()
    connected(protocol).feed(bytes([size]) + bytes(300))
    if size <= 200:
        assert protocol.records[0] == bytes(size)
    else:
        assert protocol.records == []
        reason = protocol.transport.reason
        assert isinstance(reason, FrameTooLong)
        assert (reason.limit, reason.announced) == (200, 201)


def test_the_end_of_input_in_mid_state_is_an_incomplete_frame() -> None:
    for data, expected in ((b"\x05ab", IncompleteFrame), (b"\x02ab", ConnectionDone)):
        protocol = Records()
        harness = connected(protocol)
        harness.feed(data)
        harness.feed_eof()
        assert type(protocol.transport.reason) is expected


def test_a_negative_size_is_the_protocols_error() -> None:
    class Wrong(Records):
        def header(self, data: bytes) -> State:
            return self.body, -1

    with pytest.raises(ValueError, match="-1 bytes"):
        connected(Wrong()).feed(b"x")


async def test_states_may_be_async() -> None:
    class Slow(Records):
        async def header(self, data: bytes) -> State:  # type: ignore[override]
            await trio.lowlevel.checkpoint()
            return self.body, data[0]

        async def body(self, data: bytes) -> State:  # type: ignore[override]
            await trio.lowlevel.checkpoint()
            return super().body(data)

    protocol = Slow()
    ours, peer = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_protocol, protocol, ours)
        await peer.send_all(b"\x03one\x00\x00\x05thr")
        await trio.testing.wait_all_tasks_blocked()
        assert protocol.records == [b"one", b"", b""]
        await peer.send_all(b"ee")
        await trio.testing.wait_all_tasks_blocked()
        assert protocol.records == [b"one", b"", b"", b"three"]
        await peer.aclose()


def test_a_first_state_that_needs_no_bytes_is_entered_when_the_connection_is_made() -> None:
    class Greeter(StatefulProtocol):
        def initial_state(self) -> State:
            return self.greet, 0

        def greet(self, data: bytes) -> State:
            self.transport.write(b"hello")
            return self.rest, 1

        def rest(self, data: bytes) -> None: ...

    assert connected(Greeter()).take() == b"hello"


def test_a_state_that_needs_no_bytes_is_entered_after_a_pause() -> None:
    class Pausing(Records):
        def header(self, data: bytes) -> State:
            self.transport.pause_reading()
            return self.body, data[0]

    protocol = Pausing()
    harness = connected(protocol)
    harness.feed(b"\0")
    assert protocol.records == []
    protocol.transport.resume_reading()
    harness.advance(0)
    assert protocol.records == [b""]


async def test_an_async_state_that_is_never_begun_is_closed() -> None:
    class Aborted(Records):
        async def header(self, data: bytes) -> State:  # type: ignore[override]
            raise AssertionError("begun")

        def data_received(self, data: bytes) -> CallbackResult:
            result = super().data_received(data)
            self.transport.abort()
            return result

    ours, peer = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_protocol, Aborted(), ours)
        await peer.send_all(b"x")


# StateDispatch


class Door(StateDispatch, LineReceiver):
    state = "locked"

    def line_received(self, line: bytes) -> Any:
        return self.dispatch(line)

    def state_locked(self, line: bytes) -> None:
        if line == b"sesame":
            self.state = "open"
        else:
            self.send_line(b"no")

    def state_open(self, line: bytes) -> None:
        self.send_line(b"welcome " + line)


def test_the_method_of_the_state_is_called() -> None:
    harness = Harness(Door())
    harness.connect()
    harness.feed(b"hello\r\nsesame\r\nali\r\n")
    assert harness.take() == b"no\r\nwelcome ali\r\n"


def test_a_first_state_without_a_method_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="state_lost"):

        class Lost(StateDispatch):
            state = "lost"


def test_a_state_without_a_method_is_an_error_that_names_the_others() -> None:
    door = Door()
    door.state = "ajar"
    with pytest.raises(LookupError, match="no state_ajar among state_locked, state_open"):
        door.dispatch(b"x")
