"""A protocol that repeats what it hears, and does whatever it can do to its connection."""

from __future__ import annotations

import random
import socket
from typing import Any

import trio

from tests.hostile.callers import HEALTHY, LATE
from trioproto import Factory, Protocol


class BoomError(Exception):
    """What wild protocols raise."""


class Tame(Protocol):
    """Repeats what it hears, however long that takes: for those who mean well."""

    def connection_made(self) -> None:
        self.transport.set_timeout(None)
        self.transport.set_timeout(None, "max_age")
        self.transport.set_timeout(None, "first_byte_timeout")
        self.transport.set_timeout(None, "min_receive_rate")
        self.transport.exempt()

    def data_received(self, data: bytes) -> Any:
        self.transport.write(data)


class Wild(Protocol):
    """Repeats what it hears, until something happens to it."""

    factory: WildFactory

    def __init__(self, walk: random.Random) -> None:
        self.walk = walk
        self.auto_pause = walk.random() < 0.8

    def connection_made(self) -> Any:
        self.transport.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def data_received(self, data: bytes) -> Any:
        self.transport.write(data)
        self.act()

    def eof_received(self) -> bool:
        return self.walk.random() < 0.5

    def timed_out(self) -> Any:
        if self.walk.random() < 0.8:
            super().timed_out()

    def quiesce(self) -> Any:
        if self.walk.random() < 0.7:
            self.transport.close()

    def connection_lost(self, reason: object) -> Any:
        if self.walk.random() < 0.02:
            raise BoomError

    def act(self) -> None:
        """Do one thing, or nothing."""
        acts = {
            self.nothing: 80,
            self.pause: 4,
            self.transport.close: 1,
            self.transport.abort: 1,
            self.fail: 0.5,
            self.begin_a_task: 4,
            self.switch: 2,
            self.change_a_deadline: 2,
            self.transport.exempt: 1,
        }
        (act,) = self.walk.choices(list(acts), list(acts.values()))
        act()

    def nothing(self) -> None: ...

    def fail(self) -> None:
        raise BoomError

    def pause(self) -> None:
        self.transport.pause_reading()
        self.transport.start_soon(self.resume_later)

    async def resume_later(self) -> None:
        await trio.sleep(self.walk.random() * 0.1)
        self.transport.resume_reading()

    def begin_a_task(self) -> None:
        self.transport.start_soon(self.work)

    async def work(self) -> None:
        await trio.sleep(self.walk.choice((0, 0.01, 0.5)))
        if self.walk.random() < 0.1:
            raise BoomError

    def switch(self) -> None:
        self.transport.switch_protocol(self.factory.build())

    def change_a_deadline(self) -> None:
        name: Any = self.walk.choice(("idle_timeout", "max_age", "write_timeout", "linger"))
        self.transport.set_timeout(self.walk.random() + 0.01, name)


class WildAsync(Wild):
    """The same, with callbacks that take their time."""

    async def connection_made(self) -> None:
        super().connection_made()
        await self.rest()

    async def data_received(self, data: bytes) -> None:
        await self.transport.send(data)
        await self.rest()
        self.act()

    async def connection_lost(self, reason: object) -> None:
        await self.rest()
        super().connection_lost(reason)

    async def rest(self) -> None:
        await trio.sleep(self.walk.choice((0, 0, 0.01, 0.01, 0.4)))


class WildFactory(Factory[Any]):
    """Builds tame protocols for those who mean well, and wild ones for the others."""

    def __init__(self, walk: random.Random) -> None:
        super().__init__(**CALM, **SETTINGS)
        self.walk = walk

    def build(self) -> Wild:
        kind = self.walk.choice((Wild, Wild, WildAsync))
        return kind(random.Random(self.walk.random()))

    def build_protocol(self, peer: Any) -> Any:
        if getattr(peer, "host", "gone") in (HEALTHY, LATE):
            return Tame()
        chance = self.walk.random()
        if chance < 0.01:
            raise BoomError
        return None if chance < 0.03 else self.build()


CALM: dict[str, Any] = {
    "max_connections": 60,
    "at_limit": "wait",
    "refuse_after": None,
    "max_per_peer": 20,
    "max_accept_rate": None,
    "max_handshakes": 30,
    "receive_rate_total": None,
    "send_rate_total": None,
}
"""Limits that are changed now and then."""

SETTINGS: dict[str, Any] = {
    "read_size": 4096,
    "high_water": 8192,
    "low_water": 2048,
    "max_buffered": 1 << 16,
    "max_buffered_total": 1 << 19,
    "handshake_timeout": 0.5,
    "first_byte_timeout": 0.5,
    "idle_timeout": 0.4,
    "min_receive_rate": 10,
    "receive_window": 0.5,
    "write_timeout": 0.4,
    "close_timeout": 0.4,
    "cleanup_timeout": 0.3,
    "linger": 0.2,
    "callback_timeout": 0.3,
    "max_age": 1.5,
    "drain_grace": 0.3,
    "drain_force": 0.3,
    "refusal": b"not now\r\n",
    "refusal_timeout": 0.2,
    "soft_limit": 50,
    "alarm_interval": 0.1,
    "slow_callback": None,
}
"""Deadlines that are short enough to pass."""
