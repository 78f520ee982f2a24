"""A cache that memcached's clients use unchanged, by its text protocol.

Values are kept in memory until they expire, or until room is needed: then the
least recently used ones go first.
"""

import os
import re
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from examples._memcached_store import Result, Store
from examples._options import options, run
from trioproto import Factory
from trioproto.framing import LineReceiver

# The one whose commands these are; from 1.6 on clients may use meta commands.
VERSION = "1.5.3-trioproto"

KEY = re.compile(rb"[^\x00-\x20\x7f]{1,250}")
NUMBER = re.compile(rb"[+-]?[0-9]{1,20}")
# What `noreply` may follow; to `get` it is a key like others.
SILENCEABLE = frozenset(
    b"set add replace append prepend cas incr decr touch delete flush_all verbosity".split()
)
STATISTICS_OF_OTHERS = frozenset(b"items slabs sizes settings conns".split())
# Bytes of a reply that may wait to be sent; before more is added the client has to read.
REPLY_AHEAD = 1024 * 1024

ERROR = b"ERROR"
BAD_FORMAT = b"CLIENT_ERROR bad command line format"
BAD_EXPTIME = b"CLIENT_ERROR invalid exptime argument"
BAD_DELTA = b"CLIENT_ERROR invalid numeric delta argument"
NOT_NUMERIC = b"CLIENT_ERROR cannot increment or decrement non-numeric value"

Later: TypeAlias = Coroutine[Any, Any, None] | None
Command: TypeAlias = Callable[[list[bytes]], Later]


class Refused(Exception):
    """A command cannot be done; the argument is what the client is told."""


def checked(key: bytes) -> bytes:
    if not KEY.fullmatch(key):
        raise Refused(BAD_FORMAT)
    return key


def number(word: bytes, bits: int, reply: bytes = BAD_FORMAT, lowest: int = 0) -> int:
    if not NUMBER.fullmatch(word) or not lowest <= (value := int(word)) < 2**bits:
        raise Refused(reply)
    return value


def seconds(word: bytes, reply: bytes = BAD_EXPTIME) -> int:
    return number(word, 63, reply, lowest=-(2**63))


def arguments(args: list[bytes], count: int) -> list[bytes]:
    if len(args) != count:
        raise Refused(ERROR)
    return args


@dataclass
class Block:
    """A data block on its way; without `store` it is read and forgotten."""

    missing: int
    store: Callable[[bytes], Result] | None = None
    data: bytearray = field(default_factory=bytearray)


class Memcached(LineReceiver):
    factory: "MemcachedFactory"
    delimiter = b"\n"  # nc ends a line so, and memcached takes it; the \r is taken off here
    max_length = 256 * 1024  # a `get` of a thousand keys of full length
    block: Block | None = None
    silent = False  # whether `noreply` was said

    def connection_made(self) -> None:
        self.store = self.factory.store

    def line_received(self, line: bytes) -> Later:
        if self.block is not None:
            self.end_block(self.block, line)
            return None
        words = line.removesuffix(b"\r").split(b" ")
        name, *args = [word for word in words if word] or [b""]
        self.silent = name in SILENCEABLE and args[-1:] == [b"noreply"]
        if self.silent:
            args.pop()
        command: Command = getattr(self, "command_" + name.decode("latin-1"), self.unknown)
        try:
            return command(args)
        except Refused as refusal:
            self.reply(refusal.args[0])
            return None

    def line_length_exceeded(self, line: bytes) -> None:
        self.send_line(b"CLIENT_ERROR line too long\r")  # then the library closes

    def reply(self, line: bytes) -> None:
        if not self.silent:
            self.send_line(line + b"\r")

    def unknown(self, _args: list[bytes]) -> None:
        raise Refused(ERROR)

    # Storing: a line, so many bytes of data, and the end of a line

    def command_set(self, args: list[bytes]) -> None:
        self.expect_block(arguments(args, 4), self.store.set)

    def command_add(self, args: list[bytes]) -> None:
        self.expect_block(arguments(args, 4), self.store.add)

    def command_replace(self, args: list[bytes]) -> None:
        self.expect_block(arguments(args, 4), self.store.replace)

    def command_append(self, args: list[bytes]) -> None:
        self.expect_block(arguments(args, 4), self.store.append)

    def command_prepend(self, args: list[bytes]) -> None:
        self.expect_block(arguments(args, 4), self.store.prepend)

    def command_cas(self, args: list[bytes]) -> None:
        self.expect_block(arguments(args, 5), self.store.cas)

    def expect_block(self, args: list[bytes], store: Callable[..., Result]) -> None:
        """Read the length first: whatever else is wrong, the data must not pass for commands."""
        length = number(args[3], 31)
        self.block = block = Block(length)
        if length:
            self.set_raw_mode()
        key, flags = checked(args[0]), number(args[1], 32)
        exptime = seconds(args[2], BAD_FORMAT)
        unique = [number(word, 64) for word in args[4:]]
        if not self.store.fits(key, length):
            if store == self.store.set:
                self.store.delete(key)  # what was to be replaced is no longer true
            raise Refused(b"SERVER_ERROR object too large for cache")
        block.store = partial(store, key, flags, exptime, *unique)

    def raw_data_received(self, data: bytes) -> None:
        block = self.block
        assert block is not None
        part = data[: block.missing]
        block.missing -= len(part)
        if block.store is not None:
            block.data += part
        if not block.missing:
            self.set_line_mode(data[len(part) :])

    def end_block(self, block: Block, rest: bytes) -> None:
        """Whatever stands between the block and the next line's end is dropped here."""
        self.block = None
        if block.store is None:
            return  # the client has been told why
        if rest == b"\r":
            self.factory.stores += 1
            self.reply(block.store(bytes(block.data)).value)
        else:
            self.reply(b"CLIENT_ERROR bad data chunk")

    # Reading

    def command_get(self, args: list[bytes]) -> Later:
        return self.send_items(args)

    def command_gets(self, args: list[bytes]) -> Later:
        return self.send_items(args, with_unique=True)

    def command_gat(self, args: list[bytes]) -> Later:
        return self.send_items(self.touch_all(args))

    def command_gats(self, args: list[bytes]) -> Later:
        return self.send_items(self.touch_all(args), with_unique=True)

    def touch_all(self, args: list[bytes]) -> list[bytes]:
        exptime = seconds(args[0]) if args else 0
        for key in args[1:]:
            self.store.touch(checked(key), exptime)
        return args[1:]

    def send_items(self, keys: list[bytes], *, with_unique: bool = False) -> Later:
        """Write all of a short reply at once, a long one as fast as the client reads."""
        if not keys:
            raise Refused(ERROR)
        pieces = self.found([checked(key) for key in keys], with_unique)
        for piece in pieces:
            self.transport.write(piece)
            if self.transport.buffered > REPLY_AHEAD:
                return self.send_slowly(pieces)
        return None

    async def send_slowly(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            await self.transport.send(piece)

    def found(self, keys: list[bytes], with_unique: bool) -> Iterator[bytes]:
        for key in keys:
            item = self.store.get(key)
            if item is not None:
                unique = b" %d" % item.unique if with_unique else b""
                size = len(item.value)
                yield b"VALUE %b %d %d%b\r\n%b\r\n" % (key, item.flags, size, unique, item.value)
        yield b"END\r\n"

    # Changing

    def command_incr(self, args: list[bytes]) -> None:
        self.count(args, 1)

    def command_decr(self, args: list[bytes]) -> None:
        self.count(args, -1)

    def count(self, args: list[bytes], sign: int) -> None:
        key, by = arguments(args, 2)
        try:
            value = self.store.count(checked(key), sign * number(by, 64, BAD_DELTA))
        except ValueError:
            raise Refused(NOT_NUMERIC) from None
        self.reply(b"NOT_FOUND" if value is None else b"%d" % value)

    def command_touch(self, args: list[bytes]) -> None:
        key, exptime = arguments(args, 2)
        found = self.store.touch(checked(key), seconds(exptime))
        self.reply(b"TOUCHED" if found else b"NOT_FOUND")

    def command_delete(self, args: list[bytes]) -> None:
        (key,) = arguments(args, 1)
        self.reply(b"DELETED" if self.store.delete(checked(key)) else b"NOT_FOUND")

    def command_flush_all(self, args: list[bytes]) -> None:
        (delay,) = arguments(args or [b"0"], 1)
        self.store.flush(seconds(delay))
        self.reply(b"OK")

    # About the server

    def command_stats(self, args: list[bytes]) -> None:
        if args and args[0] not in STATISTICS_OF_OTHERS:
            raise Refused(ERROR)
        for name, value in {} if args else self.factory.stats().items():
            self.reply(f"STAT {name} {value}".encode())
        self.reply(b"END")

    def command_version(self, args: list[bytes]) -> None:
        arguments(args, 0)
        self.reply(b"VERSION " + VERSION.encode())

    def command_verbosity(self, args: list[bytes]) -> None:
        (level,) = arguments(args, 1)
        number(level, 32)  # there is nothing more to tell, at any level
        self.reply(b"OK")

    def command_quit(self, args: list[bytes]) -> None:
        arguments(args, 0)
        self.transport.close()


class MemcachedFactory(Factory):
    protocol = Memcached
    # Clients keep their connections, and may say nothing for hours: memcached has
    # no such limit. A peer that is gone is found by TCP's keep-alive. Blocks that are
    # never finished hold a mebibyte each at most, `max_connections` of them.
    idle_timeout = None

    def __init__(self, store: Store) -> None:
        self.store = store
        self.stores = 0
        self.started = store.clock()

    def stats(self) -> dict[str, int | str]:
        store = self.store
        now = store.clock()
        return {
            "pid": os.getpid(),
            "uptime": int(now - self.started),
            "time": int(now),
            "version": VERSION,
            "curr_items": len(store),
            "total_items": store.total,
            "bytes": store.size,
            "curr_connections": len(self.connections),
            "cmd_get": store.hits + store.misses,
            "cmd_set": self.stores,
            "get_hits": store.hits,
            "get_misses": store.misses,
            "evictions": store.evictions,
            "limit_maxbytes": store.limit,
            "threads": 1,
        }


def main() -> None:
    parser = options("memcached", __doc__)
    parser.add_argument(
        "--memory", metavar="MB", type=int, default=64, help="for the items (default: %(default)s)"
    )
    args = parser.parse_args()
    if args.memory < 1:
        parser.error("--memory must be at least 1")
    run(MemcachedFactory(Store(args.memory * 1024 * 1024, time.time)), args)


if __name__ == "__main__":
    main()
