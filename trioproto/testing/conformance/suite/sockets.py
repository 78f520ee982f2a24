"""What a connection has of its socket: addresses and options.

The rule: docs/twisted.md, Transports.
"""

from __future__ import annotations

import socket

import pytest

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import NotSupported
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting, Serving


@needs(Feature.ADDRESSES)
async def test_addresses_are_those_of_the_socket_and_last_for_ever(serving: Serving) -> None:
    built_for: list[object] = []
    at_loss: list[object] = []
    protocol = Recorder(connection_lost=lambda self: at_loss.append(self.transport.peer))

    class Builds(Factory[Protocol]):
        def build_protocol(self, peer: object) -> Protocol:
            built_for.append(peer)
            return protocol

    async with serving(Builds()) as service:
        peer = await service.connect()
        here, there = peer.address, peer.server_address
        assert (protocol.transport.peer, protocol.transport.local) == (here, there)
        await peer.crash()
        assert protocol.lost
        assert built_for == at_loss == [here]
        assert (protocol.transport.peer, protocol.transport.local) == (here, there)


@needs(Feature.SOCKET_OPTIONS)
async def test_socket_options_can_be_read_and_set(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol):
        transport = protocol.transport
        transport.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        assert transport.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        transport.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert transport.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


@needs(Feature.SERVER, Feature.SOCKET_OPTIONS)
@pytest.mark.parametrize("on", [True, False])
async def test_nodelay_and_keepalive_are_as_the_settings_say(connect: Connecting, on: bool) -> None:
    protocol = Recorder()
    async with connect(protocol, tcp_nodelay=on, keepalive=on):
        transport = protocol.transport
        assert bool(transport.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is on
        assert bool(transport.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is on


@lacks(Feature.SOCKET_OPTIONS)
async def test_socket_options_are_not_supported_where_there_is_no_socket(
    connect: Connecting,
) -> None:
    protocol = Recorder()
    async with connect(protocol):
        with pytest.raises(NotSupported):
            protocol.transport.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        with pytest.raises(NotSupported):
            protocol.transport.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
