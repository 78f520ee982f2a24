"""Long and short conversations over TLS, over real drivers: order, bounds, endings."""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import (
    MORE_THAN_FITS,
    HandleService,
    MemoryPeer,
    Service,
    Serving,
    serving,
)
from tests.tls.client_side import (
    VERSIONS,
    Client,
    default_server,
    fat_leaf,
    for_client,
    for_server,
    nothing_logged,
    usual_client,
)
from tests.tls.over_wire import (
    OVER_TLS,
    Speaker,
    file_content,
    open_descriptors,
    raw,
    speaking,
)
from trioproto import Factory, run_protocol
from trioproto.errors import (
    ConnectionClosed,
    ConnectionDone,
    HandshakeTimeout,
    OutboundOverflow,
)
from trioproto.framing import LineReceiver
from trioproto.testing import MemoryStream, memory_stream_pair
from trioproto.testing.conformance.peer import Peer
from trioproto.testing.conformance.recorder import Recorder, never

MIB = 1 << 20


@pytest.fixture(params=OVER_TLS)
def serve(request: pytest.FixtureRequest) -> Serving:
    return partial(serving, request.param)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(file_content())
    return path


def echo(self: Recorder) -> None:
    self.transport.write(self.chunks[-1])


@pytest.mark.parametrize("version", VERSIONS)
class TestData:
    async def test_goes_both_ways_at_once_whatever_its_size(
        self, serve: Serving, version: str
    ) -> None:
        """More than any buffer holds, and each side reads only while it writes."""
        data = file_content() * 7
        async with serve(Recorder(data_received=echo), small_buffers=True) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(speaker.say, data)
                assert await speaker.receive_exactly(len(data)) == data

    async def test_in_tiny_records_is_one_stream(self, serve: Serving, version: str) -> None:
        protocol = Recorder(data_received=echo)
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            data = bytes(range(256)) * 8
            wire = b"".join(speaker.client.encrypt(data[at : at + 1]) for at in range(len(data)))
            await speaker.peer.send(wire)
            assert await speaker.receive_exactly(len(data)) == data

    async def test_in_one_byte_writes_arrives_in_order(self, serve: Serving, version: str) -> None:
        async def drip(self: Recorder) -> None:
            for number in range(500):
                self.transport.write(bytes([number % 256]))
                if number % 7 == 0:
                    await trio.lowlevel.checkpoint()

        async with serve(Recorder(data_received=drip)) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            await speaker.say(b"go")
            wanted = bytes(number % 256 for number in range(500))
            assert await speaker.receive_exactly(500) == wanted

    async def test_is_cut_anywhere_on_its_way(self, serve: Serving, version: str) -> None:
        protocol = Recorder()
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            wire = b"".join(map(speaker.client.encrypt, (b"one ", b"two ", b"three")))
            for at in range(len(wire)):
                await speaker.peer.send(wire[at : at + 1])
                await service.settle()
            assert protocol.chunks == [b"one ", b"two ", b"three"]


class TestManyAtOnce:
    async def test_do_not_mix(self, serve: Serving) -> None:
        async def talk(service: Service, number: int) -> None:
            speaker = await speaking(service, Client(for_client(VERSIONS[number % 2])))
            data = bytes([number]) * 30_000
            async with trio.open_nursery() as nursery:
                nursery.start_soon(speaker.say, data)
                assert await speaker.receive_exactly(len(data)) == data

        factory = Factory(lambda: Recorder(data_received=echo))
        async with serve(factory) as service, trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(talk, service, number)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_handshake_ends_while_connection_made_waits(
    serve: Serving, version: str, autojump_clock: MockClock
) -> None:
    async def wait(_: Recorder) -> None:
        await trio.sleep(30)

    async with serve(Recorder(connection_made=wait)) as service:
        with trio.fail_after(1):
            await speaking(service, Client(for_client(version)))
        await service.pass_time(31)


class TestAHandshakeThatIsLargerThanTheBuffers:
    @pytest.fixture(params=["tls_memory", "tls_stream"])
    def serve(self, request: pytest.FixtureRequest) -> Serving:
        return partial(serving, request.param)

    @pytest.mark.parametrize("version", VERSIONS)
    async def test_is_done_all_the_same(self, serve: Serving, version: str) -> None:
        async with serve(Recorder(data_received=echo), small_buffers=True) as service:
            assert isinstance(service, HandleService)
            service.tls = for_server(asks=True, shows=fat_leaf())
            client = Client(for_client(version, shows=fat_leaf()))
            speaker = await speaking(service, client)
            await speaker.say(b"hello")
            assert await speaker.receive_exactly(5) == b"hello"

    async def test_does_not_wait_for_ever_for_a_client_that_does_not_read(
        self, serve: Serving, autojump_clock: MockClock
    ) -> None:
        protocol = Recorder(connection_made=never)
        async with serve(protocol, small_buffers=True) as service:
            assert isinstance(service, HandleService)
            service.tls = for_server(shows=fat_leaf())
            speaker = Speaker(await raw(service))
            await speaker.tell()
            await service.pass_time(11)
            assert protocol.transport.closing
            assert type(protocol.transport.reason) is HandshakeTimeout


class TestARefusedConnection:
    async def test_is_ended_without_a_handshake(
        self, serve: Serving, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Picky(Factory[Recorder]):
            max_connections = 1

            def build_protocol(self, peer: object) -> None:
                return None

        async with serve(Picky()) as service:
            for _ in range(3):
                speaker = Speaker(await raw(service))
                with suppress(OSError, trio.BrokenResourceError):
                    await speaker.tell()
                await speaker.receive_all()
                assert not speaker.client.seen
        assert nothing_logged(caplog)


class TestBackpressure:
    async def test_stops_reading_while_much_output_waits(self, serve: Serving) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.write(bytes(MORE_THAN_FITS)))
        async with serve(protocol, small_buffers=True) as service:
            speaker = await speaking(service)
            await speaker.say(b"first")
            await service.settle()
            assert protocol.heard == ["connection_made", "data_received", "pause_writing"]
            await speaker.say(b"second")
            await service.settle()
            assert protocol.received == b"first"
            await speaker.receive_exactly(2 * MORE_THAN_FITS)
            assert protocol.received == b"firstsecond"
            await service.settle()
            assert protocol.heard[3:5] == ["resume_writing", "data_received"]

    async def test_lets_send_wait(self, serve: Serving) -> None:
        most = 0

        async def stream(self: Recorder) -> None:
            nonlocal most
            for number in range(100):
                await self.transport.send(bytes([number]) * 50_000)
                most = max(most, self.transport.buffered)

        async with serve(Recorder(data_received=stream), small_buffers=True) as service:
            speaker = await speaking(service)
            await speaker.say(b"go")
            wanted = b"".join(bytes([number]) * 50_000 for number in range(100))
            assert await speaker.receive_exactly(len(wanted)) == wanted
        assert most < 65_536

    async def test_ends_who_makes_too_much_wait(self, serve: Serving) -> None:
        protocol = Recorder()
        async with serve(protocol, small_buffers=True, max_buffered=300_000) as service:
            speaker = await speaking(service)
            for _ in range(100):
                protocol.transport.write(bytes(100_000))
                await trio.lowlevel.checkpoint()
            await service.settle()
            assert type(protocol.reason) is OutboundOverflow
            assert protocol.transport.buffered == 0
            await speaker.receive_all()
            assert not speaker.client.ended

    async def test_lets_one_write_be_of_any_size(self, serve: Serving) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.write(bytes(20 * MIB)))
        async with serve(protocol, max_buffered=100_000) as service:
            speaker = await speaking(service)
            await speaker.say(b"go")
            assert await speaker.receive_exactly(20 * MIB) == bytes(20 * MIB)

    async def test_of_the_protocol_holds_data_and_end(self, serve: Serving) -> None:
        protocol = Recorder(connection_made=lambda self: self.transport.pause_reading())
        async with serve(protocol) as service:
            speaker = await speaking(service)
            await speaker.say(b"data")
            await speaker.say_farewell()
            await speaker.peer.send_eof()
            await service.settle()
            assert protocol.heard == ["connection_made"]
            protocol.transport.resume_reading()
            await service.settle()
            assert protocol.heard[1:3] == ["data_received", "eof_received"]
            assert protocol.received == b"data"

    async def test_of_the_protocol_bounds_what_accumulates(self, serve: Serving) -> None:
        protocol = Recorder(connection_made=lambda self: self.transport.pause_reading())
        async with serve(protocol, small_buffers=True) as service:
            speaker = await speaking(service)
            wire = speaker.client.encrypt(bytes(20 * MIB))
            sent = 0
            with trio.move_on_after(0.5):
                for at in range(0, len(wire), 65536):
                    await speaker.peer.send(wire[at : at + 65536])
                    sent += 65536
            assert sent < 16 * MIB
            protocol.transport.abort()


class TestSendFile:
    @pytest.mark.parametrize("version", VERSIONS)
    async def test_keeps_its_place_among_writes(
        self, serve: Serving, file: Path, version: str
    ) -> None:
        async def reply(self: Recorder) -> None:
            self.transport.write(b"<" * 100_000)
            sent = await self.transport.send_file(file)
            assert sent == len(file_content())
            self.transport.write(b">")
            await self.transport.send_file(file, 5, 10)
            self.transport.close()

        async with serve(Recorder(data_received=reply), small_buffers=True) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            await speaker.say(b"go")
            wanted = b"<" * 100_000 + file_content() + b">" + file_content()[5:15]
            assert await speaker.receive_all() == wanted
            assert speaker.client.ended

    async def test_goes_before_what_is_written_meanwhile(self, serve: Serving, file: Path) -> None:
        async def reply(self: Recorder) -> None:
            await self.transport.send_file(file)

        protocol = Recorder(data_received=reply)
        async with serve(protocol, small_buffers=True) as service:
            speaker = await speaking(service)
            await speaker.say(b"go")
            await service.settle()
            protocol.transport.write(b"after")
            wanted = file_content() + b"after"
            assert await speaker.receive_exactly(len(wanted)) == wanted

    async def test_of_nothing_is_nothing(self, serve: Serving, file: Path) -> None:
        async def reply(self: Recorder) -> None:
            assert await self.transport.send_file(file, 0, 0) == 0
            assert await self.transport.send_file(file, 10_000_000) == 0
            self.transport.write(b"done")

        async with serve(Recorder(data_received=reply)) as service:
            speaker = await speaking(service)
            await speaker.say(b"go")
            assert await speaker.receive_exactly(4) == b"done"

    async def test_is_ended_by_the_loss_of_the_connection(self, serve: Serving, file: Path) -> None:
        raised: list[BaseException] = []

        async def reply(self: Recorder) -> None:
            try:
                await self.transport.send_file(file)
            except BaseException as exc:
                raised.append(exc)
                raise

        before = open_descriptors()
        protocol = Recorder(data_received=reply)
        async with serve(protocol, small_buffers=True) as service:
            speaker = await speaking(service)
            await speaker.say(b"go")
            await service.settle()
            await speaker.peer.reset()
            with trio.fail_after(5):
                await protocol.transport.wait_closed()
            assert isinstance(raised[0], ConnectionClosed | trio.Cancelled)
        assert open_descriptors() == before

    async def test_may_be_cut_off_by_close(self, serve: Serving, file: Path) -> None:
        async def reply(self: Recorder) -> None:
            self.transport.start_soon(self.transport.send_file, file)

        protocol = Recorder(data_received=reply)
        async with serve(protocol, small_buffers=True) as service:
            speaker = await speaking(service)
            await speaker.say(b"go")
            await service.settle()
            protocol.transport.close()
            data = await speaker.receive_all()
            assert file_content().startswith(data)
            await service.settle()
            assert protocol.lost or protocol.transport.closing


class TestAsyncCallbacks:
    async def test_get_lines_in_order_and_one_at_a_time(self, serve: Serving) -> None:
        running = 0
        lines: list[bytes] = []

        class Slow(LineReceiver):
            async def line_received(self, line: bytes) -> None:
                nonlocal running
                assert not running
                running += 1
                await trio.lowlevel.checkpoint()
                lines.append(line)
                self.send_line(line)
                running -= 1

        async with serve(Slow()) as service:
            speaker = await speaking(service)
            sent = [b"%d" % number for number in range(300)]
            data = b"".join(line + b"\r\n" for line in sent)
            await speaker.peer.send(b"".join(map(speaker.client.encrypt, cut(data, 7))))
            assert await speaker.receive_exactly(len(data)) == data
        assert lines == sent

    async def test_finish_when_the_client_has_said_farewell(self, serve: Serving) -> None:
        release = trio.Event()

        async def reply(self: Recorder) -> None:
            await release.wait()
            self.transport.write(b"reply")

        protocol = Recorder(data_received=reply)
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client("TLSv1.3")))
            await speaker.say(b"request")
            await speaker.say_farewell()
            await speaker.peer.send_eof()
            await service.settle()
            assert "eof_received" not in protocol.heard
            release.set()
            assert await speaker.receive_all() == b"reply"
            assert speaker.client.ended


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


class TestSessions:
    @pytest.mark.parametrize("version", VERSIONS)
    async def test_are_taken_up_again(self, serve: Serving, version: str) -> None:
        protocols: list[Recorder] = []

        def build() -> Recorder:
            protocols.append(Recorder(data_received=echo))
            return protocols[-1]

        context, session = for_client(version), None
        async with serve(Factory(build)) as service:
            for _ in range(3):
                speaker = await speaking(service, Client(context, session=session))
                await speaker.say(b"hello")
                await speaker.receive_exactly(5)
                session = speaker.client.session.session
                await speaker.say_farewell()
                await speaker.peer.send_eof()
                await speaker.receive_all()
        resumed = [each.transport.tls.resumed for each in protocols if each.transport.tls]
        assert resumed == [False, True, True]


class TestOneStream:
    """``run_protocol`` and ``factory.handle``, with ``tls=``."""

    @pytest.fixture
    async def ends(self) -> tuple[Peer, MemoryStream]:
        ours, stream = memory_stream_pair(capacity=MIB)
        return MemoryPeer(ours), stream

    async def test_is_served_with_tls(self, ends: tuple[Peer, MemoryStream]) -> None:
        peer, stream = ends
        protocol = Recorder(data_received=echo)
        reasons: list[ConnectionClosed] = []

        async def run() -> None:
            reasons.append(await run_protocol(protocol, stream, tls=default_server()))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            speaker = Speaker(peer)
            await speaker.shake()
            await speaker.say(b"hello")
            assert await speaker.receive_exactly(5) == b"hello"
            await speaker.say_farewell()
            await peer.send_eof()
            await speaker.receive_all()
        assert protocol.transport.tls is not None
        assert type(reasons[0]) is ConnectionDone
        assert stream.closed

    async def test_is_closed_if_the_context_is_for_the_other_side(
        self, ends: tuple[Peer, MemoryStream]
    ) -> None:
        peer, stream = ends
        protocol = Recorder()
        with pytest.raises(ssl.SSLError):
            await Factory(lambda: protocol).handle(stream, tls=for_client())
        assert stream.closed
        assert protocol.heard == []
        assert (await peer.receive_all())[0] == b""
