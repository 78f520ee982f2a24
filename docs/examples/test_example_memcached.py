"""The cache: its protocol with no loop, and days that pass at once."""

from examples._memcached_store import ITEM_OVERHEAD, Store
from examples.memcached import MemcachedFactory
from trioproto.testing import Harness, connected, verify_protocol

DAY = 24 * 60 * 60


def factory(limit: int = 64 * 1024 * 1024) -> MemcachedFactory:
    return MemcachedFactory(Store(limit, lambda: 0.0))


def test_a_conversation_however_it_is_cut() -> None:
    verify_protocol(
        factory,
        [
            (b"set a 7 0 4\r\nx\r\ny\r\n", b"STORED\r\n"),
            (b"get a none\r\n", b"VALUE a 7 4\r\nx\r\ny\r\nEND\r\n"),
            (b"gets a\r\n", b"VALUE a 7 4 1\r\nx\r\ny\r\nEND\r\n"),
            (b"cas a 0 0 1 1\r\n5\r\n", b"STORED\r\n"),
            (b"cas a 0 0 1 1\r\n6\r\n", b"EXISTS\r\n"),
            (b"append a 0 0 1 noreply\r\n0\r\n", b""),
            (b"incr a 1\r\ndecr a 99\r\n", b"51\r\n0\r\n"),
            (b"set a 0 0 1\r\nget a\r\n", b"CLIENT_ERROR bad data chunk\r\n"),
            (b"delete a\r\ndelete a\r\n", b"DELETED\r\nNOT_FOUND\r\n"),
            (b"bogus\r\n", b"ERROR\r\n"),
        ],
    )


def test_an_item_is_gone_when_its_time_has_come() -> None:
    cache = factory()
    harness = Harness(cache)
    cache.store.clock = harness.time
    harness.connect()
    harness.exchange(b"set a 0 100 1\r\n1\r\nset b 0 0 1\r\n2\r\n", b"STORED\r\nSTORED\r\n")
    harness.advance(99.9)
    harness.exchange(b"get a\r\n", b"VALUE a 0 1\r\n1\r\nEND\r\n")
    harness.advance(0.1)
    harness.exchange(b"get a\r\n", b"END\r\n")
    harness.advance(365 * DAY)  # nor is silence a reason to close
    harness.exchange(b"get b\r\n", b"VALUE b 0 1\r\n2\r\nEND\r\n")


def test_the_least_recently_used_item_makes_room() -> None:
    harness = Harness(factory(limit=2 * (ITEM_OVERHEAD + 2)))
    harness.connect()
    harness.feed(b"set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\nget a\r\nset c 0 0 1\r\n3\r\n")
    harness.take()
    harness.exchange(b"get b\r\n", b"END\r\n")
    harness.exchange(b"get a c\r\n", b"VALUE a 0 1\r\n1\r\nVALUE c 0 1\r\n3\r\nEND\r\n")


async def test_a_long_reply_waits_for_its_reader() -> None:
    cache = factory()
    cache.store.set(b"a", 0, 0, b"x" * 1_000_000)
    async with connected(cache) as stream:
        await stream.send_all(b"get" + b" a" * 20 + b"\r\n")
        received = b""
        while not received.endswith(b"END\r\n"):
            received = received[-10:] + await stream.receive_some()
            (protocol,) = cache.connections
            assert protocol.transport.buffered < 3_000_000
