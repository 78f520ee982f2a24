"""asyncio's protocols and streams; ``on_uvloop`` runs the same on its own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import cast

from .common import BACKLOG, HOST, announce, main, tls_context

Start = Callable[[], Awaitable[asyncio.Server]]


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's only looks like one

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Once(Echo):
    """Answer once, and close."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.close()


class Split(Echo):
    """Lines by hand: the fast way without a library, each answered with its own write."""

    rest = b""

    def data_received(self, data: bytes) -> None:
        *whole, self.rest = (self.rest + data).split(b"\r\n")
        for line in whole:
            self.transport.write(line + b"\r\n")


async def readline(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lines as the documentation of streams shows them: readline, write, drain."""
    while line := await reader.readline():
        writer.write(line.removesuffix(b"\r\n") + b"\r\n")
        await writer.drain()
    writer.close()


async def start_protocol(protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    return await loop.create_server(protocol, HOST, 0, backlog=BACKLOG, ssl=tls_context())


MODES: Mapping[str, Start] = {
    "echo": partial(start_protocol, Echo),
    "once": partial(start_protocol, Once),
    "split": partial(start_protocol, Split),
    "readline": partial(asyncio.start_server, readline, HOST, 0, backlog=BACKLOG),
}


async def serve(start: Start) -> None:
    async with await start() as server:
        announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()


def run_modes(run: Callable[[Coroutine[object, object, None]], object]) -> None:
    def run_one(start: Start) -> None:
        run(serve(start))

    main({mode: partial(run_one, start) for mode, start in MODES.items()})


if __name__ == "__main__":
    run_modes(asyncio.run)
