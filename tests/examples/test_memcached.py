"""The memcached example: its protocol without a network, its store with a clock of our own."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples._memcached_store import ITEM_LIMIT, ITEM_OVERHEAD, MONTH, Store
from examples.memcached import Memcached, MemcachedFactory
from trioproto.errors import FrameTooLong
from trioproto.testing import Harness, serving, verify_protocol

MIB = 1024 * 1024
NOW = 1_700_000_000
BAD_FORMAT = b"CLIENT_ERROR bad command line format\r\n"
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"
BAD_CHUNK = b"CLIENT_ERROR bad data chunk\r\n"
NOT_NUMERIC = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
LONG_KEY = b"k" * 250
COMMANDS = [
    b"set %(k)b 0 0 %(n)d\r\n%(v)b\r\n",
    b"set %(k)b 0 -1 %(n)d\r\n%(v)b\r\n",
    b"add %(k)b 0 5 %(n)d\r\n%(v)b\r\n",
    b"append %(k)b 0 0 %(n)d\r\n%(v)b\r\n",
    b"prepend %(k)b 0 0 %(n)d\r\n%(v)b\r\n",
    b"cas %(k)b 0 0 %(n)d 1\r\n%(v)b\r\n",
    b"incr %(k)b 99999\r\n",
    b"touch %(k)b 5\r\n",
    b"delete %(k)b\r\n",
    b"flush_all %(n)d\r\n",
    b"set %(k)b 0 0 700\r\n" + b"x" * 700 + b"\r\n",
]


class Cache:
    """A server that is asked by one client, or several, and the time that it goes by."""

    def __init__(self, limit: int = 64 * MIB) -> None:
        self.now = float(NOW)
        self.store = Store(limit, lambda: self.now)
        self.factory = MemcachedFactory(self.store)
        self.client = self.connect()

    def connect(self) -> Harness[Any]:
        harness: Harness[Any] = Harness(self.factory)
        harness.connect()
        return harness

    def ask(self, *pieces: bytes) -> bytes:
        for piece in pieces:
            self.client.feed(piece)
        return self.client.take()

    def has(self, key: bytes) -> bool:
        return self.ask(b"get " + key + b"\r\n") != b"END\r\n"


@pytest.fixture
def cache() -> Cache:
    return Cache()


def set_to(key: bytes, value: bytes, exptime: int = 0) -> bytes:
    return b"set %b 0 %d %d\r\n%b\r\n" % (key, exptime, len(value), value)


def hit(key: bytes, value: bytes, flags: int = 0) -> bytes:
    return b"VALUE %b %d %d\r\n%b\r\n" % (key, flags, len(value), value)


# Commands


def test_a_value_comes_back_with_its_flags(cache: Cache) -> None:
    assert cache.ask(b"set a 4294967295 0 5\r\nhello\r\n") == b"STORED\r\n"
    assert cache.ask(b"get a\r\n") == hit(b"a", b"hello", 4294967295) + b"END\r\n"


@pytest.mark.parametrize(
    "value", [b"", b"\r\n", b"a\r\nget a\r\n", b"\n", b"\r", bytes(range(256)), b"END\r\n" * 100]
)
def test_any_bytes_are_a_value(cache: Cache, value: bytes) -> None:
    assert cache.ask(set_to(b"a", value)) == b"STORED\r\n"
    assert cache.ask(b"get a\r\n") == hit(b"a", value) + b"END\r\n"


@pytest.mark.parametrize("key", [LONG_KEY, "schlüssel".encode(), b"\xff\x80", b"!", b"noreply"])
def test_any_printable_bytes_up_to_250_are_a_key(cache: Cache, key: bytes) -> None:
    assert cache.ask(set_to(key, b"v")) == b"STORED\r\n"
    assert cache.ask(b"get " + key + b"\r\n") == hit(key, b"v") + b"END\r\n"


def test_get_answers_for_several_keys_in_the_order_asked(cache: Cache) -> None:
    cache.ask(set_to(b"a", b"1"), set_to(b"b", b"2"))
    assert cache.ask(b"get b none a b\r\n") == (
        hit(b"b", b"2") + hit(b"a", b"1") + hit(b"b", b"2") + b"END\r\n"
    )


def test_get_takes_a_thousand_keys_of_full_length(cache: Cache) -> None:
    keys = [b"%0250d" % number for number in range(1000)]
    for key in keys:
        cache.ask(set_to(key, b"v"))
    assert cache.ask(b"get " + b" ".join(keys) + b"\r\n").count(b"VALUE ") == 1000


def test_add_stores_what_is_new_and_replace_what_is_not(cache: Cache) -> None:
    assert cache.ask(b"replace a 0 0 1\r\n1\r\n") == b"NOT_STORED\r\n"
    assert cache.ask(b"add a 0 0 1\r\n2\r\n") == b"STORED\r\n"
    assert cache.ask(b"add a 0 0 1\r\n3\r\n") == b"NOT_STORED\r\n"
    assert cache.ask(b"get a\r\n") == hit(b"a", b"2") + b"END\r\n"
    assert cache.ask(b"replace a 7 0 1\r\n4\r\n") == b"STORED\r\n"
    assert cache.ask(b"get a\r\n") == hit(b"a", b"4", 7) + b"END\r\n"


def test_append_and_prepend_lengthen_and_keep_flags_and_expiry(cache: Cache) -> None:
    assert cache.ask(b"append a 0 0 1\r\n1\r\n") == b"NOT_STORED\r\n"
    assert cache.ask(b"prepend a 0 0 1\r\n1\r\n") == b"NOT_STORED\r\n"
    cache.ask(b"set a 7 10 1\r\n1\r\n")
    assert cache.ask(b"append a 9 99 2\r\n23\r\n") == b"STORED\r\n"
    assert cache.ask(b"prepend a 9 99 1\r\n0\r\n") == b"STORED\r\n"
    assert cache.ask(b"get a\r\n") == hit(b"a", b"0123", 7) + b"END\r\n"
    cache.now += 10
    assert not cache.has(b"a")


def test_cas_stores_only_what_nobody_else_has_changed(cache: Cache) -> None:
    cache.ask(set_to(b"a", b"1"))
    (unique,) = cache.ask(b"gets a\r\n").splitlines()[0].split()[4:]
    assert cache.ask(b"cas a 0 0 1 %b\r\n2\r\n" % unique) == b"STORED\r\n"
    assert cache.ask(b"cas a 0 0 1 %b\r\n3\r\n" % unique) == b"EXISTS\r\n"
    assert cache.ask(b"cas none 0 0 1 %b\r\n3\r\n" % unique) == b"NOT_FOUND\r\n"
    assert cache.ask(b"get a\r\n") == hit(b"a", b"2") + b"END\r\n"


@pytest.mark.parametrize(
    "change", [set_to(b"a", b"1"), b"incr a 0\r\n", b"append a 0 0 0\r\n\r\n", b"delete a\r\n"]
)
def test_every_change_makes_an_older_cas_fail(cache: Cache, change: bytes) -> None:
    cache.ask(set_to(b"a", b"1"))
    (unique,) = cache.ask(b"gets a\r\n").splitlines()[0].split()[4:]
    cache.ask(change, b"add a 0 0 1\r\n1\r\n")
    assert cache.ask(b"cas a 0 0 1 %b\r\n2\r\n" % unique) == b"EXISTS\r\n"


@pytest.mark.parametrize(
    ("value", "command", "reply"),
    [
        (b"5", b"incr a 3", b"8"),
        (b"5", b"decr a 3", b"2"),
        (b"5", b"decr a 6", b"0"),
        (b"99", b"incr a 1", b"100"),
        (b"100", b"decr a 1", b"99"),
        (b"5 ", b"incr a 1", b"6"),  # memcached itself pads with spaces
        (b"18446744073709551615", b"incr a 1", b"0"),
        (b"18446744073709551615", b"incr a 18446744073709551615", b"18446744073709551614"),
    ],
)
def test_counting(cache: Cache, value: bytes, command: bytes, reply: bytes) -> None:
    """It wraps at 64 bits upwards, ends at 0 downwards, and is kept as digits."""
    cache.ask(set_to(b"a", value))
    assert cache.ask(command + b"\r\n") == reply + b"\r\n"
    assert cache.ask(b"get a\r\n") == hit(b"a", reply) + b"END\r\n"


@pytest.mark.parametrize(
    "value",
    [b"", b"x", b"-1", b"1x", b"1 2", b"18446744073709551616", b"\xb2", b"1\n", b"9" * 100_000],
    ids=range(9),
)
def test_what_is_no_number_is_not_counted(cache: Cache, value: bytes) -> None:
    cache.ask(set_to(b"a", value))
    assert cache.ask(b"incr a 1\r\ndecr a 1\r\n") == NOT_NUMERIC * 2
    assert cache.ask(b"get a\r\n") == hit(b"a", value) + b"END\r\n"


def test_delete_touch_incr_and_decr_tell_of_an_item_that_is_not_there(cache: Cache) -> None:
    assert cache.ask(b"delete a\r\n", b"touch a 1\r\n", b"incr a 1\r\n", b"decr a 1\r\n") == (
        b"NOT_FOUND\r\n" * 4
    )
    cache.ask(set_to(b"a", b"1"))
    assert cache.ask(b"touch a 1\r\n", b"delete a\r\n", b"delete a\r\n") == (
        b"TOUCHED\r\nDELETED\r\nNOT_FOUND\r\n"
    )


def test_version_and_verbosity(cache: Cache) -> None:
    assert cache.ask(b"version\r\n").startswith(b"VERSION ")
    assert cache.ask(b"verbosity 2\r\n") == b"OK\r\n"


def test_quit_closes_and_what_follows_is_not_done(cache: Cache) -> None:
    assert cache.ask(b"quit\r\n" + set_to(b"a", b"1")) == b""
    assert cache.client.write_closed
    assert len(cache.store) == 0


def test_clients_share_the_items(cache: Cache) -> None:
    cache.ask(set_to(b"a", b"1"))
    cache.client = cache.connect()
    assert cache.has(b"a")


def test_stats(cache: Cache) -> None:
    """The usual names, with what has happened."""
    cache.ask(set_to(b"a", b"1") * 2 + b"get a b c\r\n" + b"add a 0 0 1\r\n1\r\n")
    cache.connect()
    cache.now += 90
    *lines, end = cache.ask(b"stats\r\n").decode().splitlines()
    found = dict(line.removeprefix("STAT ").split(" ") for line in lines)
    assert end == "END"
    assert int(found.pop("pid")) > 0
    assert cache.ask(b"version\r\n").decode() == f"VERSION {found.pop('version')}\r\n"
    assert {name: int(value) for name, value in found.items()} == {
        "uptime": 90,
        "time": NOW + 90,
        "curr_items": 1,
        "total_items": 2,
        "bytes": 2 + ITEM_OVERHEAD,
        "curr_connections": 2,
        "cmd_get": 3,
        "cmd_set": 3,
        "get_hits": 1,
        "get_misses": 2,
        "evictions": 0,
        "limit_maxbytes": 64 * MIB,
        "threads": 1,
    }


def test_stats_of_what_others_have_are_none(cache: Cache) -> None:
    assert cache.ask(b"stats items\r\n", b"stats bogus\r\n") == b"END\r\nERROR\r\n"


# Lines and blocks

CONVERSATION: list[tuple[bytes, bytes]] = [
    (b"version\r\n", b"VERSION 1.5.3-trioproto\r\n"),
    (set_to(b"a", b"x\r\ny"), b"STORED\r\n"),
    (set_to(b"empty", b""), b"STORED\r\n"),
    (b"get a empty none\n", hit(b"a", b"x\r\ny") + hit(b"empty", b"") + b"END\r\n"),
    (b"gets a\r\n", b"VALUE a 0 4 1\r\nx\r\ny\r\nEND\r\n"),
    (b"cas a 0 0 1 1\r\nz\r\n", b"STORED\r\n"),
    (b"set a 0 0 1 noreply\r\n1\r\n", b""),
    (b"incr a 1\r\n", b"2\r\n"),
    (b"set a 0 0 3\r\nabcdef\r\n", BAD_CHUNK),
    (b"set a 0 0 3\r\nabc\n", BAD_CHUNK),
    (b"set a 0 0 900\r\n" + b"\r\nget a\r\n" * 100 + b"\r\n", TOO_LARGE),
    (b"set a b 0 3\r\na\r\n\r\n", BAD_FORMAT),
    (b"bogus\r\n", b"ERROR\r\n"),
    (b"get empty\r\n", hit(b"empty", b"") + b"END\r\n"),
    (b"quit\r\n", b""),
]


def test_a_conversation_is_the_same_however_it_is_cut_and_read() -> None:
    verify_protocol(lambda: Cache(limit=1000).factory, CONVERSATION)


def test_a_client_that_goes_in_the_middle_of_a_block_stores_nothing(cache: Cache) -> None:
    cache.ask(b"set a 0 0 10\r\nhello")
    cache.client.feed_eof()
    assert len(cache.store) == 0


@pytest.mark.parametrize("rest", [b"", b"x", b"\r", b"\rx", b"xget a", b"get a\rget a"])
def test_what_follows_a_block_is_dropped_to_the_end_of_the_line(cache: Cache, rest: bytes) -> None:
    """Of a block that is longer than was said, nothing is taken for a command."""
    assert cache.ask(b"set a 0 0 1\r\n1" + rest + b"\nget a\r\n") == (
        b"STORED\r\n" + hit(b"a", b"1") + b"END\r\n" if rest == b"\r" else BAD_CHUNK + b"END\r\n"
    )


def test_commands_may_follow_each_other_without_waiting(cache: Cache) -> None:
    count = 500
    said = b"".join(b"set k%d 0 0 2\r\n\r\n\r\nget k%d\r\n" % (n, n) for n in range(count))
    replies = (b"STORED\r\n" + hit(b"k%d" % n, b"\r\n") + b"END\r\n" for n in range(count))
    assert cache.ask(said) == b"".join(replies)


# Silence


@pytest.mark.parametrize(
    "said",
    [
        b"set a 0 0 1 noreply\r\n1\r\n",
        b"add a 0 0 1 noreply\r\n1\r\n",
        b"replace a 0 0 1 noreply\r\n1\r\n",
        b"append a 0 0 1 noreply\r\n1\r\n",
        b"prepend a 0 0 1 noreply\r\n1\r\n",
        b"cas a 0 0 1 1 noreply\r\n1\r\n",
        b"incr a 1 noreply\r\n",
        b"decr a 1 noreply\r\n",
        b"touch a 1 noreply\r\n",
        b"delete a noreply\r\n",
        b"flush_all noreply\r\n",
        b"flush_all 0 noreply\r\n",
        b"verbosity 1 noreply\r\n",
        # Errors too: a client that does not read would take one for its next reply.
        b"set a 0 0 1 noreply\r\n123\r\n",
        b"set a 0 0 1048576 noreply\r\n" + b"x" * MIB + b"\r\n",
        b"set a x 0 1 noreply\r\n1\r\n",
        b"incr a x noreply\r\n",
    ],
    ids=lambda said: said.partition(b"\r")[0].decode(),
)
@pytest.mark.parametrize("before", [b"", b"5"], ids=["missing", "there"])
def test_noreply_is_silent_and_the_next_command_is_not(
    cache: Cache, said: bytes, before: bytes
) -> None:
    if before:
        cache.ask(set_to(b"a", before))
    assert cache.ask(said) == b""
    assert cache.ask(b"get z\r\n") == b"END\r\n"


def test_noreply_does_what_was_asked(cache: Cache) -> None:
    cache.ask(b"set a 0 0 1 noreply\r\n1\r\n", b"incr a 1 noreply\r\n")
    cache.ask(b"append a 0 0 1 noreply\r\n!\r\n")
    assert cache.ask(b"get a\r\n") == hit(b"a", b"2!") + b"END\r\n"
    cache.ask(b"flush_all noreply\r\n")
    assert not cache.has(b"a")


# Errors


@pytest.mark.parametrize(
    "line",
    [
        *[b"", b"  ", b"bogus", b"GET a", b"bogus noreply", b"__init__", b"\xff", b"get\0"],
        *[b"get", b"gets", b"gat", b"gats", b"gat 1", b"set", b"set a", b"set a 0 0", b"cas a 0 0"],
        *[b"delete", b"delete a b", b"touch", b"touch a", b"touch a 1 2", b"incr", b"incr a"],
        *[b"decr a 1 2", b"flush_all 1 2", b"verbosity", b"version x", b"quit x"],
    ],
)
def test_unknown_commands_and_wrong_numbers_of_arguments_are_an_error(
    cache: Cache, line: bytes
) -> None:
    assert cache.ask(line + b"\r\n") == b"ERROR\r\n"
    assert cache.ask(b"get a\r\n") == b"END\r\n"


@pytest.mark.parametrize(
    "length", [b"-1", b"x", b"1.0", b"1e3", b"", b"0x10", b"2147483648", b"9" * 30, b"\xb2"]
)
def test_a_length_that_is_none(cache: Cache, length: bytes) -> None:
    """Nothing is taken for its block: the next line is a command."""
    said = b"set a 0 0 %b\r\n" % length if length else b"set a 0 0 \x01\r\n"
    assert cache.ask(said + b"get a\r\n") == BAD_FORMAT + b"END\r\n"


@pytest.mark.parametrize(
    "line",
    [
        b"set a x 0 7",
        b"set a -1 0 7",
        b"set a 4294967296 0 7",
        b"set a 0 x 7",
        b"set " + LONG_KEY + b"k 0 0 7",
        b"set \x01 0 0 7",
        b"set a\tb 0 0 7",
        b"set \x7f 0 0 7",
        b"cas a 0 0 7 x",
        b"cas a 0 0 7 -1",
        b"cas a 0 0 7 18446744073709551616",
    ],
)
def test_the_block_of_a_bad_line_is_no_command(cache: Cache, line: bytes) -> None:
    cache.ask(set_to(b"a", b"1"))
    assert cache.ask(line + b"\r\nget a\r\n\r\nget b\r\n") == BAD_FORMAT + b"END\r\n"
    assert cache.has(b"a")


@pytest.mark.parametrize(
    "key", [LONG_KEY + b"k", b"a\x00", b"\x1f", b"a\tb", b"\x7f", b"a\rb"], ids=range(6)
)
@pytest.mark.parametrize(
    "line",
    [b"get %b", b"get a %b", b"gets %b", b"gat 1 %b", b"delete %b", b"incr %b 1", b"touch %b 1"],
)
def test_bad_keys(cache: Cache, line: bytes, key: bytes) -> None:
    cache.ask(set_to(b"a", b"1"))
    assert cache.ask(line % key + b"\r\n") == BAD_FORMAT


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"incr a x", b"CLIENT_ERROR invalid numeric delta argument"),
        (b"decr a -1", b"CLIENT_ERROR invalid numeric delta argument"),
        (b"incr a 18446744073709551616", b"CLIENT_ERROR invalid numeric delta argument"),
        (b"touch a x", b"CLIENT_ERROR invalid exptime argument"),
        (b"gat x a", b"CLIENT_ERROR invalid exptime argument"),
        (b"flush_all x", b"CLIENT_ERROR invalid exptime argument"),
        (b"verbosity x", b"CLIENT_ERROR bad command line format"),
    ],
)
def test_bad_numbers(cache: Cache, line: bytes, error: bytes) -> None:
    cache.ask(set_to(b"a", b"1"))
    assert cache.ask(line + b"\r\n") == error + b"\r\n"
    assert cache.ask(b"get a\r\n") == hit(b"a", b"1") + b"END\r\n"


@pytest.mark.parametrize("end", [b"", b"\r\n"], ids=["unended", "ended"])
def test_a_line_that_is_too_long_ends_the_connection(cache: Cache, end: bytes) -> None:
    assert cache.ask(b"x" * (Memcached.max_length + 1) + end) == b"CLIENT_ERROR line too long\r\n"
    assert cache.client.write_closed
    assert isinstance(cache.client.reason, FrameTooLong)


def test_silence_is_no_reason_to_close(cache: Cache) -> None:
    cache.client.advance(7 * 24 * 60 * 60)
    assert cache.client.reason is None
    assert cache.ask(b"get a\r\n") == b"END\r\n"


# Memory


def kept(cache: Cache, keys: bytes) -> bytes:
    """Which of the keys, a letter each, are still there."""
    return bytes(key for key in keys if cache.has(bytes([key])))


def test_the_least_recently_used_item_goes_first() -> None:
    """Reading and changing are uses, and so is trying to; asking for another key is none."""
    cache = Cache(limit=4 * (ITEM_OVERHEAD + 2))
    for key in (b"a", b"b", b"c", b"d"):
        cache.ask(set_to(key, b"1"))
    cache.ask(b"get a\r\n", b"incr b 1\r\n", b"get none\r\n", b"touch c 0\r\n")
    cache.ask(set_to(b"e", b"1"), set_to(b"f", b"1"))
    assert kept(cache, b"abcdef") == b"bcef"
    assert b"STAT evictions 2\r\n" in cache.ask(b"stats\r\n")


def test_a_large_item_displaces_as_many_as_it_needs() -> None:
    cache = Cache(limit=4 * (ITEM_OVERHEAD + 2))
    for key in (b"a", b"b", b"c", b"d"):
        cache.ask(set_to(key, b"1"))
    assert cache.ask(set_to(b"e", b"x" * (ITEM_OVERHEAD + 4))) == b"STORED\r\n"
    assert kept(cache, b"abcde") == b"de"


def test_growing_an_item_displaces_others_but_not_itself() -> None:
    cache = Cache(limit=2 * (ITEM_OVERHEAD + 2))
    cache.ask(set_to(b"a", b"1"), set_to(b"b", b"1"))
    assert cache.ask(b"append a 0 0 1\r\n2\r\n") == b"STORED\r\n"
    assert kept(cache, b"ab") == b"a"


@given(st.lists(st.tuples(st.sampled_from(COMMANDS), st.sampled_from(b"abcdef"), st.binary())))
def test_the_books_are_right_whatever_is_done(steps: list[tuple[bytes, int, bytes]]) -> None:
    """Never above the limit, and nothing is counted once all is deleted."""
    cache = Cache(limit=3 * ITEM_OVERHEAD)
    for command, key, value in steps:
        cache.now += len(value)
        cache.ask(command % {b"k": bytes([key]), b"n": len(value), b"v": value})
        assert 0 <= cache.store.size <= cache.store.limit
        assert len(cache.store) <= 2
    for key in b"abcdef":
        cache.ask(b"delete %c\r\n" % key)
    assert (len(cache.store), cache.store.size) == (0, 0)


def test_the_overhead_covers_what_python_needs() -> None:
    """So the limit is one of real memory, near enough."""
    store = Store(64 * MIB, lambda: NOW)
    tracemalloc.start()
    try:
        for number in range(20_000):
            store.set(b"%020d" % number, number, 100, b"v" * (number % 50))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert store.size * 0.7 < used < store.size * 1.05


# Large items


def test_the_largest_item_is_a_mebibyte_with_key_and_overhead(cache: Cache) -> None:
    largest = ITEM_LIMIT - ITEM_OVERHEAD - 1
    assert cache.ask(set_to(b"a", b"x" * largest)) == b"STORED\r\n"
    assert cache.ask(set_to(b"b", b"x" * (largest + 1))) == TOO_LARGE
    assert cache.ask(b"append a 0 0 1\r\nx\r\n") == b"NOT_STORED\r\n"
    assert cache.ask(b"get a\r\n") == hit(b"a", b"x" * largest) + b"END\r\n"


def test_a_block_that_is_too_large_is_refused_at_once_and_never_buffered(cache: Cache) -> None:
    """The answer does not wait for the block; what it contains is no command."""
    chunk = b"quit\r\n" * 10_000
    assert cache.ask(b"set a 0 0 %d\r\n" % (500 * len(chunk))) == TOO_LARGE
    tracemalloc.start()
    try:
        for _ in range(500):
            cache.client.feed(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB
    assert cache.ask(b"\r\nget a\r\n") == b"END\r\n"


def test_a_set_that_is_too_large_leaves_no_stale_value(cache: Cache) -> None:
    """The client meant to replace it; the other commands leave it alone."""
    large = b"x" * MIB
    for command in (b"add", b"replace", b"append"):
        cache.ask(set_to(b"a", b"old"))
        line = b"%b a 0 0 %d\r\n" % (command, MIB)
        assert (
            cache.ask(line + large + b"\r\nget a\r\n") == TOO_LARGE + hit(b"a", b"old") + b"END\r\n"
        )
    assert cache.ask(set_to(b"a", large) + b"get a\r\n") == TOO_LARGE + b"END\r\n"


async def test_a_client_that_goes_in_the_middle_of_a_long_reply_is_no_error(cache: Cache) -> None:
    cache.store.set(b"a", 0, 0, b"x" * 1_000_000)
    async with serving(MemcachedFactory(cache.store)) as server:
        for _ in range(3):
            stream = await server.connect()
            await stream.send_all(b"get" + b" a" * 100 + b"\r\n")
            await stream.receive_some()
            await stream.aclose()


# Time


@pytest.mark.parametrize(
    ("exptime", "lives"),
    [
        (1, 1),
        (100, 100),
        (MONTH, MONTH),
        (NOW + 100, 100),  # Unix time
        (NOW + 2 * MONTH, 2 * MONTH),
    ],
)
def test_an_item_is_gone_when_its_time_has_come(cache: Cache, exptime: int, lives: int) -> None:
    cache.ask(set_to(b"a", b"1", exptime))
    cache.now += lives - 0.01
    assert cache.has(b"a")
    cache.now += 0.01
    assert not cache.has(b"a")
    assert len(cache.store) == 0


@pytest.mark.parametrize("exptime", [-1, -(2**63), MONTH + 1, NOW - 1, NOW])
def test_an_item_may_be_stored_after_its_time(cache: Cache, exptime: int) -> None:
    """It replaces what was there, and is never seen."""
    cache.ask(set_to(b"a", b"old"))
    assert cache.ask(set_to(b"a", b"1", exptime)) == b"STORED\r\n"
    assert not cache.has(b"a")


def test_without_an_expiry_an_item_stays(cache: Cache) -> None:
    cache.ask(set_to(b"a", b"1"))
    cache.now += 100 * 365 * 24 * 60 * 60
    assert cache.has(b"a")


def test_touch_sets_another_expiry(cache: Cache) -> None:
    cache.ask(set_to(b"a", b"1", 10), set_to(b"b", b"1", 10))
    assert cache.ask(b"touch a 20\r\n", b"touch b -1\r\n") == b"TOUCHED\r\n" * 2
    assert not cache.has(b"b")
    cache.now += 19
    assert cache.has(b"a")
    cache.now += 1
    assert not cache.has(b"a")


def test_gat_reads_and_sets_another_expiry(cache: Cache) -> None:
    cache.ask(set_to(b"a", b"1", 10), set_to(b"b", b"2", 10))
    assert cache.ask(b"gat 20 a none b\r\n") == hit(b"a", b"1") + hit(b"b", b"2") + b"END\r\n"
    cache.now += 19
    assert cache.ask(b"gats 0 a\r\n") == b"VALUE a 0 1 1\r\n1\r\nEND\r\n"
    cache.now += 1
    assert kept(cache, b"ab") == b"a"


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        (b"add a 0 0 1\r\n2\r\n", b"STORED\r\n"),
        (b"replace a 0 0 1\r\n2\r\n", b"NOT_STORED\r\n"),
        (b"append a 0 0 1\r\n2\r\n", b"NOT_STORED\r\n"),
        (b"prepend a 0 0 1\r\n2\r\n", b"NOT_STORED\r\n"),
        (b"cas a 0 0 1 1\r\n2\r\n", b"NOT_FOUND\r\n"),
        (b"incr a 1\r\n", b"NOT_FOUND\r\n"),
        (b"touch a 1\r\n", b"NOT_FOUND\r\n"),
        (b"delete a\r\n", b"NOT_FOUND\r\n"),
    ],
)
def test_to_every_command_an_expired_item_is_none(cache: Cache, said: bytes, reply: bytes) -> None:
    cache.ask(set_to(b"a", b"1", 10))
    cache.now += 10
    assert cache.ask(said) == reply


@pytest.mark.parametrize("line", [b"flush_all", b"flush_all 0", b"flush_all -1"])
def test_flush_all_forgets_everything(cache: Cache, line: bytes) -> None:
    cache.ask(set_to(b"a", b"1"), set_to(b"b", b"1", 100))
    assert cache.ask(line + b"\r\n") == b"OK\r\n"
    assert (len(cache.store), cache.store.size) == (0, 0)
    cache.ask(set_to(b"a", b"1"))
    assert cache.has(b"a")


def test_a_delayed_flush_forgets_what_was_stored_until_then(cache: Cache) -> None:
    """Also when nobody asks at that moment, and whatever is done first after it."""
    cache.ask(set_to(b"a", b"1"))
    assert cache.ask(b"flush_all 10\r\n") == b"OK\r\n"
    cache.now += 9
    cache.ask(set_to(b"b", b"1"))
    assert kept(cache, b"ab") == b"ab"
    cache.now += 2
    cache.ask(set_to(b"c", b"1"))
    assert kept(cache, b"abc") == b"c"


def test_a_flush_takes_the_place_of_one_that_waits(cache: Cache) -> None:
    cache.ask(b"flush_all 10\r\n", b"flush_all 20\r\n", set_to(b"a", b"1"))
    cache.now += 19
    assert cache.has(b"a")
    cache.ask(b"flush_all\r\n", set_to(b"a", b"1"))
    cache.now += 100
    assert cache.has(b"a")
