"""Options of accepted sockets, whichever came first: the connection, or we."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from tests.behaviour.drivers import small_listener
from tests.serving.conversations import LOOPBACK, Greeter, dial
from trioproto import Factory, TCPAddress, open_server

NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
KEEPALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)


class Options(Greeter):
    """Says which of the two options are on, by their first letters."""

    def connection_made(self) -> Any:
        nodelay = self.transport.getsockopt(*NODELAY)
        keepalive = self.transport.getsockopt(*KEEPALIVE)
        self.transport.write(b"-n"[bool(nodelay) :][:1] + b"-k"[bool(keepalive) :][:1])


@pytest.mark.parametrize(("on", "said"), [(True, b"nk"), (False, b"--")])
async def test_who_connects_as_soon_as_the_server_listens_has_the_options(
    on: bool, said: bytes
) -> None:
    factory = Factory(Options, tcp_nodelay=on, keepalive=on)
    async with open_server(factory, LOOPBACK) as server:
        peer = dial(server.addresses[0])  # no task of the server's has run yet
        assert await peer.receive_exactly(2) == said
        await peer.aclose()


@pytest.mark.parametrize(("on", "said"), [(True, b"nk"), (False, b"--")])
async def test_who_came_before_the_server_took_the_listener_over_has_the_options(
    on: bool, said: bytes
) -> None:
    listener = small_listener()
    sockname = listener.socket.getsockname()
    listener.socket.setsockopt(*NODELAY, not on)
    listener.socket.setsockopt(*KEEPALIVE, not on)
    peer = dial(TCPAddress(*sockname))
    async with open_server(Factory(Options, tcp_nodelay=on, keepalive=on), listener):
        assert await peer.receive_exactly(2) == said
        await peer.aclose()


async def test_options_of_a_listener_that_others_may_share_stay_as_they_are() -> None:
    listener = small_listener()
    shared = socket.socket(fileno=socket.dup(listener.socket.fileno()))
    with shared:
        shared.setsockopt(*KEEPALIVE, 0)
        async with open_server(Factory(Greeter, keepalive=True), listener):
            assert shared.getsockopt(*KEEPALIVE) == 0


async def test_options_that_are_configured_while_serving_count_from_then_on() -> None:
    factory = Factory(Options)
    async with open_server(factory, LOOPBACK) as server:
        before = dial(server.addresses[0])
        assert await before.receive_exactly(2) == b"nk"
        factory.configure(tcp_nodelay=False)
        after = dial(server.addresses[0])
        assert await after.receive_exactly(2) == b"-k"
        factory.configure(tcp_nodelay=True, keepalive=False)
        later = dial(server.addresses[0])
        assert await later.receive_exactly(2) == b"n-"
        for peer in (before, after, later):
            await peer.aclose()
