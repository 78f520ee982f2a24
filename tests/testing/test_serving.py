"""Serving for the length of a block: what is served, how it ends, and what may not be left."""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from math import inf
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.hostile.left_overs import check_books
from trioproto import Address, Factory, Protocol, Server, TCPAddress, UnixAddress
from trioproto.errors import (
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    ServerDraining,
)
from trioproto.framing import LineReceiver
from trioproto.testing import (
    Faults,
    LeftOverError,
    MemoryServer,
    SocketServer,
    connected,
    serving,
)
from trioproto.testing.tls_contexts import contexts_of

ALICE = TCPAddress("192.0.2.1", 1025)
TCP = "tcp:0:interface=127.0.0.1"


class Echo(Protocol):
    reason: ConnectionClosed | None = None

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.reason = reason


class Notes(Protocol):
    """Keeps what it hears, and how it ends, in its factory."""

    factory: NotesFactory

    def data_received(self, data: bytes) -> None:
        self.factory.heard += data

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.factory.reasons.append(reason)


class NotesFactory(Factory[Notes]):
    protocol = Notes

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.heard = b""
        self.reasons: list[ConnectionClosed] = []
        self.steps: list[str] = []
        self.peers: list[Address] = []

    def build_protocol(self, peer: Address) -> Notes | None:
        self.peers.append(peer)
        return super().build_protocol(peer)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        self.steps.append("begins")
        yield
        self.steps.append("ends")


async def exchange(stream: trio.abc.Stream, data: bytes = b"hello") -> None:
    await stream.send_all(data)
    received = bytearray()
    while len(received) < len(data):
        received += await stream.receive_some()
    assert received == data


# What is served


def make_echo() -> Echo:
    return Echo()


@pytest.mark.parametrize("target", [Echo, make_echo, Factory(Echo), Factory[Echo](Echo)])
async def test_a_factory_or_what_makes_protocols_is_served(target: Any) -> None:
    async with connected(target) as stream:
        await exchange(stream)


async def test_the_class_of_a_factory_is_made() -> None:
    async with serving(NotesFactory) as server:
        assert isinstance(server.factory, NotesFactory)


@pytest.mark.parametrize("wrong", [5, None, "tcp:8007"])
def test_what_makes_nothing_is_refused_at_once(wrong: Any) -> None:
    for served in (serving, connected):
        with pytest.raises(
            TypeError, match="give a factory or its class, a protocol, or a class or function"
        ):
            served(wrong)


async def test_the_lifespan_runs_around_the_block() -> None:
    factory = NotesFactory()
    async with connected(factory):
        assert factory.steps == ["begins"]
    assert factory.steps == ["begins", "ends"]


async def test_the_handle_has_the_real_server_and_its_numbers() -> None:
    async with serving(Factory(Echo)) as server:
        assert isinstance(server, MemoryServer)
        assert isinstance(server.server, Server)
        assert server.factory.server is server.server
        streams = [await server.connect() for _ in range(3)]
        for stream in streams:
            await exchange(stream)
        assert server.statistics().open == 3
        assert len(server.server.connections) == 3
    assert server.statistics().open == 0
    assert server.statistics().accepted == 3


async def test_the_protocol_sees_the_address_that_is_given() -> None:
    factory = NotesFactory()
    async with serving(factory) as server:
        await server.connect(peer=ALICE)
        await wait_all_tasks_blocked()
    async with connected(factory, peer=UnixAddress("/run/x")):
        await wait_all_tasks_blocked()
    assert factory.peers == [ALICE, UnixAddress("/run/x")]


async def test_faults_and_capacity_are_those_of_the_connection(autojump_clock: MockClock) -> None:
    faults = Faults(delays=(3,))
    async with connected(Echo, to_server=faults, to_client=Faults(reads=(2,))) as stream:
        await stream.send_all(b"abc")
        assert await stream.receive_some() == b"ab"
        assert trio.current_time() == 3
    async with connected(Echo, capacity=5, to_server=Faults(stalls=((0, 60),))) as stream:
        await stream.send_all(b"abcde")
        with trio.move_on_after(1) as scope:
            await stream.send_all(b"f")
        assert scope.cancelled_caught


@pytest.mark.parametrize("half_close", [True, False])
async def test_the_servers_end_can_half_close_or_not(half_close: bool) -> None:
    can: list[bool] = []

    class Looks(Protocol):
        def connection_made(self) -> None:
            can.append(self.transport.can_write_eof)

    async with connected(Looks, half_close=half_close):
        await wait_all_tasks_blocked()
    assert can == [half_close]


async def test_a_stalled_reader_stops_the_server_from_reading() -> None:
    async with serving(Echo, capacity=100) as server:
        stream = await server.connect()
        with trio.move_on_after(0.01) as scope:
            await stream.send_all(bytes(1000))
        assert scope.cancelled_caught
        assert stream.unread == stream.unread_by_peer == 100
        (protocol,) = server.server.connections
        assert protocol.transport.buffered == 100


# Settings


async def test_settings_are_the_factorys_during_the_block_only() -> None:
    factory = Factory(Echo, max_connections=7)
    own = factory.settings
    async with serving(factory, max_connections=3, drain_grace=1):
        assert factory.settings.max_connections == 3
        assert factory.settings.callback_errors == "raise"
    assert factory.settings == own


async def test_what_is_changed_during_the_block_is_so_during_the_block_only() -> None:
    factory = Factory(Echo)
    own = factory.settings
    async with serving(factory, high_water=1000, low_water=100):
        factory.configure(high_water=500, max_connections=4)
        assert factory.settings.high_water == 500
    assert factory.settings is own


async def test_an_unknown_setting_is_refused_and_nothing_is_changed() -> None:
    factory = Factory(Echo)
    own = factory.settings
    with pytest.raises(TypeError, match="max_conections"):
        async with serving(factory, max_conections=3):
            pass
    assert factory.settings is own


async def test_a_factory_that_is_served_already_keeps_its_settings() -> None:
    factory = Factory(Echo)
    async with serving(factory, max_connections=3) as server:
        with pytest.raises(RuntimeError, match="in use already"):
            async with serving(factory, max_connections=5):
                pass
        assert factory.settings.max_connections == 3
        await exchange(await server.connect())
    assert factory.settings.max_connections == 1024


# TLS


@pytest.mark.parametrize("many", [1, 3])
async def test_over_tls_clients_have_shaken_hands(many: int) -> None:
    async with serving(Echo, tls=True) as server:
        for _ in range(many):
            stream = await server.connect()
            assert isinstance(stream, trio.SSLStream)
            await exchange(stream)
        (protocol, *_) = server.server.connections
        assert protocol.transport.tls is not None
        assert protocol.transport.tls.version == "TLSv1.3"


async def test_own_contexts_and_names_can_be_given() -> None:
    contexts = contexts_of(True)
    async with connected(Echo, tls=contexts) as stream:
        await exchange(stream)
    with pytest.raises(trio.BrokenResourceError) as caught:
        async with connected(Echo, tls=contexts, server_hostname="elsewhere.example"):
            pass
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_a_tls_client_that_leaves_says_so() -> None:
    factory = NotesFactory()
    async with connected(factory, tls=True) as stream:
        await stream.send_all(b"bye")
    assert factory.heard == b"bye"
    assert list(map(type, factory.reasons)) == [ConnectionDone]


@pytest.mark.parametrize("where", [(), (TCP,)])
async def test_a_tls_client_may_crash_below_tls(where: tuple[str, ...]) -> None:
    factory = NotesFactory()
    async with serving(factory, *where, tls=True) as server:
        stream = await server.connect()
        await trio.aclose_forcefully(stream.transport_stream)
        other = await server.connect()
        await other.send_all(b"still here")
    assert factory.heard == b"still here"
    assert sorted(type(each).__name__ for each in factory.reasons) == [
        "ConnectionDone",
        "ConnectionLost",
    ]


def test_without_trustme_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(ImportError, match="pip install trustme, or give tls=") as caught:
        serving(Echo, tls=True)
    assert caught.value.name == "trustme"


async def test_a_handshake_that_cannot_end_can_be_cancelled(autojump_clock: MockClock) -> None:
    async with serving(Echo, tls=True) as server:
        with trio.move_on_after(5) as scope:
            await server.connect(to_server=Faults(drop_after=10))
        assert scope.cancelled_caught


# Sockets


@pytest.mark.parametrize("tls", [False, True])
async def test_it_is_served_on_sockets_too(tls: Any) -> None:
    async with serving(Echo, TCP, tls=tls) as server:
        assert isinstance(server, SocketServer)
        stream = await server.connect()
        await exchange(stream)


async def test_one_chooses_among_several_endpoints(tmp_path: Any) -> None:
    async with serving(Echo, TCP, f"unix:{tmp_path}/socket") as server:
        for number in (0, 1):
            await exchange(await server.connect(number))
        peers = {type(each.transport.peer) for each in server.server.connections}
        assert peers == {TCPAddress, UnixAddress}


async def test_sockets_of_clients_are_closed_when_the_block_fails() -> None:
    streams: list[trio.SocketStream] = []

    async def fail() -> None:
        async with serving(Echo, TCP) as server:
            streams.append(await server.connect())
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert streams[0].socket.fileno() == -1


# The end


@pytest.mark.parametrize("size", [1, 100_000])
async def test_what_clients_have_sent_is_delivered_before_the_end(size: int) -> None:
    factory = NotesFactory()
    async with connected(factory, capacity=None) as stream:
        await stream.send_all(bytes(size))
    assert len(factory.heard) == size
    assert list(map(type, factory.reasons)) == [ConnectionDone]


async def test_an_async_callback_may_finish_before_the_end(autojump_clock: MockClock) -> None:
    done: list[float] = []

    class Slow(LineReceiver):
        delimiter = b"\n"

        async def line_received(self, line: bytes) -> None:
            await trio.sleep(5)
            done.append(trio.current_time())

    async with connected(Slow) as stream:
        await stream.send_all(b"a\nb\n")
    assert done == [5, 10]


async def test_who_keeps_the_connection_open_is_drained() -> None:
    class Stays(Notes):
        def eof_received(self) -> bool:
            return True

    factory = NotesFactory()
    factory.protocol = Stays
    async with connected(factory):
        await wait_all_tasks_blocked()
    assert list(map(type, factory.reasons)) == [ServerDraining]


async def test_clients_that_are_stuck_hold_nothing_up(autojump_clock: MockClock) -> None:
    """One that cannot be heard, and one that reads nothing."""
    stuck = Faults(drop_after=0)
    async with serving(Factory(Echo), capacity=1000) as server:
        await server.connect(to_server=stuck)
        unread = await server.connect()
        await unread.send_all(bytes(1000))
        await wait_all_tasks_blocked()
    assert trio.current_time() < 20


async def test_a_tls_client_that_has_no_room_to_say_goodbye_holds_nothing_up(
    autojump_clock: MockClock,
) -> None:
    record = 5 + 1 + 16  # what a TLS 1.3 record has around its content
    async with connected(Echo, tls=True, to_server=Faults(drop_after=3000), capacity=4000) as over:
        below = over.transport_stream
        while (room := 4000 - below.unread_by_peer) > 1000:
            await over.send_all(bytes(500))
        await over.send_all(bytes(room - record))
        assert below.unread_by_peer == 4000
    assert trio.current_time() < 20


async def test_streams_are_closed_at_the_end() -> None:
    async with serving(Echo) as server:
        streams = [await server.connect() for _ in range(2)]
        await streams[0].aclose()
    for stream in streams:
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()
    with pytest.raises(ConnectionRefusedError):
        await server.connect()


async def test_a_client_with_a_reply_unread_is_a_lost_one_as_over_tcp() -> None:
    factory = NotesFactory()

    class Answers(Notes):
        def connection_made(self) -> None:
            self.transport.write(b"hello")

    factory.protocol = Answers
    async with connected(factory):
        await wait_all_tasks_blocked()
    assert list(map(type, factory.reasons)) == [ConnectionLost]


async def test_a_block_that_fails_ends_everything_at_once(autojump_clock: MockClock) -> None:
    factory = NotesFactory()

    async def fail() -> None:
        async with connected(factory):
            await wait_all_tasks_blocked()
            raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        await fail()
    assert caught.value.__context__ is None
    assert len(factory.reasons) == 1
    assert factory.steps == ["begins"]  # it was ended by the error, as with open_server
    assert trio.current_time() == 0


async def test_a_group_of_the_blocks_stays_a_group() -> None:
    group = ExceptionGroup("mine", [KeyError(), ValueError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with connected(Echo):
            raise group
    assert caught.value is group


@pytest.mark.parametrize("tls", [False, True])
async def test_a_block_can_be_cancelled_at_any_time(tls: Any) -> None:
    """At each checkpoint of opening, connecting, and the end; nothing is left, whenever it was."""
    nurseries = trio.lowlevel.current_task().child_nurseries
    for steps in range(1000):
        factory = NotesFactory()
        scope = trio.CancelScope()
        with scope, cancelling(scope, steps):
            async with connected(factory, tls=tls) as stream:
                await stream.send_all(b"x")
        check_books(factory)
        assert factory.settings.callback_errors == "log"
        assert factory.statistics().open == factory.statistics().opening == 0
        assert trio.lowlevel.current_task().child_nurseries == nurseries
        if not scope.cancel_called:
            assert steps > 10
            return
    raise AssertionError("it never ends by itself")


@contextmanager
def cancelling(scope: trio.CancelScope, steps: int) -> Iterator[None]:
    """Cancel *scope* after the current task has run so many times."""
    instrument = CancelsAfter(scope, steps)
    trio.lowlevel.add_instrument(instrument)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(instrument)


class CancelsAfter(trio.abc.Instrument):
    """Cancels a scope after the current task has run so many times."""

    def __init__(self, scope: trio.CancelScope, count: int) -> None:
        self.scope = scope
        self.left = count
        self.task = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.left -= 1
            if self.left < 0:
                self.scope.cancel()


# What is left


async def test_a_task_in_another_nursery_is_found_and_named() -> None:
    async with trio.open_nursery() as nursery:

        class StartsElsewhere(Protocol):
            def connection_made(self) -> None:
                nursery.start_soon(trio.sleep_forever, name="forgotten")

        with pytest.raises(LeftOverError) as caught:
            async with connected(StartsElsewhere):
                await wait_all_tasks_blocked()
        assert str(caught.value) == "left over when serving ended: tasks: forgotten"
        assert caught.value.left == {"tasks": ["forgotten"]}
        nursery.cancel_scope.cancel()


class Closing(Factory[Echo]):
    """Has a lifespan that takes its time to end."""

    protocol = Echo
    drain_grace = 2
    drain_force = 1

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, self.seconds)
            yield


async def test_a_lifespan_may_take_a_minute_after_the_drain_to_end(
    autojump_clock: MockClock,
) -> None:
    async with connected(Closing(64.9)):
        pass
    assert trio.current_time() == pytest.approx(64.9)


@pytest.mark.parametrize("seconds", [65.1, inf])
async def test_a_lifespan_that_does_not_end_is_named(
    autojump_clock: MockClock, seconds: float
) -> None:
    with pytest.raises(LeftOverError) as caught:
        async with connected(Closing(seconds)):
            pass
    assert str(caught.value) == "left over 65 s after the drain began: tasks: Closing.lifespan"
    assert trio.current_time() == pytest.approx(65)


async def test_what_has_a_long_way_or_a_long_farewell_is_no_lifespan(
    autojump_clock: MockClock,
) -> None:
    """The minute begins when what was sent has come, and what a drain may wait for is over."""

    class Farewell(Protocol):
        received = b""

        def data_received(self, data: bytes) -> None:
            Farewell.received += data

        async def connection_lost(self, reason: ConnectionClosed) -> None:
            await trio.sleep(99)

    slow = Faults(delays=(100,))
    factory = Factory(Farewell, cleanup_timeout=100, idle_timeout=None)
    async with connected(factory, to_server=slow) as stream:
        await stream.send_all(b"late")
    assert Farewell.received == b"late"
    assert trio.current_time() == pytest.approx(199)


async def test_a_system_task_is_found() -> None:
    scope = trio.CancelScope()

    async def forgotten() -> None:
        with scope:
            await trio.sleep_forever()

    class Starts(Protocol):
        def connection_made(self) -> None:
            trio.lowlevel.spawn_system_task(forgotten, name="forgotten")

    with pytest.raises(LeftOverError, match=r"tasks: forgotten \(system\)"):
        async with connected(Starts):
            await wait_all_tasks_blocked()
    scope.cancel()


async def test_tasks_of_the_tests_own_are_its_own() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        async with serving(Echo) as server:
            nursery.start_soon(trio.sleep_forever)
            await exchange(await server.connect())
        nursery.cancel_scope.cancel()


async def test_two_that_overlap_do_not_see_each_others_tasks() -> None:
    async with serving(Echo) as outer, serving(Echo) as inner:
        await exchange(await outer.connect())
        await exchange(await inner.connect())
    async with serving(Echo) as outer:
        await exchange(await outer.connect())
        async with serving(Echo) as inner:
            await exchange(await inner.connect())


def lose_place(server: Server[Any]) -> None:
    server._scope.admission.places.acquire_on_behalf_of_nowait("nobody")


def lose_handshake(server: Server[Any]) -> None:
    server._scope.admission.handshakes.acquire_on_behalf_of_nowait("nobody")


def lose_peer(server: Server[Any]) -> None:
    server._scope.admission.peer_came("nobody")


def lose_bytes(server: Server[Any]) -> None:
    server.factory._buffered += 7


@pytest.mark.parametrize(
    ("lose", "left"),
    [
        (lose_place, {"places": 1}),
        (lose_handshake, {"handshakes": 1}),
        (lose_peer, {"peers": 1, "groups of peers": 1}),
        (lose_bytes, {"buffered": 7}),
    ],
)
async def test_what_a_limit_still_counts_is_named(
    lose: Callable[[Server[Any]], None], left: dict[str, int]
) -> None:
    with pytest.raises(LeftOverError) as caught:
        async with serving(Echo) as server:
            lose(server.server)
    assert caught.value.left == left


async def test_after_an_error_nothing_more_is_asked() -> None:
    async def fail() -> None:
        async with serving(Echo) as server:
            lose_bytes(server.server)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
