"""STARTTLS over real drivers: deadlines, close, drains, cancellation, both sides."""

from __future__ import annotations

import ssl
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trioproto
from tests.behaviour.drivers import (
    MORE_THAN_FITS,
    PLAIN,
    LoopService,
    Serving,
    serving,
)
from tests.behaviour.tls_peers import NAME
from tests.tls.client_side import (
    VERSIONS,
    for_client,
    nothing_logged,
    one_warning,
)
from tests.tls.over_wire import Speaker, open_descriptors, task_count
from tests.tls.upgrading import (
    COMMAND,
    GO,
    Does,
    Upgrading,
    in_a_plain_callback,
    in_an_async_callback,
    told,
)
from trioproto import Factory, Protocol, TCPAddress
from trioproto.errors import (
    ConnectionDone,
    ConnectionLost,
    HandshakeFailed,
    HandshakeTimeout,
    ServerDraining,
    WriteTimeout,
)
from trioproto.testing.conformance.peer import PeerWasReset
from trioproto.testing.conformance.recorder import Recorder, never

BOTH = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(params=PLAIN)
def serve(request: pytest.FixtureRequest) -> Serving:
    return partial(serving, request.param)


class TestAHandshakeThatGoesOn:
    @pytest.mark.parametrize("size", [0, 1, 5, 100])
    async def test_has_its_time_only(
        self,
        serve: Serving,
        size: int,
        autojump_clock: MockClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        protocol = Upgrading()
        async with serve(protocol, handshake_timeout=10, idle_timeout=60) as service:
            speaker = await told(service)
            await speaker.peer.send(speaker.client.output()[:size])
            await service.pass_time(9.5)
            assert protocol.reasons == []
            await service.pass_time(1)
            assert type(protocol.reason) is HandshakeTimeout
            assert (await speaker.receive_all(), speaker.was_reset) == (b"", True)
        assert one_warning(caplog)

    async def test_is_no_silence(self, serve: Serving, autojump_clock: MockClock) -> None:
        protocol = Upgrading()
        async with serve(protocol, handshake_timeout=100, idle_timeout=10) as service:
            speaker = await told(service)
            await service.pass_time(50)
            await speaker.shake()
            await service.pass_time(9)
            assert "timed_out" not in protocol.heard
            await service.pass_time(2)
            assert "timed_out" in protocol.heard

    @pytest.mark.parametrize("how", ["send_eof", "reset"])
    @pytest.mark.parametrize("size", [1, 100])
    async def test_may_be_ended_by_the_client(
        self, serve: Serving, how: str, size: int, autojump_clock: MockClock
    ) -> None:
        protocol = Upgrading()
        async with serve(protocol) as service:
            speaker = await told(service)
            await speaker.peer.send(speaker.client.output()[:size])
            await service.settle()
            await getattr(speaker.peer, how)()
            await service.pass_time(3)
            kind = HandshakeFailed if how == "send_eof" else ConnectionLost
            assert type(protocol.reason) is kind
            assert "eof_received" not in protocol.heard

    async def test_goes_on_while_the_protocol_pauses_reading(self, serve: Serving) -> None:
        def act(self: Does) -> None:
            self.transport.pause_reading()
            in_a_plain_callback(self)

        protocol = Does(act)
        async with serve(protocol) as service:
            speaker = await told(service)
            with trio.fail_after(5):
                await speaker.shake()
            await speaker.say(b"MAIL\r\n")
            await service.settle()
            assert protocol.lines == [COMMAND]
            protocol.transport.resume_reading()
            assert await speaker.receive_exactly(9) == b"OK MAIL\r\n"

    async def test_goes_on_while_much_output_waits_for_it(self, serve: Serving) -> None:
        def act(self: Does) -> None:
            in_a_plain_callback(self)
            self.transport.write(bytes(MORE_THAN_FITS))

        protocol = Does(act)
        async with serve(protocol, small_buffers=True) as service:
            speaker = await told(service)
            with trio.fail_after(5):
                await speaker.shake()
            assert await speaker.receive_exactly(MORE_THAN_FITS) == bytes(MORE_THAN_FITS)

    async def test_lets_a_task_stream_when_it_is_done(self, serve: Serving) -> None:
        async def stream(self: Does) -> None:
            for _ in range(20):
                await self.transport.send(bytes(50_000))

        def act(self: Does) -> None:
            in_a_plain_callback(self)
            self.transport.start_soon(stream, self)

        async with serve(Does(act), small_buffers=True) as service:
            speaker = await told(service)
            await service.settle()
            await speaker.shake()
            assert await speaker.receive_exactly(1_000_000) == bytes(1_000_000)

    async def test_does_not_wait_for_ever_for_a_callback_that_streams_after_the_call(
        self, serve: Serving, autojump_clock: MockClock
    ) -> None:
        """The handshake waits for the callback, and this for the handshake."""

        async def act(self: Does) -> None:
            in_a_plain_callback(self)
            await self.transport.send(bytes(1_000_000))

        protocol = Does(act)
        async with serve(protocol) as service:
            speaker = await told(service)
            await speaker.tell()
            await service.pass_time(31)
            assert speaker.client.shaken or type(protocol.reason) is WriteTimeout


def and_closes(self: Does) -> None:
    in_a_plain_callback(self)
    self.transport.write(b"good bye")
    self.transport.close()


class TestACloseRightAfterTheCall:
    async def test_sends_what_waits_after_the_handshake(self, serve: Serving) -> None:
        async with serve(Does(and_closes)) as service:
            speaker = await told(service)
            await speaker.shake()
            assert await speaker.receive_all() == b"good bye"
            assert speaker.client.ended
            assert not speaker.was_reset

    @pytest.mark.parametrize("size", [0, 1, 100])
    async def test_does_not_wait_for_a_handshake_that_never_comes(
        self, serve: Serving, size: int, autojump_clock: MockClock
    ) -> None:
        protocol = Does(and_closes)
        async with serve(protocol, handshake_timeout=None, close_timeout=15) as service:
            speaker = await told(service)
            await speaker.peer.send(speaker.client.output()[:size])
            await service.pass_time(17)
            assert protocol.reasons
            assert await speaker.peer.received_so_far() == b""

    async def test_in_an_async_callback_that_goes_on(self, serve: Serving) -> None:
        async def act(self: Does) -> None:
            self.transport.write(GO)
            self.transport.start_tls(self.context)
            self.transport.write(b"good bye")
            self.transport.close()
            await trio.lowlevel.checkpoint()

        async with serve(Does(act)) as service:
            speaker = await told(service)
            await speaker.shake()
            assert await speaker.receive_all() == b"good bye"
            assert speaker.client.ended


class TestAnotherProtocol:
    @pytest.mark.parametrize("act", ["plain", "async"])
    async def test_takes_over_when_the_handshake_is_done(self, serve: Serving, act: str) -> None:
        async def greet(self: Recorder) -> None:
            assert self.transport.tls is not None
            await trio.lowlevel.checkpoint()
            self.transport.write(b"welcome")

        new = Recorder(connection_made=greet, data_received=lambda self: self.transport.write(b"!"))

        async def switch_async(self: Does) -> None:
            await trio.lowlevel.checkpoint()
            switch(self)
            await trio.lowlevel.checkpoint()

        def switch(self: Does) -> None:
            self.transport.write(GO)
            self.transport.switch_protocol(new)
            self.transport.start_tls(self.context)

        old = Does(switch if act == "plain" else switch_async)
        async with serve(old) as service:
            speaker = await told(service)
            await service.settle()
            assert new.heard == []
            await speaker.shake()
            assert await speaker.receive_exactly(7) == b"welcome"
            await speaker.say(b"data")
            assert await speaker.receive_exactly(1) == b"!"
            await speaker.say_farewell()
            await speaker.peer.send_eof()
            await service.settle()
            assert new.lost
        assert old.reasons == []
        new.check()

    async def test_hears_nothing_if_the_handshake_fails(
        self, serve: Serving, autojump_clock: MockClock
    ) -> None:
        new = Recorder(connection_made=never)

        def switch(self: Does) -> None:
            in_a_plain_callback(self)
            self.transport.switch_protocol(new)

        old = Does(switch)
        async with serve(old) as service:
            speaker = await told(service)
            await speaker.peer.send(b"GET / HTTP/1.1\r\n\r\n")
            await service.pass_time(3)
            assert isinstance(old.reason, HandshakeFailed)
        assert new.heard == []


class TestADrain:
    @pytest.fixture(params=["listener", "poll"])
    def serve(self, request: pytest.FixtureRequest) -> Serving:
        return partial(serving, request.param)

    async def test_lets_a_handshake_that_has_begun_finish(
        self, serve: Serving, autojump_clock: MockClock
    ) -> None:
        protocol = Upgrading()
        async with serve(protocol) as service:
            speaker = await told(service)
            hello = speaker.client.output()
            await speaker.peer.send(hello[:50])
            await service.settle()
            await service.start_drain(grace=10, force=5)
            await speaker.peer.send(hello[50:])
            await speaker.shake()
            assert await speaker.receive_all() == b""
            assert speaker.client.ended
            assert not speaker.was_reset
            await speaker.say_farewell()
            await speaker.peer.send_eof()
            await service.settle()
            assert protocol.heard[-2:] == ["quiesce", "connection_lost"]
            assert type(protocol.reason) is ServerDraining

    @pytest.mark.parametrize("size", [0, 50])
    async def test_is_not_held_by_one_that_never_ends(
        self, serve: Serving, size: int, autojump_clock: MockClock
    ) -> None:
        protocol = Upgrading()
        async with serve(protocol, handshake_timeout=None) as service:
            assert isinstance(service, LoopService)
            speaker = await told(service)
            await speaker.peer.send(speaker.client.output()[:size])
            await service.settle()
            begun = trio.current_time()
            await service.start_drain(grace=10, force=5)
            await service.ended.wait()
            assert trio.current_time() - begun < 16
        assert len(protocol.reasons) == 1


class TestACancellation:
    @pytest.mark.parametrize("act", [in_a_plain_callback, in_an_async_callback])
    async def test_after_any_number_of_steps_leaves_nothing_behind(
        self, serve: Serving, act: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = open_descriptors()
        upgraded = 0
        for steps in range(30):
            protocol = Does(act)
            factory = Factory(lambda protocol=protocol: protocol, max_connections=1)
            async with serve(factory) as service:
                assert isinstance(service, LoopService)
                peer = await service.connect()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(try_to_upgrade, peer)
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    service.cancel()
                    await service.ended.wait()
                    nursery.cancel_scope.cancel()
                assert task_count(service) == 0
            assert service.failures == []
            assert protocol.heard.count("connection_lost") == 1
            upgraded += protocol.transport.tls is not None
        assert 0 < upgraded < 30
        assert open_descriptors() == before
        assert nothing_logged(caplog)


async def try_to_upgrade(peer: Any) -> None:
    try:
        await peer.send(COMMAND + b"\r\n")
        speaker = Speaker(peer)
        await peer.receive_exactly(len(GO))
        await speaker.tell()
        while not speaker.client.shaken and await speaker.hear():
            await speaker.tell()
        await speaker.say(b"MAIL\r\n")
        await speaker.receive_all()
    except (OSError, trio.BrokenResourceError, PeerWasReset):
        pass


class Asks(Protocol):
    """A client that asks for TLS."""

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self.context, self.name = context, name
        self.received = b""
        self.secured = trio.Event()
        self.answered = trio.Event()
        self.sides: list[Any] = []

    def connection_made(self) -> None:
        self.transport.write(COMMAND + b"\r\n")

    async def data_received(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.received += data
        if self.received == GO:
            self.transport.start_tls(self.context, server_hostname=self.name)
            self.transport.write(b"MAIL\r\n")
        elif self.received == GO + b"OK MAIL\r\n":
            self.answered.set()


@BOTH
class TestOurSideAsAClient:
    """By ``connect``: there *server_side* need not be given."""

    async def test_upgrades(self, version: str) -> None:
        server_protocol = Upgrading()
        async with trioproto.open_server(
            Factory(lambda: server_protocol), "tcp:0:interface=127.0.0.1"
        ) as server:
            (address,) = server.addresses
            assert isinstance(address, TCPAddress)
            asks = Asks(for_client(version), NAME)
            async with trioproto.connect(f"tcp:127.0.0.1:{address.port}", asks):
                with trio.fail_after(5):
                    await asks.answered.wait()
                tls = asks.transport.tls
                assert tls is not None
                assert (tls.version, tls.server_name) == (version, NAME)
            assert type(asks.transport.wait_closed) is not None
        assert server_protocol.lines == [COMMAND, b"MAIL"]
        assert type(server_protocol.reason) is ConnectionDone

    async def test_refuses_a_server_that_is_not_the_one(
        self, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        server_protocol = Upgrading()
        async with trioproto.open_server(
            Factory(lambda: server_protocol), "tcp:0:interface=127.0.0.1"
        ) as server:
            (address,) = server.addresses
            assert isinstance(address, TCPAddress)
            asks = Asks(for_client(version), "elsewhere.example")
            async with trioproto.connect(f"tcp:127.0.0.1:{address.port}", asks):
                with trio.fail_after(5):
                    reason = await asks.transport.wait_closed()
            assert isinstance(reason, HandshakeFailed)
            assert "elsewhere.example" in str(reason)
            assert asks.received == GO
        assert server_protocol.lines == [COMMAND]
        assert isinstance(server_protocol.reason, HandshakeFailed)
