"""Who a drain's report names: who was open when it began, and how each of them ended."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import MORE_THAN_FITS, SocketPeer, small_listener
from tests.serving.conversations import LOOPBACK, Greeter, Holds, dial, outcome, settle
from tests.serving.test_drain_reports import Stubborn, drain_into
from trioproto import DrainReport, Factory, Server, TCPAddress, open_server
from trioproto.errors import (
    CallbackError,
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ServerDraining,
)
from trioproto.sansio.connection import Connection


class First(Greeter):
    """Gives way to another protocol at the first byte."""

    def data_received(self, data: bytes) -> Any:
        self.transport.switch_protocol(Second())


class Second(Greeter):
    def connection_made(self) -> Any:
        self.transport.write(b"again")


class KeepsReason(Greeter):
    reasons: list[ConnectionClosed]

    def connection_lost(self, reason: ConnectionClosed) -> Any:
        self.reasons.append(reason)


def name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def address_of(peer: SocketPeer) -> TCPAddress:
    return TCPAddress(*peer.raw.getsockname())


async def drained(
    server: Server[Any], peers: list[SocketPeer], *, grace: float = 5, force: float = 5
) -> DrainReport:
    """Drain, while these hang up when they are told to."""
    reports: list[DrainReport] = []

    async def drain() -> None:
        reports.append(await server.drain(grace=grace, force=force))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(drain)
        for peer in peers:
            nursery.start_soon(say_no_more, peer)
    return reports[0]


async def say_no_more(peer: SocketPeer) -> None:
    await outcome(peer)
    peer.discard()


async def test_it_says_who_they_were_and_what_they_spoke(autojump_clock: MockClock) -> None:
    protocols = iter([Greeter(), First(), First()])
    async with open_server(Factory(lambda: next(protocols)), LOOPBACK) as server:
        peers = []
        for _ in range(3):
            peers.append(dial(server.addresses[0]))
            assert await peers[-1].receive_exactly(5) == b"hello"
        await peers[2].send(b"switch")
        assert await peers[2].receive_exactly(5) == b"again"
        addresses = [address_of(peer) for peer in peers]
        report = await drained(server, peers)
    assert {each.peer: each.protocol for each in report.connections} == {
        addresses[0]: name_of(Greeter),
        addresses[1]: name_of(First),
        addresses[2]: name_of(Second),
    }


async def test_a_protocol_that_takes_over_in_the_drain_is_not_named(
    autojump_clock: MockClock,
) -> None:
    """The name is that of when it began, as the count is."""

    class HandsOver(First):
        def quiesce(self) -> Any:
            self.transport.switch_protocol(Second())

    async with open_server(Factory(HandsOver), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        report = await drained(server, [peer])
    assert [each.protocol for each in report.connections] == [name_of(HandsOver)]


async def test_the_reason_is_the_one_that_connection_lost_got(autojump_clock: MockClock) -> None:
    KeepsReason.reasons = []
    async with open_server(Factory(KeepsReason), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(2)]
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
        report = await drained(server, peers)
    reasons = [each.reason for each in report.connections]
    assert len(reasons) == 2
    assert all(any(one is other for other in KeepsReason.reasons) for one in reasons)
    assert {type(reason) for reason in reasons} == {ServerDraining}


async def test_each_end_has_its_reason(autojump_clock: MockClock, logged_errors: list[Any]) -> None:
    """By itself, in each of the ways there are; cancelled; and cut."""

    class ClosesItself(Greeter):
        def quiesce(self) -> Any:
            self.transport.close()

    class AbortsItself(Greeter):
        def quiesce(self) -> Any:
            self.transport.abort()

    class Fails(Greeter):
        def quiesce(self) -> Any:
            raise LookupError

    class Deaf(Greeter):
        def data_received(self, data: bytes) -> Any:
            self.transport.write(bytes(2 * MORE_THAN_FITS))

    expected: dict[type[Greeter], tuple[str, type[ConnectionClosed]]] = {
        Greeter: ("finished", ServerDraining),
        ClosesItself: ("finished", ConnectionDone),
        AbortsItself: ("finished", ConnectionAborted),
        Fails: ("finished", CallbackError),
        Holds: ("finished", ConnectionLost),
        Stubborn: ("cancelled", ServerDraining),
        Deaf: ("aborted", ServerDraining),
    }
    protocols = iter([kind() for kind in expected])
    factory = Factory(lambda: next(protocols), write_timeout=None)
    async with open_server(factory, small_listener()) as server:
        peers = {}
        for kind in expected:
            peers[kind] = dial(server.addresses[0])
            assert await peers[kind].receive_exactly(5) == b"hello"
        await peers[Deaf].send(b"go")
        await settle()
        reports: list[DrainReport] = []

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain_into, reports, server)
            for kind in (Greeter, ClosesItself, AbortsItself, Fails):
                nursery.start_soon(say_no_more, peers[kind])
            await trio.sleep(1)
            await peers[Holds].reset()
        peers[Stubborn].discard()
        peers[Deaf].discard()
    (report,) = reports
    found = {each.protocol: (each.ended, type(each.reason)) for each in report.connections}
    assert found == {name_of(kind): ends for kind, ends in expected.items()}
    assert report == DrainReport(finished=5, cancelled=1, aborted=1)
    assert len(logged_errors) == 1


async def test_reports_are_compared_by_their_counts(autojump_clock: MockClock) -> None:
    """Addresses are others each time; a test wants to say how many."""
    reports = []
    for _ in range(2):
        async with open_server(Factory(Greeter), LOOPBACK) as server:
            peer = dial(server.addresses[0])
            assert await peer.receive_exactly(5) == b"hello"
            reports.append(await drained(server, [peer]))
    assert reports[0].connections != reports[1].connections
    assert reports[0] == reports[1] == DrainReport(finished=1, cancelled=0, aborted=0)
    assert reports[0] != DrainReport(finished=1, cancelled=1, aborted=0)
    assert "tcp" not in repr(reports[0])
    with pytest.raises(AttributeError):
        reports[0].finished = 2  # type: ignore[misc]


async def test_all_who_drain_get_the_same_report(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        report = await drained(server, [peer])
        assert await server.drain(grace=0) is report
    assert await server.drain() is report


async def test_the_refused_are_not_in_it(autojump_clock: MockClock) -> None:
    class Busy(Stubborn):
        """Tells it at length."""

    factory = Factory(
        Greeter, at_limit="refuse", max_connections=1, refusal=Busy, refusal_timeout=3
    )
    async with open_server(factory, LOOPBACK) as server:
        peer, refused = dial(server.addresses[0]), dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        assert await refused.receive_exactly(5) == b"hello"
        address = address_of(peer)
        report = await drained(server, [peer, refused])
    assert [each.peer for each in report.connections] == [address]
    assert report == DrainReport(finished=1, cancelled=0, aborted=0)


async def test_who_waits_for_a_place_is_not_in_it(autojump_clock: MockClock) -> None:
    async with open_server(Factory(Greeter, max_connections=1, refuse_after=100), LOOPBACK) as (
        server
    ):
        peer, waits = dial(server.addresses[0]), dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        await settle()
        address = address_of(peer)
        report = await drained(server, [peer, waits])
    assert [each.peer for each in report.connections] == [address]


async def test_exempt_ones_are_in_it(autojump_clock: MockClock) -> None:
    """They count in no limit; but they are drained as all are."""

    class Exempt(Greeter):
        def connection_made(self) -> Any:
            super().connection_made()
            self.transport.exempt()

    async with open_server(Factory(Exempt, max_connections=1), LOOPBACK) as server:
        peers = [dial(server.addresses[0]) for _ in range(3)]
        for peer in peers:
            assert await peer.receive_exactly(5) == b"hello"
        addresses = {address_of(peer) for peer in peers}
        report = await drained(server, peers)
    assert {each.peer for each in report.connections} == addresses
    assert report == DrainReport(finished=3, cancelled=0, aborted=0)


async def test_who_has_left_before_is_not_in_it(autojump_clock: MockClock) -> None:
    class LeavesSlowly(Greeter):
        async def connection_lost(self, reason: object) -> None:
            await trio.sleep(1)

    async with open_server(Factory(LeavesSlowly), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        await peer.reset()
        await settle()
        assert len(server.connections) == 0
        report = await server.drain()
    assert report.connections == ()
    assert trio.current_time() == 1


async def test_the_report_keeps_no_connection_alive(autojump_clock: MockClock) -> None:
    """Somebody may log it much later."""
    async with open_server(Factory(Greeter), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        assert await peer.receive_exactly(5) == b"hello"
        address = address_of(peer)
        report = await drained(server, [peer])
        gc.collect()
        kept = [each for each in gc.get_objects() if type(each) is Connection]
        assert address not in [each.peer for each in kept]
    assert len(report.connections) == 1
