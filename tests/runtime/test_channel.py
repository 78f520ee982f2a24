"""FrameChannel: frames by ``async for``, over any stream."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock, memory_stream_pair

from trioproto import FrameChannel
from trioproto.errors import FrameTooLong, IncompleteFrame, MalformedFrame
from trioproto.framing import (
    Codec,
    FixedSizeCodec,
    Int32StringReceiver,
    JsonLinesCodec,
    LineCodec,
    NetstringCodec,
)

MemoryStream = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


def lines_and_peer(
    codec: LineCodec | NetstringCodec | None = None,
) -> tuple[FrameChannel[bytes], MemoryStream]:
    ours, peer = memory_stream_pair()
    return FrameChannel(ours, codec or LineCodec()), peer


async def test_frames_come_one_by_one_however_they_were_cut() -> None:
    data = b"one\r\n\r\ntwo\r\nthree\r\n"
    for size in range(1, len(data) + 1):
        channel, peer = lines_and_peer()
        for begin in range(0, len(data), size):
            await peer.send_all(data[begin : begin + size])
        await peer.send_eof()
        assert [line async for line in channel] == [b"one", b"", b"two", b"three"]


async def test_the_end_of_input_between_frames_ends_the_channel() -> None:
    channel, peer = lines_and_peer()
    await peer.send_all(b"one\r\n")
    await peer.send_eof()
    assert await channel.receive() == b"one"
    for _ in range(2):
        with pytest.raises(trio.EndOfChannel):
            await channel.receive()
        with pytest.raises(trio.EndOfChannel):
            await channel.receive_batch()


async def test_the_end_of_input_in_mid_frame_is_an_error() -> None:
    channel, peer = lines_and_peer()
    await peer.send_all(b"one\r\nhal")
    await peer.send_eof()
    assert await channel.receive() == b"one"
    for _ in range(2):
        with pytest.raises(IncompleteFrame) as raised:
            await channel.receive()
        assert raised.value.pending == 3


async def test_frames_before_an_error_come_first_and_the_error_stays() -> None:
    channel, peer = lines_and_peer(NetstringCodec())
    await peer.send_all(b"1:a,1:b,garbage")
    assert await channel.receive() == b"a"
    assert await channel.receive() == b"b"
    for _ in range(3):
        with pytest.raises(MalformedFrame):
            await channel.receive()
        with pytest.raises(MalformedFrame):
            await channel.receive_batch()


@pytest.mark.parametrize("codec", [LineCodec(max_length=3), NetstringCodec(max_length=3)])
async def test_a_batch_ends_before_an_error(codec: LineCodec | NetstringCodec) -> None:
    channel, peer = lines_and_peer(codec)
    await peer.send_all(codec.encode(b"a") + codec.encode(b"b") + codec.encode(b"long"))
    assert await channel.receive_batch() == [b"a", b"b"]
    for _ in range(2):
        with pytest.raises(FrameTooLong):
            await channel.receive_batch()


async def test_discarded_lines_are_passed_over() -> None:
    channel, peer = lines_and_peer(LineCodec(max_length=3, on_too_long="discard"))
    await peer.send_all(b"one\r\nlonger\r\ntwo\r\nlonger still")
    assert await channel.receive() == b"one"
    assert await channel.receive_batch() == [b"two"]
    await peer.send_all(b" and on\r\nend\r\n")
    await peer.send_eof()
    assert [line async for line in channel] == [b"end"]


async def test_a_batch_has_all_that_has_arrived_and_at_least_one() -> None:
    channel, peer = lines_and_peer()
    await peer.send_all(b"one\r\ntwo\r\nthr")
    assert await channel.receive_batch() == [b"one", b"two"]
    async with trio.open_nursery() as nursery:

        async def receive() -> None:
            assert await channel.receive_batch() == [b"three"]

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await peer.send_all(b"ee")
        await trio.testing.wait_all_tasks_blocked()
        await peer.send_all(b"\r\n")


async def test_a_batch_after_single_frames_has_the_rest() -> None:
    channel, peer = lines_and_peer()
    await peer.send_all(b"one\r\ntwo\r\nthree\r\n")
    assert await channel.receive() == b"one"
    assert await channel.receive_batch() == [b"two", b"three"]


async def test_a_cancelled_receive_loses_nothing(autojump_clock: MockClock) -> None:
    channel, peer = lines_and_peer()
    data = b"one\r\ntwo\r\nthree\r\nfour\r\n"
    got = []

    async def send_slowly() -> None:
        for index in range(len(data)):
            await trio.sleep(1)
            await peer.send_all(data[index : index + 1])
        await peer.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_slowly)
        while True:
            with trio.move_on_after(0.7):
                try:
                    got.append(await channel.receive())
                except trio.EndOfChannel:
                    break
    assert got == [b"one", b"two", b"three", b"four"]


async def test_a_receive_that_is_cancelled_before_it_begins_takes_nothing() -> None:
    channel, peer = lines_and_peer()
    await peer.send_all(b"one\r\ntwo\r\n")
    assert await channel.receive() == b"one"
    for method in (channel.receive, channel.receive_batch):
        with trio.CancelScope() as scope:
            scope.cancel()
            await method()
        assert scope.cancelled_caught
    assert await channel.receive() == b"two"


async def test_every_receive_is_a_checkpoint() -> None:
    channel, peer = lines_and_peer()
    await peer.send_all(b"one\r\ntwo\r\nthree\r\n")
    for method in (channel.receive, channel.receive, channel.receive_batch):
        with trio.testing.assert_checkpoints():
            await method()


async def test_frames_are_sent_whole_by_several_tasks() -> None:
    channel, peer = lines_and_peer()
    received = bytearray()

    async def take() -> None:
        while len(received) < 10 * 1002:
            await trio.lowlevel.checkpoint()
            received.extend(await peer.receive_some(7))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        for number in range(10):
            nursery.start_soon(channel.send, b"%d" % number * 1000)
    lines = bytes(received).split(b"\r\n")
    assert sorted(lines) == sorted([b"", *(b"%d" % n * 1000 for n in range(10))])


async def test_a_frame_that_the_format_does_not_have_is_not_sent() -> None:
    channel, peer = lines_and_peer()
    with pytest.raises(ValueError, match="delimiter"):
        await channel.send(b"one\r\ntwo")
    await channel.send(b"fine")
    assert await peer.receive_some() == b"fine\r\n"


async def test_after_a_send_that_was_cut_off_nothing_is_sent_but_frames_are_received() -> None:
    ours, peer = trio.testing.lockstep_stream_pair()
    channel = FrameChannel(ours, LineCodec())
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.send, b"never taken")
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    with pytest.raises(trio.BrokenResourceError, match="cut off"):
        await channel.send(b"next")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.send_all, b"hello\r\n")
        assert await channel.receive() == b"hello"


async def test_closing_drops_what_was_not_received_and_closes_the_stream() -> None:
    channel, peer = lines_and_peer()
    await peer.send_all(b"one\r\ntwo\r\n")
    assert await channel.receive() == b"one"
    async with channel:
        pass
    with pytest.raises(trio.ClosedResourceError):
        await channel.receive()
    with pytest.raises(trio.ClosedResourceError):
        await channel.send(b"x")
    assert await peer.receive_some() == b""


async def test_a_closed_channel_says_so_whatever_went_before() -> None:
    channel, peer = lines_and_peer(LineCodec(max_length=3))
    await peer.send_all(b"long line\r\n")
    await peer.send_eof()
    with pytest.raises(FrameTooLong):
        await channel.receive()
    await channel.aclose()
    for method in (channel.receive, channel.receive_batch):
        with pytest.raises(trio.ClosedResourceError):
            await method()
    with pytest.raises(trio.ClosedResourceError):
        await channel.send(b"x")


async def test_a_receive_that_waits_when_the_channel_is_closed_ends() -> None:
    channel, _peer = lines_and_peer()
    async with trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await channel.receive()

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await channel.aclose()


async def test_two_tasks_cannot_wait_for_a_frame_at_once() -> None:
    channel, _peer = lines_and_peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.receive)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await channel.receive()
        nursery.cancel_scope.cancel()


async def test_what_is_kept_is_bounded() -> None:
    channel, peer = lines_and_peer(LineCodec(max_length=1000))

    await peer.send_all(bytes(200_000))
    with pytest.raises(FrameTooLong):
        await channel.receive()
    assert channel.codec.pending == 0


async def test_what_the_codec_has_already_comes_first() -> None:
    first, peer = lines_and_peer()
    await peer.send_all(b"one\r\n3:abc,")
    assert await first.receive() == b"one"
    codec = NetstringCodec()
    codec.feed(first.codec.take_rest())
    second = FrameChannel(first.stream, codec)
    assert await second.receive() == b"abc"


class OwnError(MalformedFrame):
    def __init__(self) -> None:
        super().__init__("mine", 0)


class Careless(FixedSizeCodec):
    """Raises without noting the error."""

    def frames(self) -> Iterator[bytes]:
        for frame in super().frames():
            if frame == b"x":
                raise OwnError
            yield frame


async def test_an_error_that_a_codec_does_not_note_is_final_all_the_same() -> None:
    ours, peer = memory_stream_pair()
    channel = FrameChannel(ours, Careless(1))
    await peer.send_all(b"axb")
    assert await channel.receive() == b"a"
    for _ in range(2):
        with pytest.raises(OwnError):
            await channel.receive()


@pytest.mark.parametrize(
    ("codec", "bad"),
    [(NetstringCodec(), b"x"), (LineCodec(max_length=1), b"xxx"), (JsonLinesCodec(), b"{\n")],
)
async def test_an_error_leaves_no_cycle_behind(codec: Codec[object], bad: bytes) -> None:
    ours, peer = memory_stream_pair()
    channel = FrameChannel(ours, codec)
    await peer.send_all(bad)
    gc.collect()
    gc.disable()
    try:
        with suppress(MalformedFrame, FrameTooLong):
            await channel.receive()
        alive = weakref.ref(channel)
        del channel
        assert alive() is None
    finally:
        gc.enable()


def test_a_read_of_no_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="read_size"):
        FrameChannel(memory_stream_pair()[0], LineCodec(), read_size=0)


def test_the_limits_are_those_of_the_receivers() -> None:
    assert NetstringCodec().max_length == Int32StringReceiver.max_length
