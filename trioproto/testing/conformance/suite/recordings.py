"""What goes over a connection can be recorded, and that changes nothing else.

The recorder is a layer: so a driver that moves bytes past the layers is seen here too.

The rule: docs/traffic-log.md, What is kept.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import trio

from trioproto.layers import Direction, Recording, TrafficLog
from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import CallbackError, ConnectionDone
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.recorder import Recorder, keep_open
from trioproto.testing.conformance.service import Connecting, Serving

RECEIVED, SENT = Direction.RECEIVED, Direction.SENT


def passed(recording: Recording | None, direction: Direction) -> bytes:
    """All that went one way."""
    assert recording is not None
    return b"".join(each.data for each in recording.pieces if each.direction is direction)


def answer(self: Recorder) -> None:
    self.transport.write(b"re: " + self.chunks[-1])


def fail(self: Recorder) -> None:
    raise ZeroDivisionError


def build(recorder: Recorder, **log: Any) -> Factory[Recorder]:
    return Factory(lambda: recorder, traffic_log=TrafficLog(**log))


async def test_what_the_protocol_reads_and_writes_is_recorded(connect: Connecting) -> None:
    protocol = Recorder(data_received=answer)
    async with connect(build(protocol)) as peer:
        await peer.send(b"one")
        assert await peer.receive_exactly(7) == b"re: one"
        await peer.send(b"two")
        assert await peer.receive_exactly(7) == b"re: two"
        recording = protocol.transport.traffic()
        assert recording is not None
        assert [(each.direction, each.data) for each in recording.pieces] == [
            (RECEIVED, b"one"),
            (SENT, b"re: one"),
            (RECEIVED, b"two"),
            (SENT, b"re: two"),
        ]
        assert recording.accepted
        assert (recording.peer, recording.local) == (
            protocol.transport.peer,
            protocol.transport.local,
        )


async def test_of_a_large_exchange_the_end_is_recorded(connect: Connecting) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.write(self.chunks[-1]))
    sent = bytes(each % 251 for each in range(300_000))
    async with connect(build(protocol, size=10_000)) as peer:
        for start in range(0, len(sent), 10_000):
            part = sent[start : start + 10_000]
            await peer.send(part)
            assert await peer.receive_exactly(len(part)) == part
        recording = protocol.transport.traffic()
        assert recording is not None
        kept = {way: passed(recording, way) for way in Direction}
        assert 9_000 < len(kept[RECEIVED]) + len(kept[SENT]) < 10_000
        for data in kept.values():
            assert sent.endswith(data)
        assert recording.received_before == len(sent) - len(kept[RECEIVED])
        assert recording.sent_before == len(sent) - len(kept[SENT])


async def test_the_next_protocol_is_recorded_too(connect: Connecting) -> None:
    second = Recorder(data_received=answer)
    first = Recorder(data_received=lambda self: self.transport.switch_protocol(second))
    async with connect(build(first)) as peer:
        await peer.say(b"switch")
        await peer.send(b"hello")
        assert await peer.receive_exactly(9) == b"re: hello"
        assert passed(second.transport.traffic(), RECEIVED) == b"switchhello"
        assert passed(second.transport.traffic(), SENT) == b"re: hello"


@needs(Feature.ASYNC_CODE)
async def test_a_file_is_recorded_as_it_is_sent(connect: Connecting, tmp_path: Path) -> None:
    content = bytes(each % 251 for each in range(200_000))
    (tmp_path / "file").write_bytes(content)

    async def send(self: Recorder) -> None:
        self.transport.write(b"<")
        assert await self.transport.send_file(tmp_path / "file") == len(content)
        self.transport.write(b">")

    protocol = Recorder(data_received=send)
    async with connect(build(protocol, size=1 << 20)) as peer:
        await peer.send(b"go")
        expected = b"<" + content + b">"
        assert await peer.receive_exactly(len(expected)) == expected
        assert passed(protocol.transport.traffic(), SENT) == expected


# Endings


async def test_the_recording_of_an_error_is_written_before_connection_lost(
    serving: Serving, logged_errors: list[logging.LogRecord]
) -> None:
    events: list[Any] = []
    factory = Factory(
        lambda: Recorder(data_received=fail, connection_lost=lambda self: events.append("lost")),
        traffic_log=TrafficLog(write=events.append),
    )
    async with serving(factory) as service:
        peer = await service.connect()
        await peer.say(b"cause")
        recording, lost = events
        assert lost == "lost"
        assert passed(recording, RECEIVED) == b"cause"
        assert type(recording.reason) is CallbackError
    assert len(events) == 2
    assert len(logged_errors) == 1


@needs(Feature.ASYNC_CODE)
async def test_the_recording_of_an_error_in_an_async_callback_is_written(
    connect: Connecting, logged_errors: list[logging.LogRecord]
) -> None:
    async def later(self: Recorder) -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    written: list[Recording] = []
    async with connect(build(Recorder(data_received=later), write=written.append)) as peer:
        await peer.send(b"cause")
        assert (await peer.receive_all())[1] == "reset"
    assert [passed(each, RECEIVED) for each in written] == [b"cause"]


async def test_the_recording_of_a_clean_end_is_not_written(connect: Connecting) -> None:
    written: list[Recording] = []
    protocol = Recorder(data_received=answer)
    async with connect(build(protocol, write=written.append)) as peer:
        await peer.send(b"x")
        assert await peer.receive_exactly(5) == b"re: x"
        await peer.send_eof()
        assert await peer.receive_all() == (b"", "eof")
    assert type(protocol.reason) is ConnectionDone
    assert written == []


@pytest.mark.parametrize("callback_errors", ["log", "raise"])
async def test_a_writer_of_recordings_that_fails_ends_no_server(
    serving: Serving, callback_errors: str, logged_errors: list[logging.LogRecord]
) -> None:
    def write(recording: Recording) -> None:
        raise PermissionError

    def obey(self: Recorder) -> None:
        if self.received == b"end":
            self.transport.abort()
        else:
            answer(self)

    factory = Factory(
        lambda: Recorder(data_received=obey),
        traffic_log=TrafficLog(write=write),
        callback_errors=callback_errors,
    )
    async with serving(factory) as service:
        other = await service.connect()
        peer = await service.connect()
        await peer.say(b"end")
        assert [each.getMessage()[:26] for each in logged_errors] == ["error in traffic_log.write"]
        await other.send(b"alive")
        assert await other.receive_exactly(9) == b"re: alive"


# That nothing else changes: each of these is true without a log as well

RECORDED_OR_NOT = pytest.mark.parametrize("log", [None, TrafficLog()], ids=["plain", "recorded"])


@RECORDED_OR_NOT
@needs(Feature.HALF_CLOSE)
@lacks(Feature.ENCRYPTS)
async def test_recorded_or_not_each_side_may_end_alone(
    connect: Connecting, log: TrafficLog | None
) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol, traffic_log=log) as peer:
        assert protocol.transport.tls is None
        assert protocol.transport.can_write_eof
        await peer.say_eof()
        assert not protocol.transport.closing
        protocol.transport.write(b"last words")
        protocol.transport.write_eof()
        assert await peer.receive_all() == (b"last words", "eof")
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


@RECORDED_OR_NOT
@needs(Feature.HALF_CLOSE)
@lacks(Feature.ENCRYPTS)
async def test_recorded_or_not_we_may_end_our_side_and_read_on(
    connect: Connecting, log: TrafficLog | None
) -> None:
    protocol = Recorder(connection_made=lambda self: self.transport.write_eof())
    async with connect(protocol, traffic_log=log) as peer:
        assert await peer.receive_all() == (b"", "eof")
        await peer.say(b"still heard")
        assert protocol.received == b"still heard"
        await peer.say_eof()
        assert type(protocol.reason) is ConnectionDone


@RECORDED_OR_NOT
@needs(Feature.HALF_CLOSE_IS_OPTIONAL)
@lacks(Feature.ENCRYPTS)
async def test_recorded_or_not_what_cannot_end_one_side_is_kept_open(
    connect: Connecting, log: TrafficLog | None
) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol, traffic_log=log, half_close=False) as peer:
        await peer.say_eof()
        assert not protocol.lost
        protocol.transport.write(b"more")
        assert await peer.receive_exactly(4) == b"more"
        protocol.transport.close()
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


@RECORDED_OR_NOT
async def test_recorded_or_not_output_that_waits_is_bounded(
    connect: Connecting, log: TrafficLog | None
) -> None:
    protocol = Recorder()
    async with connect(protocol, traffic_log=log, small_buffers=True) as peer:
        while not protocol.transport.closing:
            protocol.transport.write(bytes(1 << 20))
            await peer.settle()
            assert protocol.transport.buffered <= 5 << 20
