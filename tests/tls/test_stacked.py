"""TLS inside of TLS: as one layer to the connection, cut anywhere."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import pytest

from tests.tls.client_side import VERSIONS, for_client, for_server
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.layer import Layer
from trioproto.sansio.stack import Stack, stacked

pytestmark = pytest.mark.parametrize("version", VERSIONS)


class Ends:
    """Two ends with two TLS layers each, that have shaken hands."""

    def __init__(self, version: str) -> None:
        contexts = [for_server(version) for _ in range(2)]
        self.server = Stack([TLSLayer(each, server_side=True) for each in contexts])
        self.client = Stack([client_layer(for_client(version)) for _ in range(2)])
        self.heard = b""
        for _ in range(20):
            self.exchange()
        assert self.server.ready
        assert self.client.ready

    def exchange(self, said: bytes = b"") -> None:
        """Say something to the server, and let the client hear what that answers."""
        wire = self.client.send(said) if said else b""
        wire += self.client.output()
        if wire:
            self.hear([wire])
        answer = self.server.output()
        if answer:
            self.client.receive(answer)

    def hear(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.heard += self.server.receive(piece)


def client_layer(context: ssl.SSLContext) -> TLSLayer:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return TLSLayer(context, server_side=False)


def test_what_is_said_arrives_wherever_it_is_cut(version: str) -> None:
    ends = Ends(version)
    wire = ends.client.send(b"one") + ends.client.send(b"two")
    for place in range(1, len(wire)):
        ends = Ends(version)
        wire = ends.client.send(b"one") + ends.client.send(b"two")
        ends.hear([wire[:place], wire[place:]])
        assert ends.heard == b"onetwo"
        assert not ends.server.ended


def test_what_is_said_arrives_byte_by_byte(version: str) -> None:
    ends = Ends(version)
    wire = ends.client.send(bytes(40_000))
    ends.hear(wire[place : place + 1] for place in range(len(wire)))
    assert ends.heard == bytes(40_000)
    assert not ends.server.ended
    ends.hear([ends.client.end()])
    assert ends.server.ended


def test_a_part_of_a_record_is_nothing_to_the_layer_above(version: str) -> None:
    """And no end of its: that would pass a cut stream off as a whole one."""
    ends = Ends(version)
    wire = ends.client.send(b"hello")
    ends.hear([wire[:-1]])
    assert ends.heard == b""
    assert not ends.server.ended
    assert ends.server.failure is None


def test_one_layer_stays_itself_and_none_is_none(version: str) -> None:
    layer: Layer = TLSLayer(for_server(version), server_side=True)
    assert stacked(layer) is layer
    assert stacked() is None
