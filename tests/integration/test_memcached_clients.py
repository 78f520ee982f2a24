"""The memcached example, used by the clients that people have for the real one."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import memcache  # type: ignore[import-untyped]
import pytest
from pymemcache.client.base import Client, PooledClient  # type: ignore[import-untyped]
from pymemcache.exceptions import (  # type: ignore[import-untyped]
    MemcacheClientError,
    MemcacheServerError,
)

from tests.examples.running import PATIENCE, Example, example, running

BINARY = bytes(range(256)) + b"\r\nEND\r\n" * 10
LARGE = b"\r\n" * 500_000


@pytest.fixture(scope="module")
def running_server() -> Iterator[Example]:
    with example("memcached") as server:
        yield server


@pytest.fixture
def server(running_server: Example) -> Example:
    """The server of all these tests, empty."""
    running_server.begin_again()
    with running_server.connect() as caller:
        caller.send(b"flush_all\r\n")
        assert caller.read_line() == b"OK\r\n"
    return running_server


def pymemcache(server: Example, **options: Any) -> AbstractContextManager[Any]:
    return closing(Client(("127.0.0.1", server.port), timeout=PATIENCE, **options))


@contextmanager
def python_memcached(server: Example) -> Iterator[Any]:
    servers = [f"127.0.0.1:{server.port}"]
    client = memcache.Client(servers, socket_timeout=PATIENCE, cache_cas=True)
    try:
        yield client
    finally:
        client.disconnect_all()


# pymemcache


def test_pymemcache_stores_and_reads(server: Example) -> None:
    """Each way to store, with replies."""
    with pymemcache(server, default_noreply=False) as client:
        assert client.set("a", BINARY, flags=7)
        assert client.get("a") == BINARY
        assert not client.add("a", b"1")
        assert client.add("b", b"1")
        assert client.replace("b", b"2")
        assert not client.replace("c", b"2")
        assert client.append("b", b"3")
        assert client.prepend("b", b"1")
        assert not client.append("c", b"3")
        assert client.get_many(["a", "b", "c"]) == {"a": BINARY, "b": b"123"}
        assert client.delete("a")
        assert not client.delete("a")
        assert client.get("a", "default") == "default"
        client["x"] = b"y"
        assert client["x"] == b"y"


def test_pymemcache_says_noreply_and_hears_nothing(server: Example) -> None:
    """Its default: one reply too many would be taken for the next one's."""
    with pymemcache(server, default_noreply=True) as client:
        for number in range(100):
            client.set(f"key-{number}", b"%d" % number)
        client.set_many({"many": b"1", "more": b"2"})
        client.incr("many", 4, noreply=True)
        client.touch("more", -1)
        client.delete("key-7")
        assert client.get_many(["key-6", "key-7", "many", "more"]) == {"key-6": b"6", "many": b"5"}
        client.flush_all()
        assert client.get("key-6") is None
        assert client.version()


def test_pymemcache_swaps_what_nobody_has_changed(server: Example) -> None:
    with pymemcache(server, default_noreply=False) as client, pymemcache(server) as other:
        client.set("a", b"1")
        _, unique = client.gets("a")
        other.set("a", b"2", noreply=False)
        assert client.cas("a", b"3", unique) is False
        value, unique = client.gets("a")
        assert value == b"2"
        assert client.cas("a", b"3", unique) is True
        assert client.cas("none", b"3", unique) is None
        assert client.gets_many(["a"])["a"][0] == b"3"


def test_pymemcache_counts(server: Example) -> None:
    with pymemcache(server, default_noreply=False) as client:
        assert client.incr("a", 1) is None
        client.set("a", b"18446744073709551615")
        assert client.incr("a", 2) == 1
        assert client.decr("a", 5) == 0
        client.set("a", b"x")
        with pytest.raises(MemcacheClientError, match="non-numeric"):
            client.incr("a", 1)


def test_pymemcache_goes_on_after_an_error(server: Example) -> None:
    """It has read exactly what was meant, and the connection is still of use."""
    with pymemcache(server, default_noreply=False) as client:
        client.set("a", b"old")
        with pytest.raises(MemcacheServerError, match="too large"):
            client.set("a", LARGE * 5)
        assert client.get("a") is None
        with pytest.raises(MemcacheClientError, match="bad command line format"):
            client.set("a", b"1", flags=-1)
        assert client.set("a", b"new")
        assert client.get("a") == b"new"


def test_pymemcache_expires_and_flushes(server: Example) -> None:
    with pymemcache(server, default_noreply=False) as client:
        client.set("a", b"1", expire=1000)
        client.set("b", b"1", expire=-1)
        assert client.touch("a", 2000)
        assert client.get_many(["a", "b"]) == {"a": b"1"}
        assert client.flush_all(1000)
        assert client.get("a") == b"1"
        assert client.flush_all()
        assert client.get("a") is None


def test_pymemcache_reads_many_large_values(server: Example) -> None:
    """Fifty megabytes in one reply, more than the server holds back for one client."""
    with pymemcache(server, default_noreply=False) as client:
        for number in range(50):
            assert client.set(f"k{number}", b"%d" % number + LARGE)
        values = client.get_many([f"k{number}" for number in range(50)])
        assert values == {f"k{number}": b"%d" % number + LARGE for number in range(50)}


def test_pymemcache_keeps_to_the_memory_limit() -> None:
    """With one megabyte, what was stored first is gone, and the last is there."""
    with example("memcached", "--memory", "1") as server, pymemcache(server) as client:
        for number in range(100):
            client.set(f"k{number}", b"x" * 50_000)
        stats = client.stats()
        assert stats[b"limit_maxbytes"] == 1024 * 1024
        assert int(stats[b"bytes"]) <= 1024 * 1024
        assert stats[b"curr_items"] == 20
        assert int(stats[b"evictions"]) == 80
        assert client.get("k0") is None
        assert client.get("k99") is not None


def test_pymemcache_from_many_threads(server: Example) -> None:
    """Each counts over a connection of its own pool; none of the counts is lost."""
    pool = PooledClient(("127.0.0.1", server.port), timeout=PATIENCE, max_pool_size=8)
    with closing(pool):
        pool.set("count", b"0", noreply=False)

        def count() -> None:
            for _ in range(200):
                pool.incr("count", 1)

        threads = [threading.Thread(target=count) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pool.get("count") == b"1600"


# python-memcached


def test_python_memcached_stores_and_reads(server: Example) -> None:
    """It keeps the type of a value in the flags: they come back."""
    with python_memcached(server) as client:
        values = {"text": "grüß", "bytes": BINARY, "number": 7, "truth": True, "list": [1, "a"]}
        for key, value in values.items():
            assert client.set(key, value)
            assert client.get(key) == value
        assert client.get_multi([*values, "none"]) == values
        assert client.set_multi({"a": "1", "b": "2"}) == []
        assert not client.add("a", "3")
        assert client.replace("a", "3")
        assert client.append("a", "4")
        assert client.prepend("a", "2")
        assert client.get("a") == "234"
        assert client.delete_multi(["a", "b"])
        assert client.get("a") is None


def test_python_memcached_counts_touches_and_flushes(server: Example) -> None:
    with python_memcached(server) as client:
        assert client.incr("a") is None
        assert client.set("a", "9", noreply=True)
        assert client.incr("a") == 10
        assert client.decr("a", 20) == 0
        assert client.touch("a", 100)
        assert client.delete("a")
        assert client.set("a", "1")
        client.flush_all()
        assert client.get("a") is None


def test_python_memcached_swaps_what_nobody_has_changed(server: Example) -> None:
    with python_memcached(server) as client, python_memcached(server) as other:
        client.set("a", "1")
        assert client.gets("a") == "1"
        other.set("a", "2")
        assert not client.cas("a", "3")
        client.reset_cas()
        assert client.gets("a") == "2"
        assert client.cas("a", "3")
        assert other.get("a") == "3"


def test_python_memcached_reads_the_statistics(server: Example) -> None:
    with python_memcached(server) as client:
        client.set("a", "1")
        ((name, stats),) = client.get_stats()
        assert str(server.port) in name
        assert stats["curr_items"] == "1"
        assert int(stats["pid"]) == server.process.pid
        assert client.get_stats("items") == [(name, {})]


# libmemcached's programs


def needs(tool: str) -> pytest.MarkDecorator:
    reason = f"{tool} is not installed (Debian: apt-get install libmemcached-tools)"
    return pytest.mark.skipif(shutil.which(tool) is None, reason=reason)


def use(tool: str, server: Example, *arguments: str) -> tuple[int, str, str]:
    with running(tool, f"--servers=127.0.0.1:{server.port}", *arguments) as program:
        return program.finish()


@needs("memccat")
@needs("memccp")
def test_a_file_is_copied_there_and_back(server: Example, tmp_path: Path) -> None:
    file = tmp_path / "colours"
    file.write_text("red\ngreen\n" * 10_000)
    assert use("memccp", server, str(file))[0] == 0
    status, out, _ = use("memccat", server, "colours")
    assert (status, out.strip()) == (0, file.read_text().strip())


@needs("memccat")
def test_memccat_shows_a_value(server: Example) -> None:
    with pymemcache(server) as client:
        client.set("a", b"hello", noreply=False)
    status, out, _ = use("memccat", server, "a")
    assert (status, out.strip()) == (0, "hello")


@needs("memcstat")
def test_memcstat_shows_the_statistics(server: Example) -> None:
    status, out, _ = use("memcstat", server)
    assert status == 0
    assert f"pid: {server.process.pid}\n" in out


@needs("memccapable")
def test_memccapable_finds_nothing_wrong(server: Example) -> None:
    """libmemcached's own test of servers, for the text protocol."""
    with running("memccapable", "-h", "127.0.0.1", "-p", str(server.port), "-a") as program:
        status, out, err = program.finish()
    assert (status, "FAIL" in out + err) == (0, False)
