"""STARTTLS over real drivers: async callbacks, files, deadlines, drains, cancellation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.behaviour.drivers import (
    PLAIN,
    Serving,
    serving,
)
from tests.tls.client_side import (
    VERSIONS,
    Client,
    default_server,
    one_warning,
    usual_client,
)
from tests.tls.over_wire import Speaker, file_content, speaking
from tests.tls.upgrading import (
    COMMAND,
    GO,
    Does,
    Upgrading,
    in_a_plain_callback,
    in_an_async_callback,
    told,
)
from trioproto import Factory
from trioproto.errors import (
    ConnectionDone,
    ConnectionLost,
    EarlyPlaintext,
    HandshakeFailed,
    HandshakeTimeout,
)
from trioproto.testing.conformance.recorder import Recorder

BOTH = pytest.mark.parametrize("version", VERSIONS)


@pytest.fixture(params=PLAIN)
def serve(request: pytest.FixtureRequest) -> Serving:
    return partial(serving, request.param)


async def with_writes_and_waits(self: Does) -> None:
    self.transport.write(GO[:3])
    await trio.lowlevel.checkpoint()
    self.transport.write(GO[3:])
    self.transport.start_tls(self.context)
    self.transport.write(b"secret ")
    for _ in range(5):
        await trio.lowlevel.checkpoint()
        self.transport.write(b"later ")


async def in_a_task(self: Does) -> None:
    async def soon() -> None:
        await trio.lowlevel.checkpoint()
        self.transport.write(GO)
        self.transport.start_tls(self.context)
        await trio.lowlevel.checkpoint()
        self.transport.write(b"in a task ")

    self.transport.start_soon(soon)
    await trio.lowlevel.checkpoint()


@BOTH
class TestAnUpgrade:
    @pytest.mark.parametrize(
        ("act", "first"),
        [
            (in_a_plain_callback, b""),
            (in_an_async_callback, b""),
            (with_writes_and_waits, b"secret " + b"later " * 5),
            (in_a_task, b"in a task "),
        ],
    )
    async def test_is_answered_in_plain_and_all_else_is_encrypted(
        self, serve: Serving, version: str, act: Any, first: bytes
    ) -> None:
        protocol = Does(act)
        async with serve(protocol) as service:
            speaker = await told(service, Client(usual_client(version)))
            await speaker.shake()
            assert await speaker.receive_exactly(len(first)) == first
            await speaker.say(b"MAIL\r\nRCPT\r\n")
            assert await speaker.receive_exactly(18) == b"OK MAIL\r\nOK RCPT\r\n"
            assert protocol.transport.tls is not None
            assert protocol.transport.tls.version == version
            await speaker.say_farewell()
            await speaker.peer.send_eof()
            await service.settle()
            assert type(protocol.reason) is ConnectionDone
        assert protocol.heard.count("connection_made") == 1

    async def test_sends_first_in_plain_what_waited(self, serve: Serving, version: str) -> None:
        def act(self: Does) -> None:
            self.transport.write(file_content())
            self.transport.write(GO)
            self.transport.start_tls(self.context)
            self.transport.write(file_content())

        protocol = Does(act)
        async with serve(protocol, small_buffers=True) as service:
            speaker = Speaker(await service.connect(), Client(usual_client(version)))
            await speaker.peer.send(COMMAND + b"\r\n")
            wanted = file_content() + GO
            assert await speaker.peer.receive_exactly(len(wanted)) == wanted
            await speaker.shake()
            assert await speaker.receive_exactly(len(file_content())) == file_content()
            await speaker.say(b"MAIL\r\n")
            assert await speaker.receive_exactly(9) == b"OK MAIL\r\n"

    async def test_may_come_byte_by_byte(self, serve: Serving, version: str) -> None:
        protocol = Does(in_an_async_callback)
        async with serve(protocol) as service:
            speaker = Speaker(await service.connect(), Client(usual_client(version)))
            for byte in COMMAND + b"\r\n":
                await speaker.peer.send(bytes([byte]))
                await service.settle()
            assert await speaker.peer.receive_exactly(len(GO)) == GO
            while not speaker.client.shaken:
                for byte in speaker.client.output():
                    await speaker.peer.send(bytes([byte]))
                    await trio.lowlevel.checkpoint()
                await speaker.hear()
            await speaker.tell()
            await speaker.say(b"QUIT\r\n")
            assert await speaker.receive_exactly(9) == b"OK QUIT\r\n"

    async def test_may_be_followed_by_much_data_both_ways(
        self, serve: Serving, version: str
    ) -> None:
        def echo(self: Recorder) -> None:
            if self.received == b"go":
                self.transport.start_tls(default_server())
            else:
                self.transport.write(self.chunks[-1])

        async with serve(Recorder(data_received=echo), small_buffers=True) as service:
            speaker = Speaker(await service.connect(), Client(usual_client(version)))
            await speaker.peer.send(b"go")
            await service.settle()
            await speaker.shake()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(speaker.say, file_content())
                assert await speaker.receive_exactly(len(file_content())) == file_content()

    async def test_ends_cleanly(self, serve: Serving, version: str) -> None:
        protocol = Upgrading()
        async with serve(protocol) as service:
            speaker = await told(service, Client(usual_client(version)))
            await speaker.shake()
            protocol.transport.write(b"bye")
            protocol.transport.close()
            assert await speaker.receive_all() == b"bye"
            assert speaker.client.ended
            assert not speaker.was_reset

    async def test_may_be_truncated_from_then_on(self, serve: Serving, version: str) -> None:
        protocol = Upgrading()
        async with serve(protocol) as service:
            speaker = await told(service, Client(usual_client(version)))
            await speaker.shake()
            await speaker.peer.send_eof()
            await service.settle()
            assert type(protocol.reason) is ConnectionLost

    async def test_may_be_in_another(self, version: str) -> None:
        for driver in ("tls", "tls_memory", "tls_listener"):
            protocol = Does(in_an_async_callback)
            async with serving(driver, protocol) as service:
                outer = await speaking(service, Client(usual_client(version)))
                await outer.say(COMMAND + b"\r\n")
                assert await outer.receive_exactly(len(GO)) == GO
                inner = Client()
                while not inner.shaken:
                    await outer.say(inner.output())
                    await outer.hear()
                    inner.receive(bytes(outer.client.received))
                    outer.client.received.clear()
                await outer.say(inner.output() + inner.encrypt(b"MAIL\r\n"))
                while len(inner.received) < 9:
                    assert await outer.hear()
                    inner.receive(bytes(outer.client.received))
                    outer.client.received.clear()
                assert inner.received == b"OK MAIL\r\n"
                protocol.transport.abort()


class TestEarlyPlaintext:
    @pytest.mark.parametrize("early", [b"RCPT\r\n", b"RC", b"\r\n"])
    @pytest.mark.parametrize("act", [in_a_plain_callback, in_an_async_callback])
    async def test_in_the_commands_chunk_ends_the_connection(
        self, serve: Serving, early: bytes, act: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        protocol = Does(act)
        async with serve(protocol) as service:
            peer = await service.connect()
            await peer.send(COMMAND + b"\r\n" + early)
            await service.settle()
            assert protocol.lines == [COMMAND]
            assert type(protocol.reason) is EarlyPlaintext
            assert protocol.reason.found == early
            assert (await peer.receive_all())[1] == "reset"
        assert repr(early) in one_warning(caplog)

    @pytest.mark.parametrize("early", [b"RCPT\r\n", b"RC", b"\x16\x03\x01"])
    @pytest.mark.parametrize("waits", ["before the call", "after the call"])
    async def test_while_the_callback_runs_is_not_delivered(
        self,
        serve: Serving,
        early: bytes,
        waits: str,
        caplog: pytest.LogCaptureFixture,
        autojump_clock: MockClock,
    ) -> None:
        release = trio.Event()

        async def act(self: Does) -> None:
            if waits == "before the call":
                await release.wait()
            self.transport.start_tls(self.context)
            if waits == "after the call":
                await release.wait()

        protocol = Does(act)
        async with serve(protocol) as service:
            peer = await service.connect()
            await peer.send(COMMAND + b"\r\n")
            await service.settle()
            await peer.send(early)
            await service.settle()
            assert protocol.lines == [COMMAND]
            release.set()
            await service.pass_time(11)
            assert protocol.lines == [COMMAND]
            assert isinstance(protocol.reason, HandshakeFailed | HandshakeTimeout)
        assert one_warning(caplog)

    async def test_in_a_later_chunk_is_not_delivered(
        self, serve: Serving, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
    ) -> None:
        protocol = Upgrading()
        async with serve(protocol) as service:
            speaker = await told(service)
            await speaker.peer.send(b"RCPT TO:<evil>\r\n")
            await service.settle()
            await speaker.peer.send(speaker.client.output())
            await service.pass_time(3)
            assert protocol.lines == [COMMAND]
            assert isinstance(protocol.reason, HandshakeFailed)
        assert one_warning(caplog)

    async def test_of_more_than_is_read_at_once_is_not_delivered(self, serve: Serving) -> None:
        protocol = Upgrading()
        async with serve(protocol, read_size=16) as service:
            peer = await service.connect()
            await peer.send(COMMAND + b"\r\nRCPT\r\n" + b"RCPT TO:<evil>\r\n" * 10)
            with trio.fail_after(5):
                await protocol.transport.wait_closed()
            assert protocol.lines == [COMMAND]
            assert isinstance(protocol.reason, HandshakeFailed)

    async def test_does_not_fill_the_log_whatever_it_is(
        self, serve: Serving, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with serve(Factory(Upgrading)) as service:
            for number in range(50):
                peer = await service.connect()
                await peer.send(COMMAND + b"\r\nRCPT %d\r\n" % number)
                await peer.receive_all()
        lines = [record for record in caplog.records if record.name == "trioproto"]
        assert 1 <= len(lines) <= 12


class TestLinesInOneChunk:
    async def test_before_the_command_are_answered_in_plain(self, serve: Serving) -> None:
        class Slow(Upgrading):
            async def line_received(self, line: bytes) -> None:
                await trio.lowlevel.checkpoint()
                super().line_received(line)

        async with serve(Slow()) as service:
            speaker = Speaker(await service.connect())
            await speaker.peer.send(b"EHLO\r\nNOOP\r\n" + COMMAND + b"\r\n")
            answer = b"OK EHLO\r\nOK NOOP\r\n" + GO
            assert await speaker.peer.receive_exactly(len(answer)) == answer
            await speaker.shake()
            await speaker.say(b"A\r\nB\r\n")
            assert await speaker.receive_exactly(12) == b"OK A\r\nOK B\r\n"


class TestFiles:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "content"
        path.write_bytes(file_content())
        return path

    async def test_go_in_plain_before_and_encrypted_after(self, serve: Serving, file: Path) -> None:
        async def act(self: Does) -> None:
            await self.transport.send_file(file)
            self.transport.write(GO)
            self.transport.start_tls(self.context)

        class Sends(Does):
            async def line_received(self, line: bytes) -> None:
                if line == COMMAND:
                    await act(self)
                else:
                    self.transport.write(b"<")
                    await self.transport.send_file(file)
                    self.transport.write(b">")

        async with serve(Sends(act), small_buffers=True) as service:
            speaker = Speaker(await service.connect())
            await speaker.peer.send(COMMAND + b"\r\n")
            wanted = file_content() + GO
            assert await speaker.peer.receive_exactly(len(wanted)) == wanted
            await speaker.shake()
            await speaker.say(b"RETR\r\n")
            wanted = b"<" + file_content() + b">"
            assert await speaker.receive_exactly(len(wanted)) == wanted

    async def test_on_their_way_forbid_it(self, serve: Serving, file: Path) -> None:
        raised: list[BaseException] = []

        async def act(self: Does) -> None:
            self.transport.start_soon(self.transport.send_file, file)
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            try:
                self.transport.start_tls(self.context)
            except RuntimeError as exc:
                raised.append(exc)

        async with serve(Does(act), small_buffers=True) as service:
            peer = await service.connect()
            await peer.send(COMMAND + b"\r\n")
            assert await peer.receive_exactly(len(file_content())) == file_content()
            await service.settle()
            assert len(raised) == 1
            await peer.send(b"MAIL\r\n")
            assert await peer.receive_exactly(9) == b"OK MAIL\r\n"

    async def test_may_be_sent_by_a_task_that_begins_in_the_handshake(
        self, serve: Serving, file: Path
    ) -> None:
        def act(self: Does) -> None:
            self.transport.write(GO)
            self.transport.start_tls(self.context)
            self.transport.write(b"<")
            self.transport.start_soon(self.transport.send_file, file)

        async with serve(Does(act), small_buffers=True) as service:
            speaker = await told(service)
            await service.settle()
            assert await speaker.peer.received_so_far() == b""
            await speaker.shake()
            wanted = b"<" + file_content()
            assert await speaker.receive_exactly(len(wanted)) == wanted
