"""The PROXY protocol in front of other endpoints."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio

from tests.endpoints.sockets import Tells, bind_one, descriptors, dial_unix
from tests.serving.conversations import LOOPBACK, Counting, Greeter, dial
from trioproto import Factory, TCPAddress, open_server, serve
from trioproto.endpoints import Bound, ProxyServerEndpoint, ServerEndpoint, TCPServerEndpoint
from trioproto.errors import EndpointError, ListenError
from trioproto.layers.networks import parse_networks
from trioproto.layers.opening import Opening

TRUSTING = f"haproxy:trusted=127.0.0.0/8:{LOOPBACK}"
HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.1 1111 2222\r\n"
TOLD = b"TCPAddress(host='192.0.2.1', port=1111) TCPAddress(host='198.51.100.1', port=2222)\n"


@pytest.mark.parametrize(
    "endpoint",
    [
        TRUSTING,
        r"haproxy:trusted=127.0.0.0/8,\:\:1:tcp\:0\:interface\=127.0.0.1",
        ProxyServerEndpoint(TCPServerEndpoint(0, "127.0.0.1"), parse_networks("127.0.0.1")),
    ],
)
async def test_the_peer_is_whom_a_trusted_proxy_says(endpoint: str | ServerEndpoint) -> None:
    async with open_server(Factory(Tells), endpoint) as server:
        (address,) = server.addresses
        assert isinstance(address, TCPAddress)
        peer = dial(address)
        await peer.send(HEADER)
        assert await peer.receive_exactly(len(TOLD)) == TOLD
        await peer.aclose()


async def test_each_address_that_is_bound_expects_the_header() -> None:
    inner = "tcp:0:interface=localhost"
    async with open_server(Factory(Tells), rf"haproxy:trusted=127.0.0.1,\:\:1:{inner}") as server:
        for address in server.addresses:
            peer = dial(address)
            await peer.send(HEADER)
            assert await peer.receive_exactly(len(TOLD)) == TOLD
            await peer.aclose()


async def test_a_unix_socket_is_as_trusted_as_its_mode(emptied: Path) -> None:
    path = emptied / "x"
    async with open_server(Factory(Tells), f"haproxy:trusted=192.0.2.1:unix:{path}"):
        peer = dial_unix(path)
        await peer.send(HEADER)
        assert await peer.receive_exactly(len(TOLD)) == TOLD
        await peer.aclose()


async def test_whoever_is_not_trusted_is_cut_off(logged_errors: list[logging.LogRecord]) -> None:
    async with open_server(Factory(Tells), f"haproxy:trusted=192.0.2.0/24:{LOOPBACK}") as server:
        for sent in (HEADER, b"hello\r\n"):
            peer = dial(server.addresses[0])
            await peer.send(sent)
            with trio.fail_after(5):
                assert (await peer.receive_all())[0] == b""
            await peer.aclose()
        assert not server.connections
    assert not any(record.exc_info for record in logged_errors)


async def test_the_endpoint_inside_keeps_its_own_settings(emptied: Path) -> None:
    bound = await bind_one(
        ProxyServerEndpoint(TCPServerEndpoint(0, "127.0.0.1", backlog=7), parse_networks("::1"))
    )
    assert bound.backlog == 7
    assert bound.opening == Opening(trusted=parse_networks("::1"))
    bound.close()


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        (f"haproxy:trusted=127.0.0.1:{TRUSTING}", "take one haproxy away"),
        ("haproxy:trusted=127.0.0.1:stdio:", "standard input has no address"),
    ],
)
async def test_what_cannot_have_a_header_is_refused_before_anything_starts(
    endpoint: str, shown: str
) -> None:
    factory = Counting()
    before = descriptors()
    with trio.fail_after(5), pytest.raises(EndpointError, match=shown) as caught:
        await serve(factory, LOOPBACK, endpoint)
    assert caught.value.endpoint == endpoint
    assert factory.log == []
    assert descriptors() == before


async def test_an_endpoint_of_another_kind_with_a_header_is_refused_and_let_go() -> None:
    closed: list[str] = []

    class Queue(trio.abc.Listener[trio.abc.Stream]):
        async def accept(self) -> trio.abc.Stream:
            raise NotImplementedError

        async def aclose(self) -> None:
            closed.append("listener")
            await trio.lowlevel.checkpoint()

    class Own(ServerEndpoint):
        text = "own"

        async def bind(self) -> list[Bound]:
            await trio.lowlevel.checkpoint()
            opening = Opening(trusted=parse_networks("::1"))
            address = TCPAddress("::1", 1)
            released = Bound(Queue(), address, "own", release=lambda: closed.append("released"))
            return [released, Bound(Queue(), address, "own", opening=opening)]

    with trio.fail_after(5), pytest.raises(EndpointError, match="PROXY header inside"):
        await serve(Factory(Greeter), ProxyServerEndpoint(Own(), parse_networks("::1")))
    assert closed == ["released", "listener", "listener"]


async def test_an_error_inside_names_the_whole_endpoint() -> None:
    for inner, kind in [("tcp:0:interface=192.0.2.1", ListenError), ("fd:99999", OSError)]:
        endpoint = f"haproxy:trusted=127.0.0.1:{inner}"
        with trio.fail_after(5), pytest.raises((ListenError, EndpointError)) as caught:
            await serve(Factory(Greeter), endpoint)
        assert isinstance(caught.value, kind)
        assert isinstance(caught.value, EndpointError | ListenError)
        assert caught.value.endpoint == endpoint
        assert repr(endpoint) in str(caught.value)
