"""TLS peers that mean no good, or are just broken, over real drivers in virtual time."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import Serving, serving
from tests.tls.client_side import (
    VERSIONS,
    Client,
    nothing_logged,
    one_warning,
    usual_client,
)
from tests.tls.forger import Forger13, client_that_logs
from tests.tls.over_wire import (
    HELLO,
    OVER_TLS,
    Echoes,
    Keeps,
    Speaker,
    raw,
    speaking,
)
from trioproto.errors import (
    ConnectionDone,
    ConnectionLost,
)
from trioproto.testing.conformance.recorder import Recorder, never


@pytest.fixture(params=OVER_TLS)
def serve(request: pytest.FixtureRequest) -> Serving:
    return partial(serving, request.param)


class TestAClientThatStops:
    @pytest.mark.parametrize("size", [1, 4, 5, 6, 100, len(HELLO) - 1])
    async def test_in_its_hello_gives_its_slot_back_in_time(
        self,
        serve: Serving,
        autojump_clock: MockClock,
        caplog: pytest.LogCaptureFixture,
        size: int,
    ) -> None:
        factory = Keeps(max_connections=1, handshake_timeout=10)
        async with serve(factory) as service:
            peer = await raw(service)
            await peer.send(HELLO[:size])
            await service.pass_time(9.5)
            assert nothing_logged(caplog)
            other = Speaker(await raw(service))
            await service.pass_time(1)
            assert "HandshakeTimeout" in one_warning(caplog)
            with trio.fail_after(5):
                await other.shake()
                await other.say(b"my turn")
                assert await other.receive_exactly(7) == b"my turn"
        assert [each.heard[:1] for each in factory.built] == [[], ["connection_made"]]

    async def test_before_its_hello_gives_its_slot_back_in_time(
        self, serve: Serving, autojump_clock: MockClock
    ) -> None:
        factory = Keeps(max_connections=1, handshake_timeout=10)
        async with serve(factory) as service:
            peer = await raw(service)
            other = Speaker(await raw(service))
            await service.pass_time(10.5)
            with trio.fail_after(5):
                await other.shake()
            assert await peer.receive_all() == (b"", "reset")

    async def test_after_the_servers_flight_gives_its_slot_back_in_time(
        self,
        serve: Serving,
        autojump_clock: MockClock,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        factory = Keeps(max_connections=1)
        async with serve(factory) as service:
            speaker = Speaker(await raw(service))
            await speaker.tell()
            await speaker.hear()
            await service.pass_time(10.1)
            assert "HandshakeTimeout" in one_warning(caplog)
            await speaking(service)
        assert [each.heard[:1] for each in factory.built] == [[], ["connection_made"]]

    async def test_sends_no_more_than_a_byte_a_second_and_has_its_time_only(
        self, serve: Serving, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        factory = Keeps(handshake_timeout=10, idle_timeout=2)
        async with serve(factory) as service:
            peer = await raw(service)
            for at in range(10):
                await peer.send(HELLO[at : at + 1])
                await service.pass_time(1)
            await service.pass_time(0.1)
            assert "HandshakeTimeout" in one_warning(caplog)

    async def test_does_not_stop_others(
        self, serve: Serving, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        factory = Keeps(max_connections=31)
        async with serve(factory) as service:
            for number in range(30):
                peer = await raw(service)
                await peer.send(HELLO[: number * 7])
            good = await speaking(service)
            await good.say(b"hello")
            assert await good.receive_exactly(5) == b"hello"
            assert len(factory.connections) == 1
            await service.pass_time(11)
            speakers = [await speaking(service) for _ in range(30)]
            assert len(factory.connections) == 31
            for speaker in speakers:
                await speaker.say(b"hello")
                assert await speaker.receive_exactly(5) == b"hello"
        lines = [record for record in caplog.records if record.name == "trioproto"]
        assert len(lines) <= 12
        assert all(record.levelno == logging.WARNING for record in lines)

    @pytest.mark.parametrize("flights", [0, 1])
    @pytest.mark.parametrize("how", ["send_eof", "reset"])
    async def test_and_hangs_up_gives_its_slot_back_at_once(
        self, serve: Serving, how: str, flights: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        factory = Keeps(max_connections=1)
        async with serve(factory) as service:
            speaker = Speaker(await raw(service))
            if flights:
                await speaker.tell()
                await speaker.hear()
            else:
                await speaker.peer.send(HELLO[:9])
            await service.settle()
            await getattr(speaker.peer, how)()
            await service.settle()
            with trio.fail_after(2):
                await speaking(service)
        assert len([record for record in caplog.records if record.levelno > logging.WARNING]) == 0
        if how == "send_eof":
            one_warning(caplog)

    @pytest.mark.parametrize("how", ["send_eof", "aclose", "reset"])
    async def test_without_a_byte_is_a_health_check(
        self, serve: Serving, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        factory = Keeps(max_connections=1)
        async with serve(factory) as service:
            for _ in range(3):
                peer = await raw(service)
                await getattr(peer, how)()
                await service.settle()
            await speaking(service)
        assert nothing_logged(caplog)


class TestWhatIsNoTLS:
    @pytest.mark.parametrize(
        "said",
        [
            b"GET / HTTP/1.1\r\nHost: server.example\r\n\r\n",
            b"\x16\x03\x01\xff\xff" + bytes(100),
            b"\xff" * 5000,
            bytes(100_000),
        ],
        ids=["http", "too large", "garbage", "zeros"],
    )
    async def test_is_refused_with_one_line(
        self, serve: Serving, said: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        factory = Keeps(max_connections=1)
        async with serve(factory) as service:
            peer = await raw(service)
            await peer.send(said)
            answer, _ = await peer.receive_all()
            assert answer[:1] in (b"", b"\x15")  # OpenSSL has no alert for some
            await peer.aclose()
            await service.settle()
            with trio.fail_after(5):
                await speaking(service)
        assert one_warning(caplog)
        assert factory.built[0].heard == []

    async def test_ends_cleanly_so_that_the_alert_arrives(
        self, serve: Serving, autojump_clock: MockClock
    ) -> None:
        """Also if the client goes on sending."""
        async with serve(Keeps(linger=2)) as service:
            peer = await raw(service)
            await peer.send(b"\x16\x03\x01\xff\xff" + bytes(100))
            await service.settle()
            await peer.send(bytes(1000))
            await service.settle()
            await peer.send(bytes(1000))
            answer, ending = await peer.receive_all()
            assert answer[:1] == b"\x15"
            assert ending == "eof"

    async def test_does_not_fill_the_log(
        self, serve: Serving, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And what is counted only is no error of ours either."""
        async with serve(Keeps()) as service:
            for _ in range(50):
                peer = await raw(service)
                await peer.send(b"GET / HTTP/1.1\r\n\r\n")
                await peer.receive_all()
                await peer.aclose()
                await service.settle()
        lines = [record for record in caplog.records if record.name == "trioproto"]
        assert 1 <= len(lines) <= 12
        assert all(record.levelno == logging.WARNING for record in lines)
        assert all(record.exc_info is None for record in lines)
        assert not any(":0:" in record.getMessage() for record in lines)

    async def test_of_every_kind_at_once_leaves_others_alone(self, serve: Serving) -> None:
        async with serve(Keeps()) as service:
            good = await speaking(service)
            for said in (b"GET /\r\n", b"\0" * 99, b"\x16\x03\x01\x00\x05hello", HELLO * 2):
                await (await raw(service)).send(said)
                await good.say(b"still there?")
                assert await good.receive_exactly(12) == b"still there?"


@pytest.mark.parametrize("version", VERSIONS)
class TestABrokenRecord:
    async def test_ends_its_connection_and_no_other(
        self, serve: Serving, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        factory = Keeps()
        async with serve(factory) as service:
            bad = await speaking(service, Client(usual_client(version)))
            (bad_protocol,) = factory.built
            good = await speaking(service)
            await bad.say(b"fine")
            assert await bad.receive_exactly(4) == b"fine"
            wire = bytearray(bad.client.encrypt(b"broken"))
            wire[-3] ^= 4
            await bad.peer.send(bytes(wire))
            await service.settle()
            assert bad_protocol.received == b"fine"
            assert type(bad_protocol.reason) is ConnectionLost
            assert "eof_received" not in bad_protocol.heard
            assert not bad.client.ended
            await good.say(b"hello")
            assert await good.receive_exactly(5) == b"hello"
            assert len(factory.connections) == 1
        assert nothing_logged(caplog)

    async def test_while_output_waits_ends_it_at_once(self, serve: Serving, version: str) -> None:
        protocol = Recorder()
        async with serve(
            protocol, small_buffers=True, high_water=8 << 20, max_buffered=8 << 20
        ) as service:
            bad = await speaking(service, Client(usual_client(version)))
            protocol.transport.write(bytes(4 << 20))
            await service.settle()
            await bad.peer.send(b"GET / HTTP/1.1\r\n\r\n")
            await service.settle()
            assert type(protocol.reason) is ConnectionLost
            await bad.receive_all()
            assert not bad.client.ended

    @pytest.mark.parametrize("size", [0, 1, 5, 20])
    async def test_may_be_cut_by_the_end_of_the_stream(
        self, serve: Serving, version: str, size: int
    ) -> None:
        protocol = Recorder(eof_received=never)
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            await speaker.say(b"whole")
            await speaker.peer.send(speaker.client.encrypt(b"not whole")[:size])
            await speaker.peer.send_eof()
            await service.settle()
            assert protocol.received == b"whole"
            assert type(protocol.reason) is ConnectionLost

    @pytest.mark.parametrize("size", [0, 5])
    async def test_may_be_cut_by_a_reset(self, serve: Serving, version: str, size: int) -> None:
        protocol = Recorder(eof_received=never)
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            await speaker.peer.send(speaker.client.encrypt(b"not whole")[:size])
            await service.settle()
            await speaker.peer.reset()
            await service.settle()
            assert protocol.received == b""
            assert type(protocol.reason) is ConnectionLost
            assert protocol.reason.__cause__ is not None

    async def test_may_follow_a_farewell(self, serve: Serving, version: str) -> None:
        protocol = Recorder(data_received=never)
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            await speaker.peer.send(speaker.client.farewell() + b"GET / HTTP/1.1\r\n\r\n")
            await speaker.peer.send_eof()
            await service.settle()
            await speaker.receive_all()
            assert type(protocol.reason) is ConnectionDone


class TestChangesOfKeys:
    """By a client that asks for an answer each time."""

    @pytest.fixture
    def client(self, tmp_path: Path) -> Client:
        return client_that_logs(tmp_path, "TLSv1.3")

    async def test_are_followed(self, serve: Serving, client: Client, tmp_path: Path) -> None:
        async with serve(Echoes()) as service:
            speaker = await speaking(service, client)
            forger = Forger13(tmp_path)
            for _ in range(50):
                wire = forger.key_update(asks=True) + forger.record(b"a") + forger.record(b"b")
                await speaker.peer.send(wire)
                assert await speaker.receive_exactly(2) == b"ab"

    async def test_after_our_farewell_are_no_reason_to_say_more(
        self, serve: Serving, client: Client, tmp_path: Path
    ) -> None:
        protocol = Recorder()
        async with serve(protocol) as service:
            speaker = await speaking(service, client)
            forger = Forger13(tmp_path)
            protocol.transport.write_eof()
            await speaker.receive_all()
            assert client.ended
            for _ in range(5):
                await speaker.peer.send(forger.key_update(asks=True) + forger.record(b"x"))
                await service.settle()
            assert protocol.received == b"xxxxx"
            assert not protocol.lost

    async def test_after_our_close_are_no_reason_to_reset(
        self, serve: Serving, client: Client, tmp_path: Path, autojump_clock: MockClock
    ) -> None:
        protocol = Recorder()
        async with serve(protocol) as service:
            speaker = await speaking(service, client)
            forger = Forger13(tmp_path)
            protocol.transport.write(b"good bye")
            protocol.transport.close()
            for _ in range(3):
                await speaker.peer.send(forger.key_update(asks=True))
                await service.settle()
            assert await speaker.receive_all() == b"good bye"
            assert client.ended
            assert not speaker.was_reset
            await service.pass_time(3)
            assert type(protocol.reason) is ConnectionDone

    @pytest.mark.parametrize("auto_pause", [True, False])
    async def test_whose_answers_nobody_reads_do_not_fill_the_memory(
        self,
        serve: Serving,
        client: Client,
        tmp_path: Path,
        auto_pause: bool,
        autojump_clock: MockClock,
    ) -> None:
        protocol = Recorder()
        protocol.auto_pause = auto_pause
        async with serve(protocol, small_buffers=True, max_buffered=200_000) as service:
            speaker = await speaking(service, client)
            forger = Forger13(tmp_path)
            waited = 0
            with trio.move_on_after(20):
                for _ in range(200):  # each of them has an answer of 27 bytes
                    wire = b"".join(forger.key_update(asks=True) for _ in range(100))
                    try:
                        await speaker.peer.send(wire)
                    except (OSError, trio.BrokenResourceError):
                        break
                    await trio.lowlevel.checkpoint()
                    waited = max(waited, protocol.transport.buffered)
            assert waited <= 400_000
            await service.pass_time(40)
            assert protocol.lost
