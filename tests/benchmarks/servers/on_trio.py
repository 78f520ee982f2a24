"""Plain trio: one task a connection over ``trio.SocketStream``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

import trio

from .common import BACKLOG, GREETING, HOST, announce, main, tls_context

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
Handler = Callable[[Stream], Awaitable[object]]

members: set[Stream] = set()


async def echo(stream: Stream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def once(stream: Stream) -> None:
    """Answer once; who serves closes then, but over TLS without a word of it to the peer."""
    await stream.send_all(await stream.receive_some())
    if isinstance(stream, trio.SSLStream):
        await stream.aclose()


async def lines(stream: Stream) -> None:
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


async def lines_joined(stream: Stream) -> None:
    rest = b""
    async for data in stream:
        *whole, rest = (rest + data).split(b"\r\n")
        answers = bytearray()
        for line in whole:
            await trio.lowlevel.checkpoint()
            answers += line + b"\r\n"
        if answers:
            await stream.send_all(answers)


async def broadcast(stream: Stream) -> None:
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


def serve_on_tcp(handler: Handler) -> Callable[..., Awaitable[object]]:
    if context := tls_context():
        return partial(trio.serve_ssl_over_tcp, handler, 0, context, host=HOST, backlog=BACKLOG)
    return partial(trio.serve_tcp, handler, 0, host=HOST, backlog=BACKLOG)


def port(listener: trio.SocketListener | trio.SSLListener[trio.SocketStream]) -> int:
    if isinstance(listener, trio.SSLListener):
        listener = cast(trio.SocketListener, listener.transport_listener)
    number: int = listener.socket.getsockname()[1]
    return number


async def serve(handler: Handler) -> None:
    async with trio.open_nursery() as nursery:
        announce(port((await nursery.start(serve_on_tcp(handler)))[0]))


def run(handler: Handler) -> None:
    trio.run(serve, handler)


if __name__ == "__main__":
    main(
        {
            "echo": partial(run, echo),
            "once": partial(run, once),
            "lines": partial(run, lines),
            "lines-joined": partial(run, lines_joined),
            "broadcast": partial(run, broadcast),
        }
    )
