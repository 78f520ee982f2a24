"""The pieces of code that the pages on limits and drains show.

Each is included from here, and run by ``test_snippets_operating.py``.
"""

from __future__ import annotations

import faulthandler
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from examples.echo import Echo
from trioproto import Factory, Server
from trioproto.framing import LineReceiver


class Upload(LineReceiver):
    """A line announces an upload; from then on the peer has to keep at it."""

    def line_received(self, line: bytes) -> None:
        self.transport.set_timeout(5)  # seconds of silence
        self.transport.set_timeout(1024, "min_receive_rate")
        self.set_raw_mode()


class Busy(LineReceiver):
    """What a peer talks to that comes when there is no place."""

    def connection_made(self) -> None:
        self.send_line(f"421 {len(self.factory.connections)} are here, try later".encode())
        self.transport.close()


def public_server() -> Factory[Echo]:
    return Factory(
        Echo,
        max_connections=5000,
        max_per_peer=20,
        ipv6_prefix=56,  # what providers give to a household
        max_accept_rate=500,
        at_limit="refuse",
        refusal=Busy,
    )


class Thrifty(Factory[Echo]):
    """Gives up on silent peers sooner when it gets crowded."""

    protocol = Echo
    max_connections = 1000
    soft_limit = 800

    def soft_limit_reached(self, connections: int) -> None:
        self.configure(idle_timeout=5)  # for those who come from now on
        for member in self.connections:
            member.transport.set_timeout(5)


class Follower(LineReceiver):
    """Who says `follow` stays, listens, and takes nobody's place."""

    def line_received(self, line: bytes) -> None:
        if line == b"follow":
            self.transport.set_timeout(None)
            self.transport.exempt()


class Watched(Factory[Echo]):
    """Shows on standard error where the program is, when nothing has had its turn for too long."""

    protocol = Echo
    too_long = 10.0  # seconds

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        async with super().lifespan(), trio.open_nursery() as nursery:
            nursery.start_soon(self.put_off)
            yield
            nursery.cancel_scope.cancel()

    async def put_off(self) -> None:
        """Ask for what would be shown, again and again before its time has come."""
        try:
            while True:
                faulthandler.dump_traceback_later(self.too_long, exit=False)
                await trio.sleep(self.too_long / 4)
        finally:
            faulthandler.cancel_dump_traceback_later()


async def empty_slowly(server: Server[Echo]) -> None:
    """Let nobody new in, and end when few are left, or after a minute."""
    server.suspend()
    with trio.move_on_after(60):
        await server.wait_connections("<=", 2)
    report = await server.drain(grace=5)
    for each in report.connections:
        print(each.peer, each.ended, repr(each.reason))
