"""How a connection begins: its protocol is built, and stands in the books.

The rule: docs/callbacks.md, The order.
"""

from __future__ import annotations

from typing import Any

from trioproto.runtime.factory import Factory
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Serving, in_turn


async def test_transport_and_factory_are_there_before_connection_made(serving: Serving) -> None:
    seen: list[Any] = []

    class Looks(Protocol):
        def __init__(self) -> None:
            pass

        def connection_made(self) -> None:
            seen.extend([self.factory, self.transport.closing, self in self.factory.connections])

    class Builds(Factory[Protocol]):
        def build_protocol(self, peer: object) -> Protocol:
            return Looks()

    factory = Builds()
    async with serving(factory) as service:
        await service.connect()
        assert seen == [factory, False, True]


async def test_connections_has_an_entry_until_just_before_connection_lost(
    serving: Serving,
) -> None:
    lengths: list[int] = []

    def note(self: Recorder) -> None:
        lengths.append(len(self.factory.connections))

    protocols = [Recorder(connection_made=note, connection_lost=note) for _ in range(2)]
    factory = in_turn(protocols)
    async with serving(factory) as service:
        assert len(factory.connections) == 0
        first = await service.connect()
        await service.connect()
        assert set(factory.connections) == set(protocols)
        assert protocols[0] in factory.connections
        snapshot = iter(factory.connections)
        await first.crash()
        assert protocols[0] not in factory.connections
        assert set(snapshot) == set(protocols)
        assert lengths == [1, 2, 1]
    assert len(factory.connections) == 0


async def test_build_protocol_gets_the_address_that_the_transport_shows(serving: Serving) -> None:
    built_for: list[object] = []
    protocol = Recorder()

    class Builds(Factory[Protocol]):
        def build_protocol(self, peer: object) -> Protocol:
            built_for.append(peer)
            return protocol

    async with serving(Builds()) as service:
        await service.connect()
        assert built_for == [protocol.transport.peer]


async def test_a_factory_that_builds_nothing_refuses_the_connection(serving: Serving) -> None:
    class Refuses(Factory[Protocol]):
        def build_protocol(self, peer: object) -> None:
            return None

    factory = Refuses()
    async with serving(factory) as service:
        peer = await service.connect()
        data, _ = await peer.receive_all()
        assert data == b""
        assert len(factory.connections) == 0
