"""The reader of a client's first flight: what it reads, when it lets go, that OpenSSL agrees."""

from __future__ import annotations

import random
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.layers.hellos import (
    KINDS,
    NAME,
    SMALL_KINDS,
    bodies,
    extension,
    first_flight,
    heard_by_openssl,
    hello,
    hello_of,
    in_records,
    in_records_of,
    prefixed,
    real,
    record,
    server_name,
)
from trioproto.layers.client_hello import LIMIT, ClientHelloReader
from trioproto.testing import chunks

REAL = pytest.mark.parametrize("kind", KINDS)
SMALL = pytest.mark.parametrize("kind", SMALL_KINDS)
FLIGHT = first_flight(NAME)
MESSAGE = bodies(FLIGHT)
ASKED = NAME.encode()
EMPTY = record(b"")
EMPTY_CHANGE = record(b"", 20)
CHANGE = record(b"\x01", 20)
WARNING = record(b"\x01\x5a", 21)


def read(*data: bytes) -> bytes | None:
    """Feed a reader; return the name once it has let go, which it has to do with the last bytes."""
    reader = ClientHelloReader()
    for each in data[:-1]:
        assert reader.feed(each) == b""
        assert not reader.done
        assert reader.name is None
    assert reader.feed(data[-1]) == b"".join(data)
    assert reader.done
    assert reader.pending == 0
    return reader.name


def released_after(data: bytes) -> int:
    """Feed single bytes; return how many there were when the reader let go of them."""
    reader = ClientHelloReader()
    for place in range(len(data)):
        given_back = reader.feed(data[place : place + 1])
        if reader.done:
            assert given_back == data[: place + 1]
            return place + 1
        assert given_back == b""
        assert reader.pending == place + 1
    raise AssertionError("all is kept")


class TestARealHello:
    @REAL
    def test_is_let_through_whole_and_its_name_is_known(self, kind: str) -> None:
        flight, name = real(kind)
        assert read(flight) == name

    @REAL
    def test_is_read_byte_by_byte_and_kept_until_its_last(self, kind: str) -> None:
        flight, name = real(kind)
        assert read(*[flight[place : place + 1] for place in range(len(flight))]) == name
        assert released_after(flight) == len(flight)

    @SMALL
    def test_is_read_at_every_split(self, kind: str) -> None:
        flight, name = real(kind)
        for place in range(1, len(flight)):
            assert read(flight[:place], flight[place:]) == name

    @REAL
    def test_has_the_name_that_openssl_hears(self, kind: str) -> None:
        flight, name = real(kind)
        assert heard_by_openssl(flight) == [name]

    @SMALL
    def test_may_be_cut_into_two_records_anywhere(self, kind: str) -> None:
        flight, name = real(kind)
        message = bodies(flight)
        for place in range(1, len(message)):
            assert read(in_records(message, [place])) == name

    @REAL
    @pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
    def test_may_be_in_many_records(self, kind: str, size: int) -> None:
        flight, name = real(kind)
        flight = in_records_of(size, bodies(flight))
        expected = name if len(flight) <= LIMIT else None
        assert read(flight) == expected
        assert released_after(flight) == min(len(flight), LIMIT)

    @SMALL
    @pytest.mark.parametrize("rest", [b"\0", b"\x16", record(b"\x10more"), b"GET /", bytes(LIMIT)])
    def test_may_have_more_behind_it_in_the_same_chunk(self, kind: str, rest: bytes) -> None:
        flight, name = real(kind)
        assert read(flight + rest) == name
        assert read(flight[:-1], flight[-1:] + rest) == name

    def test_may_have_more_behind_it_in_the_same_record(self) -> None:
        flight = record(MESSAGE + b"\x10\0\0\0")
        assert read(flight) == ASKED
        assert released_after(flight) == len(flight) - 4

    def test_may_have_a_name_of_any_bytes(self) -> None:
        for value in range(256):
            name = bytes([value]) + ASKED[1:]
            flight = FLIGHT.replace(ASKED, name)
            assert read(flight) == name
            assert heard_by_openssl(flight) == ([name] if value else [])

    def test_may_have_any_record_version_that_begins_with_3(self) -> None:
        for minor in range(256):
            flight = record(MESSAGE, version=bytes([3, minor]))
            assert read(flight) == ASKED
            assert heard_by_openssl(flight) in ([], [ASKED])

    @pytest.mark.parametrize("odd", [EMPTY, EMPTY_CHANGE], ids=["empty", "change"])
    def test_is_not_read_on_behind_a_record_that_openssl_may_pass_over(self, odd: bytes) -> None:
        two = in_records(MESSAGE, [100])
        for begin, rest in ((b"", FLIGHT), (two[:105], two[105:])):
            assert read(begin + odd + rest) is None
            assert released_after(begin + odd + rest) <= len(begin) + 5


class TestOnceItHasLetGo:
    @pytest.mark.parametrize("first", [FLIGHT, b"G", record(b"\x02")])
    def test_everything_passes_and_the_name_stays(self, first: bytes) -> None:
        reader = ClientHelloReader()
        assert reader.feed(first) == first
        name = reader.name
        for data in (b"x", b"", first_flight("other.example"), b"\x16"):
            assert reader.feed(data) == data
            assert (reader.name, reader.pending, reader.done) == (name, 0, True)

    def test_until_then_no_bytes_change_nothing(self) -> None:
        reader = ClientHelloReader()
        assert reader.feed(b"") == b""
        assert not reader.done
        assert reader.feed(FLIGHT[:50]) == b""
        assert reader.feed(b"") == b""
        assert reader.feed(FLIGHT[50:]) == FLIGHT
        assert reader.name == ASKED


class TestWhatIsNoHello:
    @pytest.mark.parametrize("first", [each for each in range(256) if each not in (20, 22)])
    def test_is_let_through_at_its_first_byte(self, first: int) -> None:
        assert released_after(bytes([first]) + FLIGHT) == 1

    @pytest.mark.parametrize(
        "data",
        [
            b"GET / HTTP/1.0\r\n\r\n",
            b"EHLO me\r\n",
            b"SSH-2.0-x\r\n",
            b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            bytes.fromhex("802e 01 0301 0015 0000 0010") + bytes(37),
            WARNING + FLIGHT,
            record(b"\x02\x28", 21),
            record(b"data", 23),
            record(b"", 23) + FLIGHT,
        ],
        ids=["HTTP", "SMTP", "SSH", "PROXY", "SSLv2", "warning", "alert", "data", "empty data"],
    )
    def test_is_let_through_at_once(self, data: bytes) -> None:
        assert read(data) is None
        assert released_after(data) == 1
        assert heard_by_openssl(data) in ([], [None])

    def test_is_let_through_at_a_version_that_does_not_begin_with_3(self) -> None:
        for major in range(256):
            if major != 3:
                data = bytes([22, major]) + FLIGHT[2:]
                assert released_after(data) == 2
                assert heard_by_openssl(data) == []

    def test_is_let_through_when_its_length_is_that_of_no_record(self) -> None:
        assert released_after(record(bytes(16384 + 1))) == 5
        assert read(record(hello_of(16384, b"a"))) == b"a"
        assert read(record(hello_of(16385, b"a"))) is None
        assert heard_by_openssl(record(hello_of(16384, b"a"))) == [b"a"]
        assert heard_by_openssl(record(hello_of(16385, b"a"))) == []

    def test_is_let_through_when_there_is_another_message_in_the_record(self) -> None:
        for kind in range(256):
            if kind != 1:
                data = record(bytes([kind]) + MESSAGE[1:])
                assert released_after(data) == 6
                assert heard_by_openssl(data) == []

    @pytest.mark.parametrize("between", [WARNING, record(b"x", 23), record(b"x", 0), b"GET /"])
    def test_is_let_through_when_another_record_comes_between(self, between: bytes) -> None:
        two = in_records(MESSAGE, [100])
        data = two[:105] + between + two[105:]
        assert released_after(data) == 106
        assert heard_by_openssl(data) == []

    def test_is_let_through_at_the_first_byte_of_a_change_of_keys(self) -> None:
        assert released_after(CHANGE + FLIGHT) == 1
        assert read(CHANGE + FLIGHT) is None
        assert heard_by_openssl(CHANGE + FLIGHT) == []


NAMED = extension(0, prefixed(2, b"\0" + prefixed(2, b"a")))
OTHERS = extension(21, b"\0\0") + extension(35, b"") + extension(16, b"\0\3\2h2")


class TestTheExtensions:
    @pytest.mark.parametrize(
        ("block", "name"),
        [
            (server_name(b"a.b"), b"a.b"),
            (OTHERS + server_name(b"a.b"), b"a.b"),
            (server_name(b"a.b") + OTHERS, b"a.b"),
            (OTHERS, None),
            (b"", None),
            (server_name(b""), b""),
            (server_name(b"."), b"."),
            (server_name(b"a" * 255), b"a" * 255),
            (server_name(b"\x80\xff"), b"\x80\xff"),
            (extension(256, b"") + extension(0x0A0A, server_name(b"a")), None),
        ],
    )
    def test_may_have_one_name_as_openssl_hears_it(self, block: bytes, name: bytes | None) -> None:
        flight = record(hello(prefixed(2, block)))
        assert heard_by_openssl(flight) == [name]
        assert read(flight) == name

    def test_may_be_missing(self) -> None:
        flight = record(hello(b""))
        assert heard_by_openssl(flight) == [None]
        assert read(flight) is None

    @pytest.mark.parametrize("name", [b"a\0b", b"a" * 256, b"\0"])
    def test_may_have_a_name_that_openssl_refuses(self, name: bytes) -> None:
        flight = record(hello(prefixed(2, server_name(name))))
        assert heard_by_openssl(flight) == []
        assert read(flight) == name

    @pytest.mark.parametrize(
        "rest",
        [
            prefixed(2, server_name(b"a") + server_name(b"a")),
            prefixed(2, server_name(b"") + server_name(b"a")),
            prefixed(2, server_name(b"a") + OTHERS + server_name(b"b")),
            prefixed(2, server_name(b"a", b"b")),
            prefixed(2, server_name()),
            prefixed(2, server_name(b"a", kind=1)),
            prefixed(2, extension(0, b"")),
            prefixed(2, extension(0, b"\0")),
            prefixed(2, extension(0, b"\0\1\0")),
            prefixed(2, extension(0, b"\0\2\0\0")),
            prefixed(2, extension(0, b"\0\3\0\0\1")),
            prefixed(2, extension(0, b"\0\3\0\0\1a")),
            prefixed(2, extension(0, b"\0\5\0\0\1a")),
            prefixed(2, extension(0, b"\0\5\0\0\1ab")),
            prefixed(2, extension(0, b"\0\4\0\0\1a") + b"b"),
            prefixed(2, extension(0, b"\0\4\0\0\1ab")),
            prefixed(2, server_name(b"a") + b"\0"),
            prefixed(2, server_name(b"a") + b"\1\1\0"),
            prefixed(2, server_name(b"a") + b"\1\1\0\1"),
            prefixed(2, server_name(b"a")) + b"\0",
            prefixed(2, server_name(b"a"))[:-1],
            b"\0" + NAMED,
            b"\0",
            b"\0\1",
        ],
    )
    def test_may_be_wrong_and_have_no_name_then(self, rest: bytes) -> None:
        flight = record(hello(rest))
        assert heard_by_openssl(flight) == []
        assert read(flight) is None
        assert released_after(flight) == len(flight)

    def test_may_be_cut_off_anywhere(self) -> None:
        message = hello(prefixed(2, OTHERS + server_name(b"a.b")))
        without = len(hello(b""))
        for end in range(4, len(message)):
            flight = record(b"\x01" + prefixed(3, message[4:end]))
            assert read(flight) is None
            assert heard_by_openssl(flight) == ([None] if end == without else [])


class TestTheLimit:
    @pytest.mark.parametrize("length", [LIMIT - 1, LIMIT])
    @pytest.mark.parametrize("rest", [b"", b"more", EMPTY])
    def test_leaves_room_for_a_hello_with_its_headers(self, length: int, rest: bytes) -> None:
        flight = in_records_of(16384, hello_of(length - 4 * 5, b"a.b"))
        assert len(flight) == length
        assert read(flight + rest) == b"a.b"
        assert read(flight[:-1], flight[-1:] + rest) == b"a.b"
        assert released_after(flight) == length

    def test_ends_the_reading_of_a_longer_one(self) -> None:
        flight = in_records_of(16384, hello_of(LIMIT + 1 - 4 * 5, b"a.b"))
        assert len(flight) == LIMIT + 1
        assert read(flight) is None
        assert read(flight[: LIMIT - 1], flight[LIMIT - 1 :]) is None
        assert read(flight[:-2], flight[-2:]) is None
        assert released_after(flight) == LIMIT

    def test_counts_the_headers_of_small_records(self) -> None:
        flight = in_records_of(1, hello_of(LIMIT // 6, b"a.b"))
        assert LIMIT - 6 < len(flight) <= LIMIT
        assert read(flight) == b"a.b"
        flight = in_records_of(1, hello_of(LIMIT // 6 + 1, b"a.b"))
        assert read(flight) is None
        assert released_after(flight) == LIMIT

    @pytest.mark.parametrize("over", [1, 2, 100_000, (1 << 24) - 1 - LIMIT])
    def test_ends_the_wait_for_an_announced_length_at_once(self, over: int) -> None:
        begun = record(b"\x01" + (LIMIT - 4 + over).to_bytes(3, "big") + bytes(100))
        assert released_after(begun) == 9

    def test_is_for_what_is_kept_and_not_for_what_comes_at_once(self) -> None:
        assert read(FLIGHT + bytes(10 * LIMIT)) == ASKED
        assert read(b"\x16", b"GET /" + bytes(10 * LIMIT)) is None

    def test_is_what_may_be_announced(self) -> None:
        reader = ClientHelloReader()
        assert reader.feed(record(b"\x01" + (LIMIT - 4).to_bytes(3, "big"))) == b""
        assert not reader.done


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """Count the calls of functions, Python's own too."""
    count = [0]

    def note(frame: object, event: str, arg: object) -> None:
        count[0] += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield count
    finally:
        sys.setprofile(before)


class TestTheCost:
    FLIGHTS = pytest.mark.parametrize(
        "flight",
        [
            in_records_of(16384, hello_of(LIMIT - 20, b"a")),
            in_records_of(1, hello_of(LIMIT // 6, b"a")),
            record(hello(prefixed(2, extension(99, b"") * 2000))),
        ],
        ids=["large records", "small records", "many extensions"],
    )

    @FLIGHTS
    def test_in_memory_is_linear_in_the_bytes(self, flight: bytes) -> None:
        reader = ClientHelloReader()
        singles = [flight[place : place + 1] for place in range(len(flight))]
        taken = 0
        tracemalloc.start()
        try:
            for each in singles:
                before = tracemalloc.get_traced_memory()[0]
                tracemalloc.reset_peak()
                reader.feed(each)
                taken += tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
        assert taken < 1000 * len(flight)

    @FLIGHTS
    def test_in_steps_is_linear_in_the_bytes(self, flight: bytes) -> None:
        reader = ClientHelloReader()
        with counted_calls() as count:
            for place in range(len(flight)):
                reader.feed(flight[place : place + 1])
        assert count[0] < 40 * len(flight)

    def test_is_no_memory_once_it_has_let_go(self) -> None:
        reader = ClientHelloReader()
        tracemalloc.start()
        try:
            reader.feed(in_records_of(16384, hello_of(LIMIT - 20, b"a")))
            assert tracemalloc.get_traced_memory()[0] < 4096
        finally:
            tracemalloc.stop()


def pieces(data: bytes, source: random.Random) -> Iterator[bytes]:
    while data:
        size = source.choice((1, 2, 5, 100, 5000))
        yield data[:size]
        data = data[size:]


def check(flight: bytes, parts: list[bytes]) -> None:
    """Feed what may be anything: all comes out, and the name does not hang on the cuts."""
    cut, whole = ClientHelloReader(), ClientHelloReader()
    given_back = [cut.feed(part) for part in parts]
    assert b"".join(given_back) + flight[len(flight) - cut.pending :] == flight
    assert cut.pending < LIMIT
    given_back = [whole.feed(flight)]
    assert given_back == ([flight] if whole.done else [b""])
    assert (cut.name, cut.done) == (whole.name, whole.done)
    heard = heard_by_openssl(flight)
    if heard:
        assert heard == [whole.name]
        assert whole.done


BYTES = st.binary(max_size=300)
STARTS = [b"", b"\x16", b"\x16\x03\x01", record(MESSAGE)[:9], record(MESSAGE)[:50], EMPTY]


@st.composite
def mutated_flights(draw: st.DrawFn) -> bytes:
    """Change a few bytes of a real hello, and cut it into records."""
    message = bytearray(bodies(real(draw(st.sampled_from(KINDS)))[0]))
    named = message.find(b"example")
    near = st.integers(max(named - 40, 0), named + 20)
    place = st.integers(0, min(len(message), 600) - 1) | near
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(place)
        end = begin + draw(st.sampled_from([1, 0, 1, 2]))
        message[begin:end] = draw(st.binary(max_size=2))
    if draw(st.booleans()):
        message[1:4] = (len(message) - 4).to_bytes(3, "big")
    cuts = draw(st.lists(st.integers(0, len(message)), max_size=5))
    cuts = sorted({cut for cut in cuts if 0 < cut < len(message)})
    flight = in_records(bytes(message), cuts) if len(message) < 16384 else b""
    flight = flight or in_records_of(draw(st.integers(1000, 16384)), bytes(message))
    return draw(st.sampled_from([b"", b"", CHANGE, WARNING])) + flight


class TestWhateverComes:
    @given(st.sampled_from(STARTS), BYTES, st.data())
    def test_passes_in_full_and_in_order(
        self, start: bytes, rest: bytes, data: st.DataObject
    ) -> None:
        flight = start + rest
        check(flight, data.draw(chunks(flight)))

    @given(BYTES, st.data())
    def test_in_a_record_passes_in_full(self, body: bytes, data: st.DataObject) -> None:
        flight = record(b"\x01" + prefixed(3, body))
        check(flight, data.draw(chunks(flight)))

    @given(BYTES, st.data())
    def test_in_the_extensions_passes_in_full(self, block: bytes, data: st.DataObject) -> None:
        flight = record(hello(prefixed(2, block)))
        check(flight, data.draw(chunks(flight)))

    @given(mutated_flights(), BYTES, st.randoms(use_true_random=False))
    @example(FLIGHT, b"", random.Random(1))
    def test_of_a_real_hello_is_read_as_openssl_reads_it(
        self, flight: bytes, rest: bytes, source: random.Random
    ) -> None:
        flight += rest
        check(flight, list(pieces(flight, source)))

    @pytest.mark.parametrize("kind", ["TLS 1.2", "TLS 1.3", "ALPN", "no name"])
    def test_in_one_byte_of_a_real_hello_is_read_as_openssl_reads_it(self, kind: str) -> None:
        flight = real(kind)[0]
        read_by_both = 0
        for place in range(len(flight)):
            for change in (0x01, 0x80, 0xFF):
                changed = bytearray(flight)
                changed[place] ^= change
                heard = heard_by_openssl(bytes(changed))
                reader = ClientHelloReader()
                reader.feed(bytes(changed))
                if heard:
                    assert reader.done
                    assert [reader.name] == heard
                    read_by_both += 1
        assert read_by_both > len(flight)
