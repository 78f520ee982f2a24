"""Endpoint strings, and what they bind."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
import trio

from tests.ports import free_port
from tests.serving.conversations import LOOPBACK, Counting, Greeter, dial, listens
from trioproto import Factory, TCPAddress, open_server, serve
from trioproto.errors import EndpointError, ListenError

BAD = [
    ("", ""),
    ("tcp", "port"),
    ("tcp:", "port"),
    ("tcp:http", "http"),
    ("tcp:-1", "-1"),
    ("tcp:65536", "65536"),
    ("tcp:1.5", "1.5"),
    ("nosuch:1", "nosuch"),
    (":1", ""),
    ("8007", "8007"),
    ("tcp:0:interface=127.0.0.1:interface=::1", "interface"),
    ("tcp:0:nosuch=1", "nosuch"),
    ("tcp:0:backlog=many", "backlog"),
    ("tcp:0:backlog=1:backlog=1", "backlog"),
    ("tcp:0:interface=127.0.0.1\\", "backslash"),
    ("tcp:port=0:port=1", "port"),
    ("tcp6:", "port"),
    ("tcp:0:reuse_port=maybe", "reuse_port"),
    ("unix:", "path"),
    ("unix:x:mode=888", "mode"),
    ("systemd:domain=INET", "index"),
    ("fd:x", "fd"),
    ("stdio:x", "'x'"),
    ("haproxy:tcp:8007", "trusted"),
    ("haproxy:trusted=10.0.0.0/8:tcp:http", "http"),
]


@pytest.mark.parametrize(("endpoint", "shown"), BAD)
async def test_a_bad_string_is_a_clear_error(endpoint: str, shown: str) -> None:
    factory = Counting()
    with trio.fail_after(5), pytest.raises(EndpointError) as caught:
        await serve(factory, endpoint)
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.endpoint == endpoint
    assert repr(endpoint) in str(error)
    assert shown in str(error)
    assert factory.log == []


@pytest.mark.parametrize("given", [8007, None, b"tcp:0", object()])
async def test_what_is_neither_a_string_nor_a_listener_is_a_type_error(given: Any) -> None:
    with trio.fail_after(5), pytest.raises(TypeError):
        await serve(Factory(Greeter), given)


async def test_serving_nothing_is_an_error() -> None:
    with trio.fail_after(5), pytest.raises((TypeError, ValueError)):
        await serve(Factory(Greeter))


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("tcp:0", "0.0.0.0"),
        ("tcp:0:interface=127.0.0.1", "127.0.0.1"),
        ("tcp:port=0:interface=127.0.0.1", "127.0.0.1"),
        ("tcp:interface=127.0.0.1:port=0", "127.0.0.1"),
        ("tcp:0:interface=127.0.0.1:backlog=5", "127.0.0.1"),
        ("tcp:0:interface=127.0.\\0.1", "127.0.0.1"),
        ("tcp:0:interface=\\:\\:1", "::1"),
        ("tcp:0:127.0.0.1:5", "127.0.0.1"),
        ("tcp:0:interface=127.0.0.1:reuse_port=yes", "127.0.0.1"),
        ("tcp6:0", "::"),
        ("tcp6:0:interface=\\:\\:1", "::1"),
    ],
)
async def test_a_good_string_binds_what_it_says(endpoint: str, host: str) -> None:
    async with open_server(Factory(Greeter), endpoint) as server:
        (address,) = server.addresses
        assert isinstance(address, TCPAddress)
        assert address.host == host
        assert address.port > 0
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        peer = dial(TCPAddress(loopback, address.port))
        assert await peer.receive_exactly(5) == b"hello"
        await peer.aclose()


async def test_tcp6_is_for_ipv6_only() -> None:
    async with open_server(Factory(Greeter), "tcp6:0") as server:
        (address,) = server.addresses
        assert isinstance(address, TCPAddress)
        assert not listens(TCPAddress("127.0.0.1", address.port))


async def test_a_name_binds_every_address_it_has_with_the_same_port() -> None:
    found = {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    async with open_server(Factory(Greeter), "tcp:0:interface=localhost") as server:
        addresses: tuple[Any, ...] = server.addresses
        assert {address.host for address in addresses} == found
        assert len({address.port for address in addresses}) == 1
        for address in addresses:
            peer = dial(address)
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()


async def test_several_endpoints_are_served_at_once() -> None:
    endpoints = (LOOPBACK, "tcp6:0:interface=\\:\\:1", LOOPBACK)
    async with open_server(Factory(Greeter), *endpoints) as server:
        assert len(server.addresses) == 3
        assert len(set(server.addresses)) == 3
        peers = [dial(address) for address in server.addresses]
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
        assert len(server.connections) == 3
        for peer in peers:
            await peer.aclose()


async def test_addresses_print_as_endpoints() -> None:
    async with open_server(Factory(Greeter), LOOPBACK, "tcp6:0:interface=\\:\\:1") as server:
        addresses: Any = server.addresses
        four, six = addresses
        assert str(four) == f"tcp:127.0.0.1:{four.port}"
        assert str(six) == f"tcp:[::1]:{six.port}"


async def test_a_port_in_use_is_a_listen_error_and_nothing_is_started() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        factory = Counting()
        with trio.fail_after(5), pytest.raises(ListenError) as caught:
            await serve(factory, LOOPBACK, endpoint)
    assert isinstance(caught.value, OSError)
    assert caught.value.endpoint == endpoint
    assert caught.value.errno == errno.EADDRINUSE
    assert endpoint in str(caught.value)
    assert factory.log == []


async def test_a_host_that_is_not_ours_is_a_listen_error() -> None:
    with trio.fail_after(5), pytest.raises(ListenError) as caught:
        await serve(Factory(Greeter), "tcp:0:interface=192.0.2.1")
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_a_host_that_does_not_exist_is_a_listen_error() -> None:
    endpoint = "tcp:0:interface=no such host"
    with trio.fail_after(30), pytest.raises(ListenError) as caught:
        await serve(Factory(Greeter), endpoint)
    assert caught.value.endpoint == endpoint


async def test_what_was_bound_before_an_error_is_closed_again() -> None:
    port = free_port()
    endpoint = f"tcp:{port}:interface=127.0.0.1"
    with pytest.raises(ListenError):
        await serve(Factory(Greeter), endpoint, "tcp:0:interface=192.0.2.1")
    async with open_server(Factory(Greeter), endpoint) as server:
        assert server.addresses == (TCPAddress("127.0.0.1", port),)


async def test_a_port_can_be_served_again_at_once() -> None:
    endpoint = LOOPBACK
    for _ in range(3):
        async with open_server(Factory(Greeter), endpoint) as server:
            (address,) = server.addresses
            assert isinstance(address, TCPAddress)
            endpoint = f"tcp:{address.port}:interface=127.0.0.1"
            peer = dial(address)
            assert await peer.receive_exactly(5) == b"hello"
            for protocol in server.connections:
                protocol.transport.close()
            assert await peer.receive_all() == (b"", "eof")
            await peer.aclose()
