"""What went wrong once in connections of our own making."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from weakref import WeakSet

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.behaviour.tls_peers import NAME, client_context, server_context
from trioproto import Factory, connect, run_protocol, stay_connected
from trioproto.endpoints import ClientEndpoint, StreamClientEndpoint, TLSClientEndpoint
from trioproto.errors import ConnectionAborted, ConnectionDone, EndpointError
from trioproto.testing.conformance.recorder import Act, Recorder, never


class LeftError(Exception):
    """What the blocks of these tests are left by."""


class Server(ClientEndpoint):
    """Where every attempt succeeds, over streams in memory."""

    def __init__(self) -> None:
        self.text = "memory"
        self.streams: list[trio.abc.Stream] = []

    async def open(self) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self.streams.append(theirs)
        return ours


def sets(event: trio.Event) -> Act:
    return lambda _: event.set()


# stay_connected

AGAIN = range(20)
"""trio runs the tasks of one tick in any order."""


async def test_stay_connected_left_in_the_tick_of_connection_made_flushes_and_closes(
    autojump_clock: MockClock,
) -> None:
    """Before ``wait_connected`` would have told of the connection."""

    def greet(self: Recorder) -> None:
        self.transport.write(b"hello")
        made.set()

    for _ in AGAIN:
        server, made = Server(), trio.Event()
        protocol = Recorder(connection_made=greet)
        async with stay_connected(Factory(lambda protocol=protocol: protocol), server):
            await made.wait()
        assert type(protocol.reason) is ConnectionDone
        (stream,) = server.streams
        assert await stream.receive_some() == b"hello"
        assert await stream.receive_some() == b""
        protocol.check()


async def test_stay_connected_left_by_an_error_in_the_tick_of_connection_made_resets(
    autojump_clock: MockClock,
) -> None:
    async def use(protocol: Recorder, made: trio.Event) -> None:
        async with stay_connected(Factory(lambda: protocol), Server()):
            await made.wait()
            raise LeftError

    for _ in AGAIN:
        made = trio.Event()
        protocol = Recorder(connection_made=sets(made))
        with pytest.raises(LeftError):
            await use(protocol, made)
        assert type(protocol.reason) is ConnectionAborted
        protocol.check()


async def test_stay_connected_left_in_the_tick_of_a_second_connection_closes_that(
    autojump_clock: MockClock,
) -> None:
    for _ in AGAIN:
        server, made = Server(), trio.Event()
        protocols = [Recorder(), Recorder(connection_made=sets(made))]
        waiting = iter(protocols)
        factory = Factory(lambda waiting=waiting: next(waiting))
        async with stay_connected(factory, server) as kept:
            await kept.wait_connected()
            await server.streams[0].aclose()
            await made.wait()
        assert [type(each.reason) for each in protocols] == [ConnectionDone] * 2
        for protocol in protocols:
            protocol.check()


@pytest.mark.parametrize("error", [None, LeftError()])
async def test_stay_connected_left_in_a_handshake_aborts_it(
    autojump_clock: MockClock, error: LeftError | None
) -> None:
    """Nothing can be lost: the protocol has not heard of it."""
    server, protocol = Server(), Recorder(connection_made=never)
    endpoint = TLSClientEndpoint(server, NAME, client_context())
    with suppress(LeftError):
        async with stay_connected(Factory(lambda: protocol), endpoint):
            await trio.testing.wait_all_tasks_blocked()
            (stream,) = server.streams
            assert await stream.receive_some()  # a hello
            if error is not None:
                raise error
    assert trio.current_time() == 0
    assert protocol.heard == []
    assert type(protocol.transport.reason) is ConnectionAborted


async def test_stay_connected_left_before_its_connections_task_has_begun_ends_at_once(
    autojump_clock: MockClock,
) -> None:
    """Nobody else would end that connection: it may be silent for ever."""
    for _ in AGAIN:
        server, protocol = Opens(), Recorder()
        factory = Factory(lambda protocol=protocol: protocol, idle_timeout=None)
        with trio.fail_after(60):
            async with stay_connected(factory, server):
                await server.opened.wait()
            (stream,) = server.streams
            assert await stream.receive_some() == b""
        if protocol.heard:
            assert type(protocol.reason) is ConnectionDone


async def test_a_connection_that_begins_when_its_factorys_use_has_ended_is_closed_at_once(
    autojump_clock: MockClock,
) -> None:
    for _ in AGAIN:
        server, protocol = Opens(), Recorder()
        factory = Factory(Recorder, idle_timeout=None)
        ended: list[float] = []
        with suppress(BaseExceptionGroup):
            async with trio.open_nursery() as nursery, factory:
                nursery.start_soon(stay_within, server, protocol, factory)
                await server.opened.wait()
                ended.append(trio.current_time())
                raise LeftError
        assert trio.current_time() == ended[0]
        (stream,) = server.streams
        with trio.fail_after(1):
            assert await stream.receive_some() == b""
        if protocol.heard:
            assert protocol.heard[-1] == "connection_lost"


class Opens(Server):
    """Tells of a connection before that has a task."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = trio.Event()

    async def open(self) -> trio.abc.Stream:
        stream = await super().open()
        self.opened.set()
        return stream


async def stay_within(server: Server, protocol: Recorder, factory: Factory[Recorder]) -> None:
    async with connect(server, protocol, within=factory):
        await trio.sleep_forever()


# Streams that are connected already


def refused_protocol(ours: trio.abc.Stream) -> AbstractAsyncContextManager[object]:
    return connect(ours, "no protocol")  # type: ignore[type-var]


def factory_not_in_use(ours: trio.abc.Stream) -> AbstractAsyncContextManager[object]:
    return connect(ours, Recorder(), within=Factory(Recorder))


def context_of_no_use(ours: trio.abc.Stream) -> AbstractAsyncContextManager[object]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return connect(TLSClientEndpoint(StreamClientEndpoint(ours), NAME, context), Recorder())


@pytest.mark.parametrize(
    ("entered", "error"),
    [
        (refused_protocol, TypeError),
        (factory_not_in_use, RuntimeError),
        (context_of_no_use, EndpointError),
    ],
)
async def test_a_ready_made_stream_is_closed_when_connect_refuses_the_rest(
    entered: Callable[[trio.abc.Stream], AbstractAsyncContextManager[object]],
    error: type[Exception],
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    with pytest.raises(error):
        async with entered(ours):
            never()
    with trio.fail_after(1):
        assert await theirs.receive_some() == b""


async def test_a_ready_made_stream_is_closed_when_run_protocol_refuses_the_protocol() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    with pytest.raises(TypeError):
        await run_protocol("no protocol", ours)  # type: ignore[arg-type]
    with trio.fail_after(1):
        assert await theirs.receive_some() == b""


async def test_a_ready_made_stream_is_closed_when_its_factory_is_not_in_use() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    with pytest.raises(RuntimeError, match="enter it first"):
        await Factory(Recorder, max_connections=1).handle(ours)
    with trio.fail_after(1):
        assert await theirs.receive_some() == b""


async def test_a_context_that_is_made_in_a_thread_is_not_waited_for_with_a_stream_open() -> None:
    """The cancellation comes while the thread is at work."""
    ours, theirs = trio.testing.memory_stream_pair()
    inner = StreamClientEndpoint(ours)
    endpoint = TLSClientEndpoint(inner, NAME, ssl.create_default_context)
    with trio.CancelScope() as scope:
        scope.cancel()
        async with connect(endpoint, Recorder()):
            never()
    with trio.fail_after(1):
        assert await theirs.receive_some() == b""


async def test_a_ready_made_stream_is_used_once() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    endpoint = StreamClientEndpoint(ours)
    async with connect(endpoint, Recorder()) as protocol:
        await theirs.send_eof()
        await protocol.transport.wait_closed()
    with pytest.raises(trio.ClosedResourceError, match="once"):
        async with connect(endpoint, Recorder()):
            never()


def as_it_is(stream: trio.abc.Stream) -> trio.abc.Stream:
    return stream


def over_tls(stream: trio.abc.Stream) -> TLSClientEndpoint:
    return TLSClientEndpoint(StreamClientEndpoint(stream), NAME, client_context())


async def cancel_after(ticks: int, scope: trio.CancelScope) -> None:
    for _ in range(ticks):
        await trio.lowlevel.checkpoint()
    scope.cancel()


@pytest.mark.parametrize(
    ("target", "tls"),
    [(as_it_is, None), (StreamClientEndpoint, None), (over_tls, server_context())],
    ids=["stream", "endpoint", "tls"],
)
async def test_a_ready_made_stream_is_closed_whenever_connect_is_cancelled(
    target: Callable[[trio.abc.Stream], ClientEndpoint | trio.abc.Stream],
    tls: ssl.SSLContext | None,
) -> None:
    """After so many ticks, for each number until the block is left before.

    The other end ends when it hears of it.
    """
    cancelled = 0
    for ticks in range(1000):
        ours, theirs = trio.testing.memory_stream_pair()
        scope = trio.CancelScope()
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(run_protocol, Recorder(), theirs, tls=tls))
                if ticks == 0:
                    scope.cancel()
                nursery.start_soon(cancel_after, ticks, scope)
                with scope:
                    async with connect(target(ours), Recorder()):
                        pass
        if not scope.cancelled_caught:
            break
        cancelled += 1
    assert cancelled > 1


async def test_a_context_that_can_say_no_hello_is_an_endpoint_error() -> None:
    """Before anything is opened: no version of TLS is left."""
    context = client_context_without_versions()
    server = Server()
    endpoint = TLSClientEndpoint(server, NAME, context)
    with pytest.raises(EndpointError, match=f"no TLS to '{NAME}'"):
        async with connect(endpoint, Recorder()):
            never()
    with pytest.raises(EndpointError, match=f"no TLS to '{NAME}'"):
        async with stay_connected(Factory(Recorder), endpoint):
            never()
    assert server.streams == []


def client_context_without_versions() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


async def test_a_connection_that_we_made_waits_for_no_garbage_collector() -> None:
    """Nor does the one at its other end."""
    gc.collect()
    gc.disable()
    try:
        alive: WeakSet[Recorder] = WeakSet()
        await talk(alive)
        assert len(alive) == 0
    finally:
        gc.enable()


async def talk(alive: WeakSet[Recorder]) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    alive.add(answers := Recorder())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_protocol, answers, theirs)
        del answers
        async with connect(ours, Recorder()) as protocol:
            alive.add(protocol)
            protocol.transport.write(b"hello")
        del protocol
