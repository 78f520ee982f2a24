"""The pipe: bytes one way, cut, delayed, stalled, dropped and broken."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioproto.testing import Faults
from trioproto.testing.pipe import Pipe


def read_all(pipe: Pipe, now: float = 0.0, most: int | None = None) -> list[bytes]:
    chunks = []
    while chunk := pipe.read(now, most):
        chunks.append(chunk)
    return chunks


def test_what_was_written_is_read_at_once_and_joined() -> None:
    pipe = Pipe()
    assert pipe.read(0) is None
    assert pipe.write(b"one", 0) == 3
    assert pipe.write(bytearray(b"two"), 0) == 3
    assert pipe.size == 6
    assert pipe.read(0) == b"onetwo"
    assert pipe.read(0) is None
    assert pipe.size == 0


def test_a_read_takes_no_more_than_it_asks_for() -> None:
    pipe = Pipe()
    pipe.write(b"abcdef", 0)
    assert read_all(pipe, most=4) == [b"abcd", b"ef"]


def test_a_changed_buffer_does_not_change_what_was_written() -> None:
    pipe, data = Pipe(), bytearray(b"abc")
    pipe.write(data, 0)
    data[:] = b"xyz"
    assert pipe.read(0) == b"abc"


def test_eof_comes_after_what_was_written_and_again_each_time() -> None:
    pipe = Pipe()
    pipe.write(b"last", 0)
    pipe.end(0)
    assert pipe.ended
    assert [pipe.read(0), pipe.read(0), pipe.read(0)] == [b"last", b"", b""]


@pytest.mark.parametrize(("size", "taken"), [(9, 9), (10, 10), (11, 10)])
def test_it_takes_what_it_has_room_for(size: int, taken: int) -> None:
    pipe = Pipe(capacity=10)
    assert pipe.write(bytes(size), 0) == taken
    assert pipe.room == 10 - taken
    assert pipe.write(b"more", 0) == min(4, 10 - taken)
    assert pipe.read(0, 3) is not None
    assert pipe.room == min(3, 10 - pipe.size)


def test_reads_have_the_sizes_that_are_given_and_over_again() -> None:
    pipe = Pipe(Faults(reads=(1, 3)))
    pipe.write(b"abcdefgh", 0)
    assert read_all(pipe) == [b"a", b"bcd", b"e", b"fgh"]


def test_writes_take_the_sizes_that_are_given() -> None:
    pipe = Pipe(Faults(writes=(2, 5)))
    assert [pipe.write(b"abcdef", 0) for _ in range(3)] == [2, 5, 2]
    assert pipe.write(b"", 0) == 0
    assert pipe.read(0) == b"ab" + b"abcde" + b"ab"


def test_bytes_arrive_after_their_delay_and_in_order() -> None:
    pipe = Pipe(Faults(delays=(3.0, 1.0)))
    pipe.write(b"slow", 0)
    pipe.write(b"fast", 1)
    pipe.end(1)
    assert pipe.next_at() == 3
    assert pipe.read(2.9) is None
    assert pipe.read(3) == b"slowfast"
    assert pipe.next_at() == 4
    assert pipe.read(3.9) is None
    assert pipe.read(4) == b""


def test_a_stall_holds_up_what_comes_after_its_place() -> None:
    pipe = Pipe(Faults(stalls=((3, 5.0),)))
    pipe.write(b"abcdef", 1)
    assert (pipe.read(1), pipe.read(5.9), pipe.read(6)) == (b"abc", None, b"def")


def test_a_stall_begins_when_its_place_is_reached() -> None:
    pipe = Pipe(Faults(stalls=((3, 5.0),)))
    pipe.write(b"abc", 0)
    pipe.write(b"def", 100)
    assert pipe.read(100) == b"abcdef"


def test_stalls_are_met_in_order_and_a_drop_is_one_for_ever() -> None:
    pipe = Pipe(Faults(stalls=((9, 1.0), (2, 3.0)), drop_after=5))
    pipe.write(b"0123456789", 0)
    assert [pipe.read(now) for now in (0, 2.999, 3, 1e9)] == [b"01", None, b"234", None]
    assert pipe.next_at() == inf


def test_a_stall_before_the_first_byte_counts_from_the_beginning() -> None:
    pipe = Pipe(Faults(stalls=((0, 5.0),)), now=10)
    pipe.write(b"abc", 10)
    assert (pipe.read(14.9), pipe.read(15)) == (None, b"abc")


def test_after_a_drop_nothing_comes_not_even_eof() -> None:
    pipe = Pipe(Faults(drop_after=2), capacity=5)
    assert pipe.write(b"abcdef", 0) == 5
    pipe.end(0)
    assert pipe.read(0) == b"ab"
    assert (pipe.read(1e9), pipe.next_at()) == (None, inf)
    assert pipe.room == 2, "what never arrives takes its room"


@pytest.mark.parametrize("size", [2, 3, 4])
def test_it_breaks_after_so_many_bytes(size: int) -> None:
    pipe = Pipe(Faults(reset_after=3))
    pipe.write(b"abcdef"[:size], 0)
    assert pipe.read(0) == b"abc"[:size]
    if size < 3:
        assert (pipe.read(0), pipe.breaks_at) == (None, inf)
        return
    assert pipe.breaks_at == 0
    with pytest.raises(ConnectionResetError):
        pipe.read(0)
    assert pipe.write(b"lost", 0) == 4
    assert pipe.size == 0


def test_it_may_break_before_the_first_byte() -> None:
    pipe = Pipe(Faults(reset_after=0))
    with pytest.raises(ConnectionResetError):
        pipe.read(0)


def test_a_break_comes_after_what_is_on_its_way_before_it() -> None:
    pipe = Pipe(Faults(delays=(2.0,), reset_after=3))
    pipe.write(b"abcd", 0)
    assert pipe.read(1) is None
    assert (pipe.next_at(), pipe.breaks_at) == (2, 2)
    assert pipe.read(2) == b"abc"
    with pytest.raises(ConnectionResetError):
        pipe.read(2)


def test_a_reset_loses_what_has_not_arrived_and_the_eof() -> None:
    pipe = Pipe(Faults(delays=(1.0, 5.0, 0.0)))
    pipe.write(b"here", 0)
    pipe.write(b"not yet", 0)
    pipe.end(0)
    pipe.reset(3)
    assert pipe.size == 4
    assert pipe.read(3) == b"here"
    with pytest.raises(ConnectionResetError):
        pipe.read(9)


def test_eof_that_has_arrived_stays_an_eof() -> None:
    pipe = Pipe()
    pipe.end(0)
    pipe.reset(1)
    assert pipe.read(1) == b""


def test_writing_to_who_has_closed_breaks_it() -> None:
    pipe = Pipe()
    pipe.write(b"unread", 0)
    pipe.close()
    assert (pipe.closed, pipe.size, pipe.breaks_at) == (True, 0, inf)
    assert pipe.write(b"more", 1) == 4
    assert (pipe.size, pipe.breaks_at) == (0, 1)


def test_single_bytes_of_much_take_no_longer_than_their_number() -> None:
    """It would take minutes if each read copied what is left."""
    pipe = Pipe(Faults(reads=(1,)))
    pipe.write(bytes(1 << 20), 0)
    for _ in range(1 << 16):
        assert pipe.read(0) == b"\0"


@given(seed=st.integers(0, 1 << 32), data=st.binary(max_size=300))
def test_faults_of_a_seed_lose_nothing(seed: int, data: bytes) -> None:
    faults = Faults.from_seed(seed)
    assert faults == Faults.from_seed(seed)
    pipe, now, rest, came = Pipe(faults, capacity=50), 0.0, data, b""
    while len(came) < len(data):
        rest = rest[pipe.write(rest, now) :]
        now = max(now, pipe.next_at())
        came += b"".join(read_all(pipe, now))
    assert came == data


@given(st.data())
def test_whatever_is_read_is_a_prefix_of_what_was_written(data: st.DataObject) -> None:
    sizes = st.lists(st.integers(1, 5), max_size=3).map(tuple)
    seconds = st.floats(0, 3)
    place = st.none() | st.integers(0, 30)
    pipe = Pipe(
        Faults(
            reads=data.draw(sizes),
            writes=data.draw(sizes),
            delays=data.draw(st.lists(seconds, max_size=3).map(tuple)),
            stalls=data.draw(
                st.lists(st.tuples(st.integers(0, 20), seconds), max_size=2).map(tuple)
            ),
            drop_after=data.draw(place),
            reset_after=data.draw(place),
        ),
        capacity=data.draw(st.none() | st.integers(1, 10)),
    )
    written, came, now = bytearray(), bytearray(), 0.0
    source = bytes(range(256))
    for step in data.draw(st.lists(st.integers(0, 9), max_size=30)):
        if step < 5:
            chunk = source[len(written) : len(written) + step]
            written += chunk[: pipe.write(chunk, now)]
        else:
            now += step - 5
            try:
                came += pipe.read(now) or b""
            except ConnectionResetError:
                assert pipe.breaks_at <= now
        assert written.startswith(came)
        assert pipe.size == 0 or len(written) - len(came) >= pipe.size
