"""What went wrong once where connections are encrypted."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.behaviour.drivers import PLAIN, ServerService, SocketPeer, serving
from tests.behaviour.tls_peers import NAME, authority, client_context, server_context
from tests.layers.hellos import first_flight
from tests.serving.test_listeners import offer
from tests.tls.client_side import Talk, talking
from tests.tls.over_wire import (
    SERVED_OVER_TLS,
    Echoes,
    Keeps,
    file_content,
    raw,
    speaking,
)
from tests.tls.upgrading import GO, Does, told
from trioproto import Factory, UnknownAddress, open_server, run_protocol
from trioproto.endpoints import Bound, ServerEndpoint, TLSServerEndpoint, parse_endpoint
from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.errors import CallbackTimeout, ConnectionDone, ConnectionLost, HandshakeFailed
from trioproto.layers.opening import Opening
from trioproto.layers.server_name import ContextsByName
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.layer import Layer
from trioproto.sansio.tls_info import TLSContext
from trioproto.testing import MemoryListener
from trioproto.testing.conformance.recorder import Recorder

MIB = 1 << 20
A_TURN = 512 * 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(file_content())
    return path


# Turns


async def test_a_large_reply_goes_in_turns_between_which_others_are_served() -> None:
    """Both requests are there at once, and the kernel would take more of the first reply.

    On a slow machine a batch ends before the second has its turn, and the first has
    some more until the next batch.
    """
    gone: list[int] = []

    def note(_: Recorder) -> None:
        gone.append(8 * MIB - large.transport.buffered if large.received else 0)

    large = Recorder(data_received=lambda self: self.transport.write(bytes(8 * MIB)))
    other = Recorder(data_received=note)
    protocols = iter([large, other])
    async with serving("tls", Factory(lambda: next(protocols))) as service:
        first, second = await speaking(service), await speaking(service)
        for each in (first, second):
            assert isinstance(each.peer, SocketPeer)
            each.peer.raw.sendall(each.client.encrypt(b"go"))  # the server gets no tick between
        assert await first.receive_exactly(8 * MIB) == bytes(8 * MIB)
    assert len(gone) == 1
    assert gone[0] <= 4 * A_TURN


async def test_what_is_sent_by_an_async_callback_goes_in_turns_too() -> None:
    """At each tick, another task looks at what has gone since."""

    async def reply(self: Recorder) -> None:
        await self.transport.send(bytes(8 * MIB))

    large = Recorder(data_received=reply)
    steps: list[int] = []

    async def look() -> None:
        before = 0
        while True:
            now = large.transport.buffered
            steps.append(before - now)
            before = now
            await trio.lowlevel.checkpoint()

    async with serving("tls", large) as service:
        speaker = await speaking(service)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await speaker.say(b"go")
            assert await speaker.receive_exactly(8 * MIB) == bytes(8 * MIB)
            nursery.cancel_scope.cancel()
    assert 0 < max(steps) <= 3 * A_TURN


# Refusals


@pytest.mark.parametrize("driver", SERVED_OVER_TLS)
async def test_a_refusal_says_nothing_in_plain(driver: str) -> None:
    """The client expects records; what is no record is an attack, as far as it can see."""
    factory = Keeps(max_connections=1, at_limit="refuse", refusal=b"full\r\n")
    async with serving(driver, factory) as service:
        await speaking(service)
        refused = await raw(service)
        data, _ = await refused.receive_all()
        assert data == b""
    assert len(factory.built) == 1


# Files


def is_open(path: Path) -> bool:
    return any(
        link.is_symlink() and link.resolve() == path for link in Path("/proc/self/fd").iterdir()
    )


@pytest.mark.parametrize("driver", PLAIN)
async def test_a_file_that_nothing_is_written_before_waits_for_the_handshake(
    driver: str, file: Path
) -> None:
    def act(self: Does) -> None:
        self.transport.write(GO)
        self.transport.start_tls(self.context)
        self.transport.start_soon(self.transport.send_file, file)

    async with serving(driver, Does(act)) as service:
        speaker = await told(service)
        while not is_open(file):
            await trio.lowlevel.checkpoint()
        for _ in range(5):
            await trio.to_thread.run_sync(int)  # as long as it takes to read a part
        assert await speaker.peer.received_so_far() == b""
        await speaker.shake()
        assert await speaker.receive_exactly(len(file_content())) == file_content()


class Breaks(Layer):
    """Passes so many bytes, and no more."""

    def __init__(self, reason: ConnectionLost) -> None:
        self.left = 100_000
        self.reason = reason

    def receive(self, data: Any) -> bytes:
        return bytes(data)

    def send(self, data: bytes | memoryview) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            raise self.reason
        return bytes(data)


class Through(ServerEndpoint):
    """A ready-made listener, whose streams go through a layer."""

    def __init__(self, listener: MemoryListener, layer: Layer) -> None:
        self.text = "layered"
        self.listener = listener
        self.layer = layer

    async def bind(self) -> list[Bound]:
        await trio.lowlevel.checkpoint()
        bound = Bound(self.listener, UnknownAddress("memory"), "layered", listens=True)
        bound.opening = Opening(layers=lambda: (self.layer,))
        return [bound]


async def test_a_layer_that_breaks_in_a_file_ends_the_connection_with_its_reason(
    file: Path,
) -> None:
    """It is no error of the callback that sends the file: nothing is logged."""
    broken = ConnectionLost("the layer broke")
    raised: list[BaseException] = []

    async def reply(self: Recorder) -> None:
        try:
            await self.transport.send_file(file)
        except BaseException as exc:
            raised.append(exc)
            raise

    protocol = Recorder(data_received=reply)
    listener = MemoryListener()
    async with open_server(Factory(lambda: protocol), Through(listener, Breaks(broken))):
        peer = await offer(listener)
        await peer.send(b"go")
        with trio.fail_after(5):
            await peer.receive_all()
        await peer.aclose()
    assert protocol.reason is broken
    assert len(raised) == 1
    assert raised[0] is broken or isinstance(raised[0], trio.Cancelled)


# Ends


def test_a_client_that_resets_instead_of_hearing_our_farewell_is_no_loss() -> None:
    """It has got everything, and has said that it is done, while our farewell waits."""
    protocol = Recorder()
    talk = talking(protocol)
    talk.transport.write(b"good bye")
    talk.to_client()
    talk.harness.window = 0
    talk.transport.close()
    assert not talk.harness.lost
    talk.to_server(talk.client.farewell())
    talk.harness.reset()
    assert talk.client.received == b"good bye"
    assert type(protocol.reason) is ConnectionDone


@pytest.mark.parametrize("driver", SERVED_OVER_TLS)
async def test_a_farewell_that_comes_during_a_drain_is_the_end_and_no_cut(driver: str) -> None:
    """What else comes then is discarded; the drain's last word is still heard."""
    protocol = Recorder(quiesce=lambda self: self.transport.write(b"draining"))
    async with serving(driver, protocol) as service:
        assert isinstance(service, ServerService)
        speaker = await speaking(service)
        await service.start_drain()
        assert await speaker.receive_exactly(8) == b"draining"
        await speaker.say_farewell()
        await service.settle()
        protocol.transport.resume_reading()
        await speaker.peer.send_eof()
        await speaker.receive_all()
        with trio.fail_after(5):
            await protocol.transport.wait_closed()
    assert type(protocol.reason) is ConnectionDone
    assert "eof_received" in protocol.heard


@pytest.mark.parametrize("driver", PLAIN)
async def test_a_callback_that_outlasts_its_time_in_a_handshake_is_told_so(
    driver: str, autojump_clock: MockClock
) -> None:
    """The handshake still has time."""

    async def act(self: Does) -> None:
        self.transport.write(GO)
        self.transport.start_tls(self.context)
        await trio.sleep_forever()

    protocol = Does(act)
    factory = Factory(lambda: protocol, callback_timeout=3, handshake_timeout=10)
    async with serving(driver, factory) as service:
        await told(service)
        begun = trio.current_time()
        await protocol.transport.wait_closed()
        assert trio.current_time() - begun <= 4
    assert type(protocol.reason) is CallbackTimeout


async def test_an_ended_connection_keeps_no_session() -> None:
    """Who keeps a transport to ask it for its peer does not keep its keys and buffers."""
    sessions: WeakSet[ssl.SSLObject] = WeakSet()

    class Session(ssl.SSLObject):
        def __new__(cls, *args: Any, **kwargs: Any) -> Self:
            made = super().__new__(cls)
            sessions.add(made)
            return made

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(NAME).configure_cert(context)
    context.sslobject_class = Session
    ours, theirs = trio.testing.memory_stream_pair()
    protocol = Echoes()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(run_protocol, protocol, ours, tls=context))
        client = trio.SSLStream(theirs, client_context(), server_hostname=NAME)
        await client.send_all(b"hello")
        assert await client.receive_some() == b"hello"
        assert len(sessions) == 1
        await client.aclose()
    gc.collect()
    assert protocol.lost
    assert protocol.transport.tls is not None
    assert not sessions


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def test_a_failed_handshake_waits_for_no_garbage_collector() -> None:
    """Thousands may fail in the time between two of its runs."""
    context = server_context()
    with without_collector():
        sessions: WeakSet[TLSLayer] = WeakSet()
        layer = Kept(context, server_side=True)
        sessions.add(layer)
        with pytest.raises(HandshakeFailed) as caught:
            layer.receive(b"GET / HTTP/1.0\r\n\r\n")
        assert isinstance(caught.value.__cause__, ssl.SSLError)
        reason = caught.value.with_traceback(None)
        del caught, layer
        assert reason.__cause__ is not None
        assert not sessions


class Kept(TLSLayer):
    """May be referred to weakly."""

    __slots__ = ("__weakref__",)


def test_a_bare_fin_and_a_reset_are_a_clean_end_where_no_farewell_is_asked_for() -> None:
    """The reset is the answer to our farewell, which the peer was there no more to hear."""
    protocol = Recorder()
    talk = talking(protocol, require_close_notify=False)
    talk.harness.window = 0
    talk.harness.feed_eof()
    assert not talk.harness.lost
    talk.harness.reset()
    assert type(protocol.reason) is ConnectionDone


def two_names() -> ContextsByName:
    contexts = ContextsByName(server_context())
    for name in ("one.example.org", "two.example.org"):
        contexts.add([name], server_context())
    return contexts


@pytest.mark.parametrize("contexts", [server_context(), two_names()], ids=["context", "by name"])
def test_a_refused_client_that_goes_on_talking_hears_the_refusal_to_its_end(
    contexts: TLSContext, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a matter of one line, and not of a traceback, nor of a reset."""
    protocol = Recorder()
    layers = partial(TLSLayer, contexts, server_side=True)
    talk = Talk(protocol, layers=lambda: (layers(),), window=0)
    hello = first_flight("unknown.example.org")
    garbage = b"\x16\x03\x01\x00\x05hello"
    talk.harness.feed(hello if isinstance(contexts, ContextsByName) else garbage)
    for _ in range(3):
        talk.harness.feed(garbage)
    assert type(talk.harness.transport.reason) is HandshakeFailed
    assert not talk.harness.transport.broken
    talk.harness.window = None
    talk.harness.feed_eof()
    assert talk.harness.lost
    assert talk.harness.take()[:1] == b"\x15"
    assert not any(record.exc_info for record in caplog.records)


async def test_a_server_is_not_opened_with_what_is_no_context() -> None:
    inner = parse_endpoint("tcp:0:interface=127.0.0.1")
    for wrong in ("a string", None, object()):
        endpoint = TLSServerEndpoint(inner, wrong)  # type: ignore[arg-type]
        with pytest.raises((TypeError, AttributeError)):
            async with open_server(Factory(Recorder), endpoint):
                pytest.fail("there is nothing to shake hands with")


async def test_certificates_that_were_not_loaded_are_an_error_of_the_call() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    certificates = Certificates([CertificateFiles("a.pem", "a.key")])
    with pytest.raises(RuntimeError, match=r"load\(\)"):
        await run_protocol(Recorder(), ours, tls=certificates)
    assert await theirs.receive_some() == b""


def test_a_server_takes_the_name_from_its_client_only() -> None:
    layer = TLSLayer(two_names(), server_side=True, server_hostname="one.example.org")
    layer.receive(first_flight(None))
    assert layer._server_name is None
