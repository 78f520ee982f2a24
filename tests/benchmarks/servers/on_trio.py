"""Plain trio: one task a connection over ``trio.SocketStream``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from .common import BACKLOG, GREETING, HOST, announce, main

Handler = Callable[[trio.SocketStream], Awaitable[object]]

members: set[trio.SocketStream] = set()


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def lines(stream: trio.SocketStream) -> None:
    """Answer each line as soon as its work (here a checkpoint) is done.

    This is what a user writes by hand: the chunk is split into all its lines at once, which is
    the fast way, and each answer is sent when it is known. To keep the answers of one chunk back
    and send them together would make the first wait for the work of the last, which may be long;
    whoever knows that it is short writes :func:`lines_joined`, which is shown beside.
    """
    rest = b""
    async for data in stream:
        *whole, rest = (rest + data).split(b"\r\n")
        for line in whole:
            await trio.lowlevel.checkpoint()
            await stream.send_all(line + b"\r\n")


async def lines_joined(stream: trio.SocketStream) -> None:
    rest = b""
    async for data in stream:
        *whole, rest = (rest + data).split(b"\r\n")
        answers = bytearray()
        for line in whole:
            await trio.lowlevel.checkpoint()
            answers += line + b"\r\n"
        if answers:
            await stream.send_all(answers)


async def broadcast(stream: trio.SocketStream) -> None:
    members.add(stream)
    try:
        await stream.send_all(GREETING + b"\r\n")
        rest = b""
        async for data in stream:
            *whole, rest = (rest + data).split(b"\r\n")
            for line in whole:
                await send_to_all(line + b"\r\n")
    finally:
        members.remove(stream)


async def send_to_all(data: bytes) -> None:
    for member in list(members):
        await member.send_all(data)


async def serve(handler: Handler) -> None:
    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, handler, 0, host=HOST, backlog=BACKLOG)
        listeners: list[trio.SocketListener] = await nursery.start(listen)
        announce(listeners[0].socket.getsockname()[1])


def run(handler: Handler) -> None:
    trio.run(serve, handler)


if __name__ == "__main__":
    main(
        {
            "echo": partial(run, echo),
            "lines": partial(run, lines),
            "lines-joined": partial(run, lines_joined),
            "broadcast": partial(run, broadcast),
        }
    )
