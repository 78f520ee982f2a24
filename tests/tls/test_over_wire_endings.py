"""How conversations over TLS end, over real drivers."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import (
    MORE_THAN_FITS,
    Serving,
    serving,
)
from tests.tls.client_side import (
    VERSIONS,
    Client,
    nothing_logged,
    usual_client,
)
from tests.tls.over_wire import (
    OVER_TLS,
    file_content,
    speaking,
)
from trioproto.errors import (
    CloseTimeout,
    ConnectionDone,
    ConnectionLost,
    IdleTimeout,
    NotSupported,
    WriteTimeout,
)
from trioproto.testing.conformance.recorder import Recorder, keep_open, never


@pytest.fixture(params=OVER_TLS)
def serve(request: pytest.FixtureRequest) -> Serving:
    return partial(serving, request.param)


class TestClose:
    @pytest.mark.parametrize("version", VERSIONS)
    async def test_sends_all_and_a_farewell(self, serve: Serving, version: str) -> None:
        def reply(self: Recorder) -> None:
            self.transport.write(file_content())
            self.transport.close()

        async with serve(Recorder(data_received=reply), small_buffers=True) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            await speaker.say(b"go")
            assert await speaker.receive_all() == file_content()
            assert speaker.client.ended
            assert not speaker.was_reset

    async def test_survives_what_the_client_still_sends(self, serve: Serving) -> None:
        def reply(self: Recorder) -> None:
            self.transport.write(bytes(MORE_THAN_FITS))
            self.transport.close()

        protocol = Recorder(data_received=reply)
        async with serve(protocol, small_buffers=True) as service:
            speaker = await speaking(service)

            async def talk() -> None:
                for _ in range(20):
                    await speaker.say(b"go" * 1000)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(talk)
                assert await speaker.receive_all() == bytes(MORE_THAN_FITS)
            assert speaker.client.ended
            assert not speaker.was_reset

    async def test_does_not_wait_for_the_clients_farewell(
        self, serve: Serving, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Recorder()
        async with serve(protocol) as service:
            await speaking(service)
            protocol.transport.close()
            await service.pass_time(2.1)
            assert type(protocol.reason) is ConnectionDone
        assert nothing_logged(caplog)

    async def test_does_not_wait_for_a_client_that_does_not_read(
        self, serve: Serving, autojump_clock: MockClock
    ) -> None:
        protocol = Recorder()
        async with serve(
            protocol, small_buffers=True, close_timeout=5, write_timeout=None
        ) as service:
            await speaking(service)
            protocol.transport.write(bytes(MORE_THAN_FITS))
            await service.settle()
            protocol.transport.close()
            await service.pass_time(5 + MORE_THAN_FITS / 65536 + 1)
            assert type(protocol.reason) is CloseTimeout

    async def test_after_the_clients_farewell_ends_at_once(self, serve: Serving) -> None:
        protocol = Recorder()
        async with serve(protocol) as service:
            speaker = await speaking(service)
            await speaker.say_farewell()
            await speaker.peer.send_eof()
            await speaker.receive_all()
            assert speaker.client.ended
            await service.settle()
            assert type(protocol.reason) is ConnectionDone

    @pytest.mark.parametrize("driver", ["tls_memory", "tls_listener"])
    async def test_over_a_stream_that_cannot_end_one_side_says_farewell(
        self, driver: str, autojump_clock: MockClock
    ) -> None:
        protocol = Recorder(data_received=lambda self: self.transport.close())
        async with serving(driver, protocol, half_close=False) as service:
            speaker = await speaking(service)
            assert not protocol.transport.can_write_eof
            with pytest.raises(NotSupported):
                protocol.transport.write_eof()
            protocol.transport.write(b"bye")
            await speaker.say(b"go")
            assert await speaker.receive_all() == b"bye"
            assert speaker.client.ended


class TestTheEndOfOneSide:
    async def test_of_the_clients_lets_us_write_on(self, serve: Serving) -> None:
        protocol = Recorder(eof_received=keep_open)
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client("TLSv1.3")))
            await speaker.say_farewell()
            await speaker.peer.send_eof()
            await service.settle()
            assert protocol.heard == ["connection_made", "eof_received"]
            protocol.transport.write(bytes(200_000))
            await speaker.receive_exactly(200_000)
            protocol.transport.close()
            assert await speaker.receive_all() == b""
            assert speaker.client.ended

    async def test_of_ours_lets_us_read_on(self, serve: Serving) -> None:
        protocol = Recorder()
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client("TLSv1.3")))
            protocol.transport.write(b"the end")
            protocol.transport.write_eof()
            assert await speaker.receive_all() == b"the end"
            assert speaker.client.ended
            for _ in range(3):
                await speaker.peer.send(speaker.client.encrypt(bytes(100_000)))
            await service.settle()
            assert len(protocol.received) == 300_000
            await speaker.say_farewell()
            await speaker.peer.send_eof()
            await service.settle()
            assert type(protocol.reason) is ConnectionDone

    async def test_of_the_clients_ends_it_under_tls_12(self, serve: Serving) -> None:
        def last_words(self: Recorder) -> bool:
            self.transport.write(b"good bye")
            return True

        protocol = Recorder(eof_received=last_words)
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client("TLSv1.2")))
            await speaker.say_farewell()
            await speaker.peer.send_eof()
            await speaker.receive_all()
            await service.settle()
            assert type(protocol.reason) is ConnectionDone
            assert not speaker.was_reset


@pytest.mark.parametrize("version", VERSIONS)
class TestTruncation:
    async def test_is_a_loss(
        self, serve: Serving, version: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Recorder(eof_received=never)
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            await speaker.say(b"data")
            await speaker.peer.send_eof()
            await service.settle()
            assert protocol.received == b"data"
            assert type(protocol.reason) is ConnectionLost
        assert nothing_logged(caplog)

    async def test_may_be_taken_as_an_end(self, serve: Serving, version: str) -> None:
        protocol = Recorder(eof_received=lambda self: self.transport.write(b"bye"))
        async with serve(protocol, require_close_notify=False) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            await speaker.say(b"data")
            await speaker.peer.send_eof()
            assert await speaker.receive_all() == b"bye"
            assert speaker.client.ended
            await service.settle()
            assert type(protocol.reason) is ConnectionDone

    async def test_does_not_disturb_what_runs(self, serve: Serving, version: str) -> None:
        """It is an end of input, and comes after what came before it."""
        release = trio.Event()
        finished: list[str] = []

        async def slow(self: Recorder) -> None:
            await release.wait()
            finished.append("finished")

        protocol = Recorder(data_received=slow, eof_received=never)
        async with serve(protocol) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            await speaker.say(b"request")
            await service.settle()
            await speaker.say(b"another")
            await speaker.peer.send_eof()
            await service.settle()
            assert not protocol.lost
            release.set()
            await service.settle()
            assert protocol.received == b"requestanother"
            assert finished == ["finished"] * 2
            assert type(protocol.reason) is ConnectionLost

    async def test_does_not_disturb_the_answer_to_what_came_before(
        self, serve: Serving, version: str
    ) -> None:
        """Many a client sends its request, ends its stream, and waits."""
        release = trio.Event()

        async def reply(self: Recorder) -> None:
            await release.wait()
            self.transport.write(b"reply")

        protocol = Recorder(data_received=reply)
        async with serve(protocol, require_close_notify=False) as service:
            speaker = await speaking(service, Client(usual_client(version)))
            await speaker.say(b"request")
            await speaker.peer.send_eof()
            await service.settle()
            assert not protocol.lost
            release.set()
            assert await speaker.receive_all() == b"reply"


class TestDeadlines:
    async def test_for_silence(self, serve: Serving, autojump_clock: MockClock) -> None:
        protocol = Recorder()
        async with serve(protocol, idle_timeout=60) as service:
            speaker = await speaking(service)
            await service.pass_time(50)
            await speaker.say(b"here")
            await service.pass_time(59)
            assert "timed_out" not in protocol.heard
            assert await speaker.receive_all() == b""
            assert speaker.client.ended
            assert "timed_out" in protocol.heard
            await speaker.peer.send_eof()
            await service.settle()
            assert type(protocol.reason) is IdleTimeout

    async def test_for_a_client_that_does_not_read(
        self, serve: Serving, autojump_clock: MockClock
    ) -> None:
        protocol = Recorder()
        async with serve(protocol, small_buffers=True, write_timeout=30) as service:
            await speaking(service)
            protocol.transport.write(bytes(MORE_THAN_FITS))
            await service.pass_time(29)
            assert not protocol.lost
            await service.pass_time(2)
            assert type(protocol.reason) is WriteTimeout
