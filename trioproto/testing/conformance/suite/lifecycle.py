"""The life of a connection: SEMANTICS.md, Lifecycle; DESIGN.md section 3, rules 1 and 3."""

from __future__ import annotations

import errno
from array import array
from typing import Any

import pytest
from trio.testing import MockClock

from trioproto.runtime.factory import Factory
from trioproto.sansio.errors import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    NotSupported,
)
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.peer import check_same
from trioproto.testing.conformance.provoking import each_callback, provoke
from trioproto.testing.conformance.recorder import Recorder, keep_open
from trioproto.testing.conformance.service import MORE_THAN_FITS, Connecting, Serving


def act_close(protocol: Recorder) -> None:
    protocol.transport.close()


def act_abort(protocol: Recorder) -> None:
    protocol.transport.abort()


async def test_callbacks_come_in_order(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        assert protocol.heard == ["connection_made"]
        await peer.send(b"one")
        await peer.settle()
        await peer.send(b"two")
        await peer.send_eof()
        await peer.settle()
        assert await peer.receive_all() == (b"", "eof")
        await peer.settle()
    assert protocol.heard == [
        "connection_made",
        "data_received",
        "data_received",
        "eof_received",
        "connection_lost",
    ]
    assert protocol.received == b"onetwo"
    assert type(protocol.reason) is ConnectionDone


async def test_what_is_written_arrives_in_order(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(b"a")
        protocol.transport.writelines([b"b", bytearray(b"c"), memoryview(b"d")])
        protocol.transport.write(b"")
        protocol.transport.write(b"e")
        assert await peer.receive_exactly(5) == b"abcde"


async def test_a_reply_written_in_a_callback_arrives(connect: Connecting) -> None:
    protocol = Recorder(data_received=lambda self: self.transport.write(self.chunks[-1].upper()))
    async with connect(protocol) as peer:
        await peer.send(b"shout")
        assert await peer.receive_exactly(5) == b"SHOUT"
        await peer.send(b"again")
        assert await peer.receive_exactly(5) == b"AGAIN"


async def test_transport_and_factory_are_there_before_connection_made(serving: Serving) -> None:
    seen: list[Any] = []

    class Looks(Protocol):
        def __init__(self) -> None:
            pass

        def connection_made(self) -> None:
            seen.extend([self.factory, self.transport.closing, self in self.factory.connections])

    class Builds(Factory[Protocol]):
        def build_protocol(self, peer: object) -> Protocol:
            return Looks()

    factory = Builds()
    async with serving(factory) as service:
        await service.connect()
        assert seen == [factory, False, True]


@pytest.mark.parametrize("buffer_type", [bytes, bytearray, memoryview])
async def test_write_takes_any_bytes(connect: Connecting, buffer_type: Any) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(buffer_type(b"data"))
        assert await peer.receive_exactly(4) == b"data"


async def test_write_takes_bytes_that_do_not_lie_together(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(memoryview(b"a-b-c-")[::2])
        other: Any = array("B", b"def")
        protocol.transport.write(other)
        assert await peer.receive_exactly(6) == b"abcdef"


async def test_write_copies_at_once_what_can_change(connect: Connecting) -> None:
    def write(self: Recorder) -> None:
        data = bytearray(b"before")
        self.transport.write(data)
        data[:] = b"after!"

    async with connect(Recorder(data_received=write)) as peer:
        await peer.send(b"go")
        assert await peer.receive_exactly(6) == b"before"


async def test_write_counts_bytes_of_wider_items(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(memoryview(b"12345678").cast("I"))
        assert await peer.receive_exactly(8) == b"12345678"


@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2]])
async def test_write_of_anything_else_is_a_type_error_and_writes_nothing(
    connect: Connecting, wrong: Any
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        with pytest.raises(TypeError):
            protocol.transport.write(wrong)
        protocol.transport.write(b"ok")
        assert await peer.receive_exactly(2) == b"ok"
        assert not protocol.lost


@pytest.mark.parametrize("wrong", ["text", 5])
async def test_write_of_anything_else_is_a_type_error_on_a_closed_connection_too(
    connect: Connecting, wrong: Any
) -> None:
    protocol = Recorder()
    async with connect(protocol):
        protocol.transport.abort()
        with pytest.raises(TypeError):
            protocol.transport.write(wrong)


async def test_a_large_write_then_close_arrives_whole(connect: Connecting) -> None:
    size = 60 << 20
    data = bytes(range(256)) * (size // 256)

    def write_and_close(self: Recorder) -> None:
        self.transport.write(data)
        self.transport.close()

    async with connect(Recorder(connection_made=write_and_close)) as peer:
        received, ending = await peer.receive_all()
        check_same(received, data)
        assert ending == "eof"


async def test_close_flushes_what_waits_and_ends_with_eof(connect: Connecting) -> None:
    protocol = Recorder()
    data = b"0123456789abcdef" * (MORE_THAN_FITS // 16)
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(data)
        protocol.transport.close()
        await peer.settle()
        assert protocol.transport.closing
        assert not protocol.lost
        received, ending = await peer.receive_all()
        check_same(received, data)
        assert ending == "eof"
        await peer.send_eof()
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


async def test_writes_after_close_are_discarded_silently(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write(b"before")
        protocol.transport.close()
        protocol.transport.write(b"after")
        protocol.transport.writelines([b"after", b"after"])
        protocol.transport.close()
        assert await peer.receive_all() == (b"before", "eof")
        protocol.transport.write(b"after")
        assert protocol.transport.buffered == 0


async def test_writes_after_close_in_the_same_callback_are_discarded(connect: Connecting) -> None:
    def act(self: Recorder) -> None:
        self.transport.write(b"before")
        self.transport.close()
        self.transport.write(b"after")

    async with connect(Recorder(data_received=act)) as peer:
        await peer.send(b"go")
        assert await peer.receive_all() == (b"before", "eof")


async def test_nothing_more_is_delivered_after_close(connect: Connecting) -> None:
    protocol = Recorder(eof_received=act_close)
    async with connect(protocol) as peer:
        protocol.transport.close()
        await peer.send(b"more")
        await peer.settle()
        await peer.send_eof()
        await peer.settle()
    assert protocol.heard == ["connection_made", "connection_lost"]


async def test_nothing_more_is_delivered_after_a_close_in_data_received(
    connect: Connecting,
) -> None:
    protocol = Recorder(data_received=act_close)
    async with connect(protocol, read_size=4) as peer:
        await peer.send(b"fourmore")
        await peer.send(b"still more")
        await peer.send_eof()
        await peer.settle()
    assert protocol.heard[:2] == ["connection_made", "data_received"]
    assert protocol.heard[2:] == ["connection_lost"]


@pytest.mark.parametrize("ending", ["loss", "close", "abort"])
async def test_using_a_transport_after_loss_is_a_silent_no_op(
    connect: Connecting, ending: str
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        if ending == "loss":
            await peer.reset()
        else:
            getattr(protocol.transport, ending)()
            await peer.settle()
            await peer.aclose()
        await peer.settle()
        assert protocol.lost
        transport = protocol.transport
        transport.write(b"late")
        transport.writelines([b"late"])
        transport.close()
        transport.abort()
        transport.pause_reading()
        transport.resume_reading()
        transport.set_timeout(1)
        assert transport.buffered == 0
        assert transport.closing
        await peer.settle()
    assert protocol.heard == ["connection_made", "connection_lost"]


async def test_writes_in_connection_lost_are_discarded(connect: Connecting) -> None:
    protocol = Recorder(connection_lost=lambda self: self.transport.write(b"late"))
    async with connect(protocol) as peer:
        protocol.transport.close()
        assert await peer.receive_all() == (b"", "eof")


async def test_abort_is_idempotent_and_reported_as_ours(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.abort()
        protocol.transport.abort()
        protocol.transport.close()
        assert await peer.receive_all() == (b"", "reset")
        await peer.settle()
        assert type(protocol.reason) is ConnectionAborted


@pytest.mark.parametrize("callback", ["connection_made", "data_received"])
async def test_no_byte_written_after_abort_arrives(connect: Connecting, callback: str) -> None:
    def act(self: Recorder) -> None:
        self.transport.abort()
        self.transport.write(b"after")

    protocol = Recorder(**{callback: act})
    async with connect(protocol) as peer:
        if callback == "data_received":
            await peer.send(b"go")
        data, ending = await peer.receive_all()
        assert data == b""
        assert ending == "reset"
        await peer.settle()
        assert type(protocol.reason) is ConnectionAborted


async def test_abort_drops_a_full_buffer(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        protocol.transport.abort()
        protocol.transport.write(b"after")
        await peer.settle()
        assert type(protocol.reason) is ConnectionAborted
        assert protocol.transport.buffered == 0
        data, ending = await peer.receive_all()
        assert len(data) < MORE_THAN_FITS
        assert ending == "reset"


async def test_abort_cuts_a_close_that_is_still_flushing(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        await peer.settle()
        assert not protocol.lost
        protocol.transport.abort()
        await peer.settle()
        assert type(protocol.reason) is ConnectionAborted
        data, ending = await peer.receive_all()
        assert len(data) < MORE_THAN_FITS
        assert ending == "reset"


async def test_close_cannot_hang_on_a_peer_that_does_not_read(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True, close_timeout=3, write_timeout=None) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        protocol.transport.close()
        await peer.pass_time(3)
        assert not protocol.lost
        await peer.pass_time(1 + MORE_THAN_FITS / (64 << 10))
        assert type(protocol.reason) is CloseTimeout


async def test_eof_is_reported_and_closes_by_default(connect: Connecting) -> None:
    protocol = Recorder(eof_received=lambda self: self.transport.write(b"bye"))
    async with connect(protocol) as peer:
        await peer.send_eof()
        assert await peer.receive_all() == (b"bye", "eof")
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


async def test_a_connection_kept_open_after_eof_goes_on_writing(connect: Connecting) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol) as peer:
        await peer.send_eof()
        await peer.settle()
        assert protocol.heard == ["connection_made", "eof_received"]
        assert not protocol.transport.closing
        protocol.transport.write(b"still here")
        assert await peer.receive_exactly(10) == b"still here"
        protocol.transport.write(b"bye")
        protocol.transport.close()
        assert await peer.receive_all() == (b"bye", "eof")
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE)
async def test_a_connection_kept_open_closes_once_both_sides_have_ended(
    connect: Connecting,
) -> None:
    protocol = Recorder(eof_received=keep_open)
    async with connect(protocol) as peer:
        await peer.send_eof()
        await peer.settle()
        protocol.transport.write(b"bye")
        protocol.transport.write_eof()
        assert await peer.receive_all() == (b"bye", "eof")
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE)
async def test_write_eof_lets_us_go_on_reading(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        assert protocol.transport.can_write_eof
        protocol.transport.write(b"all")
        protocol.transport.write_eof()
        protocol.transport.write(b"late")
        assert await peer.receive_until_eof() == b"all"
        await peer.send(b"one")
        await peer.settle()
        await peer.send(b"two")
        await peer.settle()
        assert protocol.received == b"onetwo"
        assert not protocol.lost
        await peer.send_eof()
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE)
async def test_write_eof_is_idempotent_and_harmless_on_a_closed_connection(
    connect: Connecting,
) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        protocol.transport.write_eof()
        protocol.transport.write_eof()
        protocol.transport.close()
        protocol.transport.write_eof()
        assert await peer.receive_all() == (b"", "eof")
        await peer.send_eof()
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone


@needs(Feature.HALF_CLOSE)
async def test_write_eof_waits_for_what_was_written(connect: Connecting) -> None:
    protocol = Recorder()
    data = b"0123456789abcdef" * (MORE_THAN_FITS // 16)
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(data)
        protocol.transport.write_eof()
        received, ending = await peer.receive_all()
        check_same(received, data)
        assert ending == "eof"
        await peer.send(b"and back")
        await peer.settle()
        assert protocol.received == b"and back"


@needs(Feature.HALF_CLOSE_IS_OPTIONAL)
async def test_write_eof_is_not_supported_where_eof_cannot_be_sent_alone(
    connect: Connecting,
) -> None:
    protocol = Recorder()
    async with connect(protocol, half_close=False) as peer:
        assert not protocol.transport.can_write_eof
        with pytest.raises(NotSupported):
            protocol.transport.write_eof()
        protocol.transport.write(b"still works")
        assert await peer.receive_exactly(11) == b"still works"


@needs(Feature.HALF_CLOSE_IS_OPTIONAL)
async def test_close_does_not_linger_where_eof_cannot_be_sent_alone(
    connect: Connecting, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, half_close=False) as peer:
        protocol.transport.write(b"bye")
        protocol.transport.close()
        await peer.settle()
        assert type(protocol.reason) is ConnectionDone
        assert await peer.receive_all() == (b"bye", "eof")


async def test_a_reset_is_reported_as_a_loss_with_its_cause(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.send(b"half a mess")
        await peer.settle()
        await peer.reset()
        await peer.settle()
        assert protocol.received == b"half a mess"
        assert type(protocol.reason) is ConnectionLost
        assert protocol.reason.__cause__ is not None
    assert "eof_received" not in protocol.heard


@needs(Feature.ERROR_NUMBERS)
async def test_a_loss_keeps_its_errno(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.reset()
        await peer.settle()
        assert error_number(protocol.reason) == errno.ECONNRESET


def error_number(error: BaseException | None) -> int | None:
    """The errno of the first OSError in a chain of causes."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error.errno if error else None


async def test_a_reset_while_output_waits_is_a_loss(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol, small_buffers=True) as peer:
        protocol.transport.write(bytes(MORE_THAN_FITS))
        await peer.settle()
        await peer.reset()
        await peer.settle()
        assert type(protocol.reason) is ConnectionLost


async def test_close_and_abort_from_connection_made_deliver_nothing(connect: Connecting) -> None:
    for act, reason in ((act_close, ConnectionDone), (act_abort, ConnectionAborted)):
        protocol = Recorder(connection_made=act)
        async with connect(protocol) as peer:
            await peer.aclose()
        assert protocol.heard == ["connection_made", "connection_lost"]
        assert type(protocol.reason) is reason


@each_callback()
@pytest.mark.parametrize("act", [act_close, act_abort])
async def test_a_protocol_may_end_itself_in_any_callback(
    connect: Connecting, autojump_clock: MockClock, callback: str, act: Any
) -> None:
    protocol = Recorder(**{callback: act})
    async with connect(protocol, small_buffers=True) as peer:
        await provoke(callback, peer, protocol)
        assert callback in protocol.heard
        await peer.aclose()
        await peer.pass_time(60)
    following = protocol.heard[protocol.heard.index(callback) + 1 :]
    assert following == ([] if callback == "connection_lost" else ["connection_lost"])


@pytest.mark.parametrize("ending", ["close", "abort"])
@each_callback()
async def test_a_protocol_may_end_another_connection_in_any_callback(
    serving: Serving, autojump_clock: MockClock, callback: str, ending: str
) -> None:
    inside: list[str] = []
    others: list[Recorder] = []

    def lost(self: Recorder) -> None:
        assert not inside, "called inside another connection's callback"

    def end_others(self: Recorder) -> None:
        inside.append(callback)
        for other in others:
            getattr(other.transport, ending)()
            assert other.transport.closing
            assert not other.lost
        inside.clear()

    actor = Recorder(**{callback: end_others})
    victim = Recorder(connection_lost=lost, quiesce=lambda _: None)
    protocols = iter([victim, actor])
    async with serving(Factory(lambda: next(protocols)), small_buffers=True) as service:
        victim_peer = await service.connect()
        others.append(victim)
        actor_peer = await service.connect()
        await provoke(callback, actor_peer, actor)
        assert callback in actor.heard
        await victim_peer.settle()
        _, how = await victim_peer.receive_all()
        assert how == {"close": "eof", "abort": "reset"}[ending]
        await victim_peer.aclose()
        await victim_peer.settle()
        assert victim.lost
    victim.check()
    actor.check()


async def test_connections_has_an_entry_until_just_before_connection_lost(
    serving: Serving,
) -> None:
    lengths: list[int] = []

    def note(self: Recorder) -> None:
        lengths.append(len(self.factory.connections))

    protocols = [Recorder(connection_made=note, connection_lost=note) for _ in range(2)]
    waiting = iter(protocols)
    factory = Factory(lambda: next(waiting))
    async with serving(factory) as service:
        assert len(factory.connections) == 0
        first = await service.connect()
        await service.connect()
        assert set(factory.connections) == set(protocols)
        assert protocols[0] in factory.connections
        snapshot = iter(factory.connections)
        await first.reset()
        await first.settle()
        assert protocols[0] not in factory.connections
        assert set(snapshot) == set(protocols)
        assert lengths == [1, 2, 1]
    assert len(factory.connections) == 0


@needs(Feature.ADDRESSES)
async def test_addresses_are_those_of_the_socket_and_last_for_ever(serving: Serving) -> None:
    built_for: list[object] = []
    at_loss: list[object] = []
    protocol = Recorder(connection_lost=lambda self: at_loss.append(self.transport.peer))

    class Builds(Factory[Protocol]):
        def build_protocol(self, peer: object) -> Protocol:
            built_for.append(peer)
            return protocol

    async with serving(Builds()) as service:
        peer = await service.connect()
        here, there = peer.address, peer.server_address
        assert (protocol.transport.peer, protocol.transport.local) == (here, there)
        await peer.reset()
        await peer.settle()
        assert protocol.lost
        assert built_for == at_loss == [here]
        assert (protocol.transport.peer, protocol.transport.local) == (here, there)


async def test_build_protocol_gets_the_address_that_the_transport_shows(serving: Serving) -> None:
    built_for: list[object] = []
    protocol = Recorder()

    class Builds(Factory[Protocol]):
        def build_protocol(self, peer: object) -> Protocol:
            built_for.append(peer)
            return protocol

    async with serving(Builds()) as service:
        await service.connect()
        assert built_for == [protocol.transport.peer]


async def test_a_factory_that_builds_nothing_refuses_the_connection(serving: Serving) -> None:
    class Refuses(Factory[Protocol]):
        def build_protocol(self, peer: object) -> None:
            return None

    factory = Refuses()
    async with serving(factory) as service:
        peer = await service.connect()
        data, _ = await peer.receive_all()
        assert data == b""
        assert len(factory.connections) == 0


@needs(Feature.ASYNC_CODE)
async def test_wait_closed_gives_the_reason_to_a_task_elsewhere(connect: Connecting) -> None:
    protocol = Recorder()
    async with connect(protocol) as peer:
        await peer.reset()
        reason = await protocol.transport.wait_closed()
        await peer.settle()
        assert reason is protocol.reason
        assert await protocol.transport.wait_closed() is reason
