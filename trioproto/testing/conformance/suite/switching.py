"""switch_protocol: a connection is handed over in mid-stream, and not a byte is lost.

The rule: docs/framing.md, Another protocol in mid-stream.
"""

from __future__ import annotations

import pytest
import trio

from trioproto.framing import Int8StringReceiver, LineReceiver
from trioproto.sansio.errors import ConnectionDone, IncompleteFrame
from trioproto.sansio.protocol import Protocol
from trioproto.testing.conformance.features import Feature, needs
from trioproto.testing.conformance.preamble import Preamble
from trioproto.testing.conformance.recorder import Recorder
from trioproto.testing.conformance.service import Connecting, Serving


async def test_the_new_protocol_gets_every_byte_that_was_not_delivered(
    connect: Connecting,
) -> None:
    new = Recorder()
    old = Preamble(new)
    async with connect(old) as peer:
        await peer.say(b"hello\r\ngo\r\nrest\r\nof th")
        assert old.heard == ["made", b"hello", b"go"]
        assert new.received == b"rest\r\nof th"
        await peer.say(b"e chunk")
        assert new.received == b"rest\r\nof the chunk"
        assert await peer.receive_exactly(11) == b"switching\r\n"


async def test_the_new_protocol_is_connected_first_and_lost_last(connect: Connecting) -> None:
    new = Recorder()
    old = Preamble(new)
    async with connect(old) as peer:
        await peer.say(b"go\r\nx")
        await peer.say_eof()
        assert new.heard[0] == "connection_made"
        assert new.heard[-1] == "connection_lost"
        assert type(new.reason) is ConnectionDone
        assert old.heard == ["made", b"go"]


async def test_a_frame_of_the_new_format_may_be_cut_anywhere(connect: Connecting) -> None:
    class Strings(Int8StringReceiver):
        def connection_made(self) -> None:
            self.strings: list[bytes] = []

        def string_received(self, string: bytes) -> None:
            self.strings.append(string)

    message = b"go\r\n\x05hello\x00\x02\r\n"
    for cut in range(1, len(message)):
        new = Strings()
        async with connect(Preamble(new)) as peer:
            await peer.say(message[:cut])
            await peer.say(message[cut:])
            assert new.strings == [b"hello", b"", b"\r\n"]


@needs(Feature.ASYNC_CODE)
async def test_a_running_callback_ends_before_the_new_protocol_begins(connect: Connecting) -> None:
    release = trio.Event()
    new = Recorder()

    class Slow(Preamble):
        async def line_received(self, line: bytes) -> None:
            self.switch()
            await release.wait()
            self.heard.append("returned")

    old = Slow(new)
    async with connect(old) as peer:
        await peer.say(b"one\r\ntwo\r\n")
        assert new.heard == []
        release.set()
        await peer.settle()
        assert old.heard == ["made", "returned"]
        assert new.received == b"two\r\n"


async def test_the_books_show_the_new_protocol(connect: Connecting) -> None:
    new = Recorder()
    old = Preamble(new)
    async with connect(old) as peer:
        factory = old.factory
        assert list(factory.connections) == [old]
        await peer.say(b"go\r\n")
        assert list(factory.connections) == [new]
        assert new.factory is factory
        new.transport.abort()
        await peer.settle()
        assert len(factory.connections) == 0


async def test_eof_in_mid_frame_of_the_old_format_is_the_new_protocols(
    connect: Connecting,
) -> None:
    new = Preamble(Recorder())
    async with connect(Preamble(new)) as peer:
        await peer.send(b"go\r\nhal")
        await peer.say_eof()
        assert new.heard == ["made", IncompleteFrame]


async def test_the_old_protocols_pause_goes_on(connect: Connecting) -> None:
    new = Recorder()

    class Pausing(Preamble):
        def switch(self) -> None:
            super().switch()
            self.transport.pause_reading()

    async with connect(Pausing(new)) as peer:
        await peer.say(b"go\r\nrest")
        assert new.heard == ["connection_made"]
        new.transport.resume_reading()
        await peer.settle()
        assert new.received == b"rest"


async def test_a_switch_in_connection_made_gives_the_new_one_everything(
    connect: Connecting,
) -> None:
    new = Recorder()

    class Door(Protocol):
        def connection_made(self) -> None:
            self.transport.switch_protocol(new)

    async with connect(Door()) as peer:
        await peer.say(b"all of it")
        assert new.received == b"all of it"


async def test_a_switch_from_outside_a_callback_takes_place_soon(connect: Connecting) -> None:
    new = Recorder()
    old = Preamble(new)
    async with connect(old) as peer:
        await peer.say(b"half a li")
        old.transport.switch_protocol(new)
        await peer.settle()
        assert new.received == b"half a li"


async def test_what_the_old_protocol_paused_for_its_output_the_new_one_is_told(
    connect: Connecting,
) -> None:
    new = Recorder()

    class Flood(Preamble):
        def switch(self) -> None:
            self.transport.write(bytes(2_000_000))
            super().switch()

    async with connect(Flood(new), small_buffers=True, max_buffered=4_000_000) as peer:
        await peer.say(b"go\r\n")
        assert new.heard == ["connection_made", "pause_writing"]
        assert len(await peer.receive_exactly(2_000_011)) == 2_000_011
        await peer.settle()
        assert new.heard == ["connection_made", "pause_writing", "resume_writing"]


class Keeper(Preamble):
    """Keeps the connection open after the peer's EOF."""

    def eof_received(self) -> bool:
        self.heard.append("eof")
        return True


@pytest.mark.parametrize("rest", [b"", b"rest"])
async def test_the_new_protocol_hears_of_an_eof_that_the_old_one_has_kept_open(
    connect: Connecting, rest: bytes
) -> None:
    new = Recorder(eof_received=lambda _: True)
    old = Keeper(new)
    async with connect(old) as peer:
        await peer.send(rest)
        await peer.say_eof()
        old.transport.switch_protocol(new)
        await peer.settle()
        assert old.heard == ["made", "eof"]
        assert new.received == rest
        assert new.heard[-1] == "eof_received"
        new.transport.write(b"still here")
        await peer.settle()
        assert await peer.receive_exactly(10) == b"still here"
        new.transport.close()
        await peer.settle()
        assert type(new.reason) is ConnectionDone


async def test_a_switch_in_eof_received_hands_over_a_connection_that_is_kept_open(
    connect: Connecting,
) -> None:
    new = Recorder()

    class Last(Preamble):
        def eof_received(self) -> bool:
            self.transport.switch_protocol(self.new)
            return True

    async with connect(Last(new)) as peer:
        await peer.say_eof()
        assert new.heard == ["connection_made", "eof_received", "connection_lost"]


@needs(Feature.DRAINS)
async def test_a_switch_in_quiesce_is_followed_by_a_quiesce_of_the_new_one(
    serving: Serving,
) -> None:
    new = Recorder()

    class Draining(Preamble):
        def quiesce(self) -> None:
            self.transport.switch_protocol(self.new)

    async with serving(Draining(new)) as service:
        peer = await service.connect()
        await peer.say(b"hal")
        await service.start_drain()
        await service.settle()
        assert new.received == b"hal"
        assert new.heard[:3] == ["connection_made", "data_received", "quiesce"]


async def test_a_protocol_may_take_over_again(connect: Connecting) -> None:
    class Sub(LineReceiver):
        def __init__(self, main: Protocol) -> None:
            self.main = main
            self.heard: list[bytes] = []

        def line_received(self, line: bytes) -> None:
            self.heard.append(line)
            self.transport.switch_protocol(self.main)

    old = Preamble(Recorder())
    old.new = sub = Sub(old)
    async with connect(old) as peer:
        await peer.say(b"go\r\none\r\ntwo\r\ngo\r\nthree\r\nfour\r\n")
        assert sub.heard == [b"one", b"three"]
        assert old.heard == ["made", b"go", "made", b"two", b"go", "made", b"four"]


async def test_the_new_protocol_keeps_a_factory_of_its_own(connect: Connecting) -> None:
    new = Recorder()
    new.factory = mine = object()
    async with connect(Preamble(new)) as peer:
        await peer.say(b"go\r\n")
        assert new.heard == ["connection_made"]
        assert new.factory is mine
