"""trioproto itself, with default settings but where thousands of connections are wanted."""

from __future__ import annotations

from typing import Any

import trio

import trioproto
from trioproto import Factory, Protocol
from trioproto.framing import LineOnlyReceiver, LineReceiver

from .common import GREETING, HOST, announce, main, pair

MANY = 20_000
HELD_MESSAGE = 64

NO_LIMITS: dict[str, Any] = {
    "max_connections": None,
    "handshake_timeout": None,
    "idle_timeout": None,
    "write_timeout": None,
    "slow_callback": None,
}
"""Every limit and deadline that can be switched off is."""

ALL_LIMITS: dict[str, Any] = {
    "max_connections": MANY,
    "max_per_peer": MANY,
    "max_handshakes": MANY,
    "max_accept_rate": 1_000_000,
    "soft_limit": MANY,
    "refusal": b"Too many connections, try later\r\n",
    "refuse_after": 60,
    "first_byte_timeout": 600,
    "idle_timeout": 600,
    "min_receive_rate": 1,
    "write_timeout": 30,
    "callback_timeout": 30,
    "max_age": 3600,
}
"""Every one is on, and none is reached."""


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Once(Protocol):
    """Answer once, and close."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.close()


class Visit(Protocol):
    """Answer, and close after a message that is longer than those of connections to be held."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        if len(data) > HELD_MESSAGE:
            self.transport.close()


class Lines(LineReceiver):
    def line_received(self, line: bytes) -> None:
        self.send_line(line)


class LinesOnly(LineOnlyReceiver):
    def line_received(self, line: bytes) -> None:
        self.send_line(line)


class AsyncLines(LineReceiver):
    async def line_received(self, line: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.send_line(line)


class Broadcast(LineReceiver):
    """As the chat: each recipient's own ``send_line``."""

    def connection_made(self) -> None:
        self.send_line(GREETING)

    def line_received(self, line: bytes) -> None:
        for member in self.factory.connections:
            member.send_line(line)


class BroadcastBytes(Broadcast):
    """The delimiter is added once, and the bytes are written to everyone."""

    def line_received(self, line: bytes) -> None:
        data = line + self.delimiter
        for member in self.factory.connections:
            member.transport.write(data)


def endpoint() -> str:
    if not pair():
        return f"tcp:0:interface={HOST}"
    key, certificate = (path.replace("\\", r"\\").replace(":", r"\:") for path in pair())
    return f"tls:0:interface={HOST}:privateKey={key}:certKey={certificate}"


def poll(factory: Factory[Any]) -> None:
    """Serve over the poll driver; ``run`` prints the address itself."""
    trioproto.run(factory, endpoint())


async def stream(factory: Factory[Any]) -> None:
    """Serve over the stream driver, as a trio handler."""
    async with factory, trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(
            trio.serve_listeners, factory.handle, await trio.open_tcp_listeners(0, host=HOST)
        )
        announce(listeners[0].socket.getsockname()[1])


if __name__ == "__main__":
    main(
        {
            "echo": lambda: poll(Factory(Echo)),
            "echo-many": lambda: poll(Factory(Echo, max_connections=MANY)),
            "echo-limits": lambda: poll(Factory(Echo, **ALL_LIMITS)),
            "echo-no-limits": lambda: poll(Factory(Echo, **NO_LIMITS)),
            "once": lambda: poll(Factory(Once)),
            "visit-limits": lambda: poll(Factory(Visit, **ALL_LIMITS)),
            "visit-no-limits": lambda: poll(Factory(Visit, **NO_LIMITS)),
            "stream": lambda: trio.run(stream, Factory(Echo)),
            "stream-many": lambda: trio.run(stream, Factory(Echo, max_connections=MANY)),
            "lines": lambda: poll(Factory(Lines)),
            "lines-only": lambda: poll(Factory(LinesOnly)),
            "async": lambda: poll(Factory(AsyncLines)),
            "broadcast": lambda: poll(Factory(Broadcast, max_connections=MANY)),
            "broadcast-bytes": lambda: poll(Factory(BroadcastBytes, max_connections=MANY)),
        }
    )
