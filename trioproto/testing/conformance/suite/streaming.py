"""``send``, ``send_file`` and what else a task may wait for on a transport."""

from __future__ import annotations

import contextvars
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import (
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    NotSupported,
    WriteTimeout,
)
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, lacks, needs
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Serving
from trioproto.testing.conformance.suite.fixtures import CONTENT

CHUNK = 1 << 16


class Streams(Protocol):
    """Sends *count* chunks by ``send``, in the callback or in a task."""

    def __init__(self, count: int, *, in_task: bool = False) -> None:
        self.count = count
        self.in_task = in_task
        self.sent = 0
        self.most_waiting = 0
        self.raised: BaseException | None = None
        self.reasons: list[ConnectionClosed] = []

    def data_received(self, data: bytes) -> Any:
        if self.in_task:
            return self.transport.start_soon(self.stream)
        return self.stream()

    async def stream(self) -> None:
        try:
            for number in range(self.count):
                await self.transport.send(bytes([number % 256]) * CHUNK)
                self.sent += 1
                self.most_waiting = max(self.most_waiting, self.transport.buffered)
        except ConnectionClosed as reason:
            self.raised = reason
            raise

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.reasons.append(reason)


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize("in_task", [False, True])
async def test_send_streams_in_order_with_little_waiting(
    connect: Connecting, in_task: bool
) -> None:
    protocol = Streams(40, in_task=in_task)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"go")
        await peer.settle()
        assert protocol.sent <= 4
        data = await peer.receive_exactly(40 * CHUNK)
        assert data == b"".join(bytes([number]) * CHUNK for number in range(40))
        await peer.settle()
        assert protocol.sent == 40
        assert protocol.most_waiting < CHUNK


@needs(Feature.ASYNC_CODE)
async def test_send_returns_at_once_while_little_waits(connect: Connecting) -> None:
    done: list[str] = []

    async def reply(self: Recorder) -> None:
        await self.transport.send(b"small")
        await self.transport.send(b"")
        done.append("sent")

    async with connect(Recorder(data_received=reply), small_buffers=True) as peer:
        await peer.send(b"go")
        await peer.settle()
        assert done == ["sent"]
        assert await peer.receive_exactly(5) == b"small"


@needs(Feature.ASYNC_CODE)
async def test_send_refuses_text(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol):
        with pytest.raises(TypeError):
            await protocol.transport.send("text")  # type: ignore[arg-type]


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("reset", ConnectionLost),
        ("abort", ConnectionAborted),
        ("timeout", WriteTimeout),
    ],
)
async def test_a_send_that_waits_raises_the_reason_when_the_connection_ends(
    connect: Connecting,
    autojump_clock: MockClock,
    ending: str,
    reason: type[ConnectionClosed],
) -> None:
    """For a task of no connection: one of its own is cancelled."""
    protocol = Recorder()
    raised: list[ConnectionClosed] = []

    async def send_much() -> None:
        try:
            await protocol.transport.send(bytes(MORE_THAN_FITS))
        except ConnectionClosed as error:
            raised.append(error)

    async with (
        connect(protocol, small_buffers=True, write_timeout=5) as peer,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(send_much)
        await peer.settle()
        assert raised == []
        if ending == "reset":
            await peer.reset()
        elif ending == "abort":
            protocol.transport.abort()
        await peer.pass_time(6)
        assert type(protocol.reason) is reason
        assert raised == [protocol.reason]


@needs(Feature.ASYNC_CODE)
async def test_send_on_a_closed_connection_raises_its_reason(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.close()
        with pytest.raises(ConnectionDone):
            await protocol.transport.send(b"late")
        await peer.receive_all()
        await peer.aclose()
        await peer.settle()
        assert protocol.lost
        with pytest.raises(ConnectionDone):
            await protocol.transport.send(b"late")


@needs(Feature.ASYNC_CODE)
async def test_the_reason_that_send_raises_in_a_callback_is_no_error(connect: Connecting) -> None:
    """What a peer does is never an error of the server's, rule 4."""

    async def reply(self: Recorder) -> None:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
        await self.transport.send(b"late")

    def close_and_reply(self: Recorder) -> Any:
        self.transport.close()
        return reply(self)

    protocol = Recorder(data_received=close_and_reply)
    async with connect(protocol) as peer:
        await peer.send(b"go")
        assert await peer.receive_all() == (b"", "eof")
        await peer.aclose()
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.ASYNC_CODE)
@pytest.mark.parametrize(
    ("offset", "count"),
    [(0, None), (0, 0), (1, None), (1000, 5000), (0, MORE_THAN_FITS), (5, MORE_THAN_FITS * 2)],
)
async def test_send_file_sends_that_part_of_a_file(
    connect: Connecting, big_file: Path, offset: int, count: int | None
) -> None:
    results: list[int] = []

    async def reply(self: Recorder) -> None:
        self.transport.write(b"<")
        results.append(await self.transport.send_file(big_file, offset, count))
        self.transport.write(b">")
        self.transport.close()

    async with connect(Recorder(data_received=reply), small_buffers=True) as peer:
        await peer.send(b"go")
        data, ending = await peer.receive_all()
        content = CONTENT[offset:]
        expected = content if count is None else content[:count]
        assert (data, ending) == (b"<" + expected + b">", "eof")
        assert results == [len(expected)]


@needs(Feature.ASYNC_CODE)
async def test_send_file_waits_with_little_in_memory(connect: Connecting, big_file: Path) -> None:
    async def reply(self: Recorder) -> None:
        await self.transport.send_file(big_file)

    protocol = Recorder(data_received=reply)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"go")
        begin = await peer.receive_some()
        await peer.settle()
        assert protocol.transport.buffered <= 256 << 10
        assert begin + await peer.receive_exactly(MORE_THAN_FITS - len(begin)) == CONTENT


@needs(Feature.ASYNC_CODE)
async def test_send_file_of_an_absent_file_raises_and_sends_nothing(
    connect: Connecting, tmp_path: Path
) -> None:
    raised: list[str] = []

    async def reply(self: Recorder) -> None:
        try:
            await self.transport.send_file(tmp_path / "absent")
        except FileNotFoundError:
            raised.append("not found")
        self.transport.write(b"sorry")

    async with connect(Recorder(data_received=reply)) as peer:
        await peer.send(b"go")
        assert await peer.receive_exactly(5) == b"sorry"
    assert raised == ["not found"]


@needs(Feature.ASYNC_CODE)
async def test_send_file_on_a_closed_connection_raises_its_reason(
    connect: Connecting, big_file: Path
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.reset()
        await protocol.transport.wait_closed()
        with pytest.raises(ConnectionLost):
            await protocol.transport.send_file(big_file)


@needs(Feature.ASYNC_CODE)
async def test_a_send_file_that_is_cut_leaves_no_file_open(
    connect: Connecting, big_file: Path
) -> None:
    async def reply(self: Recorder) -> None:
        await self.transport.send_file(big_file)

    protocol = Recorder(data_received=reply)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"go")
        await peer.receive_some()
        protocol.transport.abort()
        await protocol.transport.wait_closed()
    assert str(big_file) not in open_files()


def open_files() -> list[str]:
    """What this process has open, where there is a ``/proc`` that tells."""
    found = []
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # that of the listing itself
                found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


@needs(Feature.ASYNC_CODE)
async def test_what_others_write_during_send_file_comes_after_the_file(
    connect: Connecting, big_file: Path
) -> None:
    async def reply(self: Recorder) -> None:
        await self.transport.send_file(big_file)

    protocol = Recorder(data_received=lambda self: self.transport.start_soon(reply, self))
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"go")
        begin = await peer.receive_some()
        protocol.transport.write(b"after")
        rest = await peer.receive_exactly(MORE_THAN_FITS + 5 - len(begin))
        assert begin + rest == CONTENT + b"after"


@needs(Feature.ASYNC_CODE)
async def test_two_files_at_once_come_one_after_the_other(
    connect: Connecting, tmp_path: Path
) -> None:
    parts = {letter: letter.encode() * 500_000 for letter in "ab"}
    for letter, content in parts.items():
        (tmp_path / letter).write_bytes(content)

    def begin(self: Recorder) -> None:
        for letter in parts:
            self.transport.start_soon(self.transport.send_file, tmp_path / letter)

    async with connect(Recorder(data_received=begin), small_buffers=True) as peer:
        await peer.send(b"go")
        data = await peer.receive_exactly(1_000_000)
        assert data in (parts["a"] + parts["b"], parts["b"] + parts["a"])


@needs(Feature.ASYNC_CODE)
async def test_a_close_during_send_file_lets_it_finish(connect: Connecting, big_file: Path) -> None:
    """The callback is not disturbed by it, rule 2, and nothing accepted is lost, rule 8."""

    async def reply(self: Recorder) -> None:
        await self.transport.send_file(big_file)

    protocol = Recorder(data_received=reply)
    async with connect(protocol, small_buffers=True) as peer:
        await peer.send(b"go")
        begin = await peer.receive_some()
        protocol.transport.close()
        rest, ending = await peer.receive_all()
        assert (begin + rest, ending) == (CONTENT, "eof")


@needs(Feature.ASYNC_CODE)
async def test_two_tasks_that_send_lose_nothing(connect: Connecting) -> None:
    async def count(self: Recorder, letter: bytes) -> None:
        for _ in range(10):
            await self.transport.send(letter * CHUNK)

    def begin(self: Recorder) -> None:
        for letter in (b"a", b"b"):
            self.transport.start_soon(count, self, letter)

    async with connect(Recorder(data_received=begin), small_buffers=True) as peer:
        await peer.send(b"go")
        data = await peer.receive_exactly(20 * CHUNK)
        chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
        assert sorted(chunks) == [b"a" * CHUNK] * 10 + [b"b" * CHUNK] * 10


@needs(Feature.ASYNC_CODE)
async def test_wait_closed_in_a_task_elsewhere_sees_each_end(connect: Connecting) -> None:
    for ending, expected in (("close", ConnectionDone), ("abort", ConnectionAborted)):
        protocol = Recorder()
        seen: list[ConnectionClosed] = []

        async def wait(protocol: Recorder, seen: list[ConnectionClosed]) -> None:
            seen.append(await protocol.transport.wait_closed())

        async with connect(protocol) as peer, trio.open_nursery() as nursery:
            nursery.start_soon(wait, protocol, seen)
            await peer.settle()
            getattr(protocol.transport, ending)()
            await peer.receive_all()
            await peer.aclose()
            await peer.settle()
            assert seen == [protocol.reason]
            assert type(protocol.reason) is expected


# Socket options


@needs(Feature.SOCKET_OPTIONS)
async def test_socket_options_can_be_read_and_set(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol):
        transport = protocol.transport
        transport.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        assert transport.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        transport.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert transport.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


@needs(Feature.SERVER, Feature.SOCKET_OPTIONS)
@pytest.mark.parametrize("on", [True, False])
async def test_nodelay_and_keepalive_are_as_the_settings_say(connect: Connecting, on: bool) -> None:
    protocol = Recorder()
    async with connect(protocol, tcp_nodelay=on, keepalive=on):
        transport = protocol.transport
        assert bool(transport.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) is on
        assert bool(transport.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is on


@lacks(Feature.SOCKET_OPTIONS)
async def test_socket_options_are_not_supported_where_there_is_no_socket(
    connect: Connecting,
) -> None:
    protocol = Recorder()
    async with connect(protocol):
        with pytest.raises(NotSupported):
            protocol.transport.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        with pytest.raises(NotSupported):
            protocol.transport.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


# Context variables and the current task

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Remembers(Recorder):
    """Sets a context variable at the start, and notes it in each later callback."""

    def __init__(self, value: str, **acts: Any) -> None:
        super().__init__(**acts)
        self.value = value
        self.seen: list[str] = []

    def connection_made(self) -> None:
        super().connection_made()
        variable.set(self.value)

    def data_received(self, data: bytes) -> Any:
        self.seen.append(variable.get())
        return super().data_received(data)

    def eof_received(self) -> Any:
        self.seen.append(variable.get())
        return super().eof_received()

    def connection_lost(self, reason: ConnectionClosed) -> Any:
        self.seen.append(variable.get())
        return super().connection_lost(reason)


@needs(Feature.ASYNC_CODE)
async def test_context_variables_are_the_connections(serving: Serving) -> None:
    protocols = [Remembers("first"), Remembers("second")]
    waiting = iter(protocols)
    async with serving(Factory(lambda: next(waiting))) as service:
        peers = [await service.connect() for _ in protocols]
        for peer in peers:
            await peer.send(b"x")
            await peer.settle()
        for peer in peers:
            await peer.send_eof()
        await service.settle()
    assert protocols[0].seen == ["first"] * 3
    assert protocols[1].seen == ["second"] * 3
    assert variable.get() == "unset"


@needs(Feature.ASYNC_CODE)
async def test_context_variables_are_the_same_in_async_callbacks_and_tasks(
    connect: Connecting,
) -> None:
    seen: list[str] = []

    async def note(self: Recorder) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(variable.get())

    async def begin(self: Recorder) -> None:
        self.transport.start_soon(note, self)
        await note(self)

    async with connect(Remembers("mine", data_received=begin)) as peer:
        await peer.send(b"go")
        await peer.settle()
    assert seen == ["mine", "mine"]


@needs(Feature.ASYNC_CODE)
async def test_what_belongs_to_a_task_works_in_an_async_callback(connect: Connecting) -> None:
    lock = trio.Lock()
    limiter = trio.CapacityLimiter(1)

    async def locked(self: Recorder) -> None:
        async with lock, limiter:
            with trio.move_on_after(1000):
                await trio.lowlevel.checkpoint()
            self.transport.write(b"done")

    async with connect(Recorder(data_received=locked)) as peer:
        for _ in range(2):
            await peer.send(b"go")
            assert await peer.receive_exactly(4) == b"done"
