"""Sharing a TCP port; the rest of TCP is in ``tests/serving``."""

from __future__ import annotations

import errno

import pytest
import trio

from tests.serving.conversations import Greeter, dial
from trioproto import Factory, TCPAddress, open_server, serve
from trioproto.errors import ListenError


async def test_two_servers_may_share_a_port_if_both_say_so() -> None:
    shared = "tcp:{}:interface=127.0.0.1:reuse_port=yes"
    async with open_server(Factory(Greeter), shared.format(0)) as one:
        (address,) = one.addresses
        assert isinstance(address, TCPAddress)
        async with open_server(Factory(Greeter), shared.format(address.port)) as other:
            assert other.addresses == one.addresses
            peers = [dial(address) for _ in range(50)]
            for peer in peers:
                assert await peer.receive_exactly(5) == b"hello"
            assert len(one.connections) + len(other.connections) == 50
            assert one.connections
            assert other.connections
            for peer in peers:
                await peer.aclose()


@pytest.mark.parametrize(("first", "second"), [("yes", "no"), ("no", "yes"), ("no", "no")])
async def test_a_port_is_not_shared_otherwise(first: str, second: str) -> None:
    endpoint = "tcp:{}:interface=127.0.0.1:reuse_port={}"
    async with open_server(Factory(Greeter), endpoint.format(0, first)) as server:
        (address,) = server.addresses
        assert isinstance(address, TCPAddress)
        with trio.fail_after(5), pytest.raises(ListenError) as caught:
            await serve(Factory(Greeter), endpoint.format(address.port, second))
    assert caught.value.errno == errno.EADDRINUSE


async def test_a_name_with_several_addresses_has_one_port_on_all() -> None:
    async with open_server(Factory(Greeter), "tcp:0:interface=localhost:reuse_port=yes") as server:
        ports = set()
        for address in server.addresses:
            assert isinstance(address, TCPAddress)
            ports.add(address.port)
            peer = dial(address)
            assert await peer.receive_exactly(5) == b"hello"
            await peer.aclose()
        assert len(ports) == 1
