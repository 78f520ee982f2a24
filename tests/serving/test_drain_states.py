"""A drain while there is a connection in each state that one can be in: all of it is bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import MORE_THAN_FITS, OverTLS, SocketPeer, small_listener
from tests.serving.conversations import LOOPBACK, Greeter, Holds, dial, outcome, settle
from tests.serving.test_listeners import offer
from tests.tls.client_side import Client
from tests.tls.over_wire import Speaker
from trioproto import DrainReport, Factory, Protocol, Server, open_server
from trioproto.errors import ConnectionClosed, ConnectionDone, ConnectionLost, ServerDraining
from trioproto.testing import MemoryListener, threads_take_no_time
from trioproto.testing.conformance.peer import PeerWasReset

GRACE, FORCE = 5.0, 3.0
CLEANUP = 2.0
NEVER: dict[str, Any] = {
    "handshake_timeout": None,
    "idle_timeout": None,
    "write_timeout": None,
    "close_timeout": 1000,
}
"""So that nothing but the drain ends a connection."""
HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.1 1111 2222\r\n"


class Paused(Greeter):
    """Is read from no more after the first request."""

    def data_received(self, data: bytes) -> Any:
        self.transport.pause_reading()


class KeepsItOpen(Holds):
    def eof_received(self) -> bool:
        return True


class EndsItsSide(Holds):
    def data_received(self, data: bytes) -> Any:
        self.transport.write_eof()


class Callback(Greeter):
    async def data_received(self, data: bytes) -> None:
        await trio.sleep_forever()


class ClosesAndRunsOn(Greeter):
    async def data_received(self, data: bytes) -> None:
        self.transport.close()
        await trio.sleep_forever()


class Stuck(Greeter):
    """Writes more than the peer takes."""

    def data_received(self, data: bytes) -> Any:
        self.transport.write(bytes(2 * MORE_THAN_FITS))


class StuckAndClosing(Stuck):
    def data_received(self, data: bytes) -> Any:
        super().data_received(data)
        self.transport.close()


class Closes(Greeter):
    def data_received(self, data: bytes) -> Any:
        self.transport.close()


class SendsFile(Greeter):
    path: Path

    async def data_received(self, data: bytes) -> None:
        await self.transport.send_file(self.path)


class SendsFileInTask(Holds):
    """Has more to send than its file.

    The task is cancelled first; whether the kernel has room for our EOF then, nobody can tell.
    """

    path: Path

    def data_received(self, data: bytes) -> Any:
        self.transport.start_soon(self.transport.send_file, self.path)
        self.transport.start_soon(self.transport.send, bytes(2 * MORE_THAN_FITS))


class Works(Holds):
    """Has a task that never ends."""

    def connection_made(self) -> Any:
        super().connection_made()
        self.transport.start_soon(trio.sleep_forever)


class QuiescesForEver(Greeter):
    async def quiesce(self) -> None:
        await trio.sleep_forever()


class QuiescesSlowly(Greeter):
    async def quiesce(self) -> None:
        await trio.sleep(GRACE / 2)
        self.transport.write(b"good bye")
        self.transport.close()


@dataclass
class Case:
    """A connection in some state.

    ``heard`` is all that its peer hears before it is in it; ``ended`` is what the report
    says of it in the end, or ``None`` if it says nothing.
    """

    protocol: type[Protocol]
    ended: str | None
    reason: type[ConnectionClosed] = ServerDraining
    request: bytes = b"request"
    seconds: float = GRACE + FORCE
    settings: dict[str, Any] = field(default_factory=dict)
    eof: bool = False


CASES = {
    "idle": Case(Greeter, "finished", seconds=2, request=b""),
    "paused": Case(Paused, "finished", seconds=2),
    "holding": Case(Holds, "finished", seconds=GRACE + 2),
    "read ended": Case(KeepsItOpen, "finished", seconds=GRACE, eof=True),
    "write ended": Case(EndsItsSide, "finished", seconds=GRACE + 2),
    "both ended": Case(EndsItsSide, None, seconds=0, eof=True),
    "callback": Case(Callback, "cancelled", seconds=GRACE),
    "closed, and runs on": Case(ClosesAndRunsOn, "cancelled", seconds=GRACE),
    "stuck": Case(Stuck, "aborted"),
    "stuck and closing": Case(StuckAndClosing, "aborted"),
    "lingering": Case(Closes, "finished", reason=ConnectionDone, seconds=2),
    "lingering long": Case(Closes, "aborted", settings={"linger": 1000}),
    "sends a file": Case(SendsFile, "cancelled", seconds=GRACE),
    "sends a file in a task": Case(SendsFileInTask, "aborted"),
    "has a task": Case(Works, "finished", seconds=GRACE + 2, request=b""),
    "quiesces for ever": Case(QuiescesForEver, "cancelled", seconds=GRACE),
    "quiesces slowly": Case(
        QuiescesSlowly, "finished", reason=ConnectionDone, seconds=GRACE / 2 + 2
    ),
}


@pytest.fixture
async def big_file(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[None]:
    path = tmp_path / "big"
    path.write_bytes(bytes(2 * MORE_THAN_FITS))
    SendsFile.path = SendsFileInTask.path = path
    with threads_take_no_time():  # that open, read and close it
        yield


async def brought_to(case: Case, server: Server[Any]) -> SocketPeer:
    """Connect, and bring the connection to its state; then the peer does nothing any more."""
    peer = dial(server.addresses[0])
    assert await peer.receive_exactly(5) == b"hello"
    if case.request:
        await peer.send(case.request)
    if case.eof:
        await peer.send_eof()
    await until_quiet()
    return peer


async def until_quiet() -> None:
    """As `settle`, also when threads open and read a file meanwhile, one after the other."""
    limiter = trio.to_thread.current_default_thread_limiter()
    await settle()
    while limiter.borrowed_tokens:
        while limiter.borrowed_tokens:
            await trio.lowlevel.checkpoint()
        await settle()


@pytest.mark.parametrize("name", CASES)
async def test_a_connection_in_each_state_is_drained_in_time(
    autojump_clock: MockClock, big_file: None, name: str
) -> None:
    case = CASES[name]
    protocol = case.protocol()
    factory = Factory(lambda: protocol, **{**NEVER, **case.settings})
    async with open_server(factory, small_listener()) as server:
        peer = await brought_to(case, server)
        began = trio.current_time()
        report = await server.drain(grace=GRACE, force=FORCE)
        seconds = trio.current_time() - began
        assert case.seconds - 0.01 <= seconds <= case.seconds + 0.5
        assert len(server.connections) == 0
        peer.discard()
    whos = [(who.ended, type(who.reason), who.protocol) for who in report.connections]
    kind = case.protocol
    expected = [(case.ended, case.reason, f"{kind.__module__}.{kind.__qualname__}")]
    assert whos == (expected if case.ended else [])
    assert protocol.transport.reason is not None


async def test_connections_in_all_states_are_drained_in_the_same_time(
    autojump_clock: MockClock, big_file: None
) -> None:
    cases = [each for each in CASES.values() if "linger" not in each.settings]
    waiting = iter(cases)
    factory = Factory(lambda: next(waiting).protocol(), **NEVER)
    async with open_server(factory, small_listener()) as server:
        peers = [await brought_to(case, server) for case in cases]
        began = trio.current_time()
        report = await server.drain(grace=GRACE, force=FORCE)
        assert trio.current_time() - began <= GRACE + FORCE + 0.5
        for peer in peers:
            peer.discard()
    for ended in ("finished", "cancelled", "aborted"):
        assert getattr(report, ended) == sum(each.ended == ended for each in cases), ended


async def test_undelivered_input_of_a_paused_connection_is_waited_for_and_given_up(
    autojump_clock: MockClock,
) -> None:
    """Within the grace the protocol may take it; after that nobody gets it."""
    got: list[bytes] = []

    class Slowly(Paused):
        def data_received(self, data: bytes) -> Any:
            got.append(data)
            self.transport.pause_reading()

        def quiesce(self) -> Any:
            got.append(b"quiesced")
            super().quiesce()

    async with open_server(Factory(Slowly, **NEVER), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        await peer.send(b"one")
        await settle()
        await peer.send(b"two")
        await settle()
        report = await server.drain(grace=GRACE, force=FORCE)
        peer.discard()
    assert got[0] == b"one"
    assert b"two" not in got
    assert trio.current_time() <= GRACE + FORCE
    assert report == DrainReport(finished=1, cancelled=0, aborted=0)


# Opening


@pytest.mark.parametrize("part", [0, 1, 50])
async def test_a_handshake_that_hangs_is_ended_in_time(
    autojump_clock: MockClock, part: int
) -> None:
    """Silent, or in the midst of its hello."""
    factory = Factory(Greeter, **NEVER)
    async with open_server(factory, OverTLS(LOOPBACK)) as server:
        peer = dial(server.addresses[0])
        await peer.send(Client().output()[:part])
        await settle()
        report = await server.drain(grace=GRACE, force=FORCE)
        peer.discard()
    assert report.connections == ()
    assert trio.current_time() <= (GRACE if part else 0) + FORCE


@pytest.mark.parametrize("part", [0, 1, len(HEADER) - 1])
async def test_a_header_that_hangs_is_ended_in_time(autojump_clock: MockClock, part: int) -> None:
    factory = Factory(Greeter, **NEVER)
    async with open_server(factory, f"haproxy:trusted=127.0.0.0/8:{LOOPBACK}") as server:
        peer = dial(server.addresses[0])
        await peer.send(HEADER[:part])
        await settle()
        report = await server.drain(grace=GRACE, force=FORCE)
        peer.discard()
    assert report.connections == ()
    assert trio.current_time() <= (GRACE if part else 0) + 0.5


async def test_a_file_that_is_sent_over_tls_is_cut_in_time(
    autojump_clock: MockClock, big_file: None
) -> None:
    factory = Factory(SendsFile, **NEVER)
    async with open_server(factory, OverTLS(small_listener())) as server:
        speaker = Speaker(dial(server.addresses[0]))
        await speaker.shake()
        assert await speaker.receive_exactly(5) == b"hello"
        await speaker.say(b"file")
        await until_quiet()
        report = await server.drain(grace=GRACE, force=FORCE)
        assert trio.current_time() <= GRACE + 0.5
        await speaker.receive_all()
        assert speaker.was_reset
        speaker.peer.discard()
    assert report == DrainReport(finished=0, cancelled=1, aborted=0)


# Refused


class Overflow(Protocol):
    """What tells the peer that it is refused; never gets done."""

    async def connection_made(self) -> None:
        self.transport.write(b"wait a moment")
        await trio.sleep_forever()


class OverflowStuck(Protocol):
    def connection_made(self) -> Any:
        self.transport.write(bytes(2 * MORE_THAN_FITS))
        self.transport.close()


class OverflowHolds(Protocol):
    """Neither closes nor is closed by its deadlines."""

    def connection_made(self) -> Any:
        self.transport.write(b"wait a moment")
        self.transport.set_timeout(None)

    def quiesce(self) -> Any: ...


@pytest.mark.parametrize("refusal", [Overflow, OverflowStuck, OverflowHolds])
@pytest.mark.parametrize("refusal_timeout", [1, 1000])
async def test_a_refusal_that_is_not_heard_does_not_hold_a_drain(
    autojump_clock: MockClock, refusal: type[Protocol], refusal_timeout: float
) -> None:
    settings = {"at_limit": "refuse", "refusal_timeout": refusal_timeout, "max_connections": 1}
    factory = Factory(Greeter, refusal=refusal, **{**NEVER, **settings})
    async with open_server(factory, small_listener()) as server:
        first = dial(server.addresses[0])
        assert await first.receive_exactly(5) == b"hello"
        refused = dial(server.addresses[0])
        await settle()
        report = await server.drain(grace=GRACE, force=FORCE)
        assert trio.current_time() <= GRACE + FORCE + 0.5
        first.discard()
        refused.discard()
    assert report == DrainReport(finished=1, cancelled=0, aborted=0)
    assert len(report.connections) == 1


async def test_a_refusal_on_its_way_is_delivered_whole_in_a_drain(
    autojump_clock: MockClock,
) -> None:
    settings = {"at_limit": "refuse", "max_connections": 1, "refusal": b"come back later"}
    async with open_server(Factory(Greeter, **NEVER, **settings), LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await first.receive_exactly(5) == b"hello"
        refused = dial(server.addresses[0])
        await settle()
        server.stop()
        assert await outcome(refused) == (b"come back later", "eof")
        assert await outcome(first) == (b"", "eof")
        first.discard()
        refused.discard()
    assert trio.current_time() < 1


@pytest.mark.parametrize("refusal", [None, b"come back later", Overflow])
async def test_who_waits_for_a_place_is_turned_away_by_a_drain(
    autojump_clock: MockClock, refusal: Any
) -> None:
    """Accepted, but nobody has talked to it: it is in no report, and told what the others are."""
    factory = Factory(
        Greeter, **NEVER, max_connections=1, refuse_after=1000, refusal=refusal, refusal_timeout=1
    )
    async with open_server(factory, LOOPBACK) as server:
        first = dial(server.addresses[0])
        assert await first.receive_exactly(5) == b"hello"
        waiting = [dial(server.addresses[0]) for _ in range(3)]
        await settle()
        report = await server.drain(grace=GRACE, force=FORCE)
        assert trio.current_time() <= GRACE
        said = {None: b"", Overflow: b"wait a moment"}.get(refusal, refusal)
        for peer in waiting:
            got, ending = await outcome(peer)
            assert got == said
            assert ending == "eof" or refusal is Overflow
            peer.discard()
        first.discard()
    assert report == DrainReport(finished=1, cancelled=0, aborted=0)


# Ending


async def test_a_slow_end_is_no_cancelled_callback(autojump_clock: MockClock) -> None:
    """The peer has left in time, and only ``connection_lost`` goes on over the deadline."""
    ended: list[str] = []

    class Tidies(Holds):
        async def connection_lost(self, reason: object) -> None:
            await trio.sleep(1)
            ended.append("tidied")

    async with open_server(Factory(Tidies, **NEVER), LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        reports: list[DrainReport] = []
        async with trio.open_nursery() as nursery:

            async def drain() -> None:
                reports.append(await server.drain(grace=GRACE, force=0))

            nursery.start_soon(drain)
            await trio.sleep(GRACE - 0.5)
            await peer.reset()
    assert ended == ["tidied"]
    assert reports == [DrainReport(finished=1, cancelled=0, aborted=0)]
    (who,) = reports[0].connections
    assert (who.ended, type(who.reason)) == ("finished", ConnectionLost)
    assert trio.current_time() <= GRACE + 1


async def test_an_end_that_is_never_done_is_bounded(autojump_clock: MockClock) -> None:
    class NeverTidy(Greeter):
        async def connection_lost(self, reason: object) -> None:
            await trio.sleep_forever()

    factory = Factory(NeverTidy, **NEVER, cleanup_timeout=CLEANUP)
    async with open_server(factory, LOOPBACK) as server:
        peer = dial(server.addresses[0])
        await peer.receive_exactly(5)
        report = await server.drain(grace=0, force=0)
        peer.discard()
    assert trio.current_time() <= CLEANUP + 0.5
    assert len(report.connections) == 1


# Over streams


@pytest.mark.parametrize(
    ("protocol", "ended"),
    [(Greeter, "finished"), (Holds, "finished"), (Callback, "cancelled"), (Stuck, "aborted")],
)
async def test_connections_over_streams_are_drained_in_time(
    autojump_clock: MockClock, protocol: type[Protocol], ended: str
) -> None:
    listener = MemoryListener()
    async with open_server(Factory(protocol, **NEVER), listener) as server:
        peer = await offer(listener)
        assert await peer.receive_exactly(5) == b"hello"
        await peer.send(b"request")
        await settle()
        report = await server.drain(grace=GRACE, force=FORCE)
        assert trio.current_time() <= GRACE + FORCE + 0.5
    assert [each.ended for each in report.connections] == [ended]


# By hand


async def test_a_scope_entered_by_hand_is_drained_the_same_way(autojump_clock: MockClock) -> None:
    seen: list[Any] = []

    class Notes(Callback):
        def connection_lost(self, reason: object) -> None:
            seen.append((type(reason), trio.current_time()))

    listener = MemoryListener()
    factory = Factory(Notes, **NEVER, drain_grace=GRACE, drain_force=FORCE)
    async with trio.open_nursery() as nursery:
        peer = await offer(listener)
        async with factory:
            nursery.start_soon(factory.handle, await listener.accept())
            assert await peer.receive_exactly(5) == b"hello"
            await peer.send(b"request")
            await settle()
    assert seen == [(ServerDraining, GRACE)]
    with pytest.raises(PeerWasReset):
        await peer.receive_some()


# Cancelled from outside


@pytest.mark.parametrize("when", ["before", "in the grace", "in the force"])
async def test_cancelling_from_outside_ends_all_states_at_once(
    autojump_clock: MockClock, big_file: None, when: str
) -> None:
    cases = [each for each in CASES.values() if "linger" not in each.settings]
    waiting = iter(cases)
    factory = Factory(lambda: next(waiting).protocol(), **NEVER)
    peers: list[SocketPeer] = []
    servers: list[Server[Any]] = []
    began = 0.0
    with trio.CancelScope() as scope:
        async with open_server(factory, small_listener(), grace=GRACE, force=FORCE) as server:
            servers.append(server)
            peers += [await brought_to(case, server) for case in cases]
            if when != "before":
                server.stop()
                await trio.sleep(GRACE / 2 if when == "in the grace" else GRACE + FORCE / 2)
            began = trio.current_time()
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == began
    assert len(factory.connections) == 0
    with pytest.raises(trio.ClosedResourceError):
        await servers[0].drain()
    for peer in peers:
        peer.discard()


@pytest.mark.parametrize("over", ["sockets", "handle"])
async def test_who_waits_for_a_cancelled_server_finds_all_connections_ended(
    autojump_clock: MockClock, over: str
) -> None:
    """Also those that run elsewhere, and those whose ``connection_lost`` takes its time."""
    log: list[str] = []

    class Tidies(Greeter):
        async def connection_lost(self, reason: object) -> None:
            await trio.sleep(1)
            log.append("ended")

    factory = Factory(Tidies, **NEVER)

    async def wait_closed(server: Server[Any]) -> None:
        await server.wait_closed()
        log.append("closed")

    async def wait_for_none(server: Server[Any]) -> None:
        await server.wait_connections("<", 1)
        log.append("none")

    async def drain(server: Server[Any]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await server.drain()
        log.append("undrained")

    servers: list[Server[Any]] = []
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with open_server(factory, LOOPBACK) as server:
                servers.append(server)
                if over == "sockets":
                    peer: Any = dial(server.addresses[0])
                else:
                    listener = MemoryListener()
                    peer = await offer(listener)
                    nursery.start_soon(factory.handle, await listener.accept())
                assert await peer.receive_exactly(5) == b"hello"
                nursery.start_soon(wait_closed, server)
                nursery.start_soon(wait_for_none, server)
                await settle()
                scope.cancel()
                await trio.lowlevel.checkpoint()
        nursery.start_soon(drain, servers[0])
    assert log[:2] == ["none", "ended"]
    assert sorted(log[2:]) == ["closed", "undrained"]
