"""Frames by ``async for``: a codec on any trio stream."""

from __future__ import annotations

from collections.abc import Iterator

import trio

from trioproto.framing.codec import Codec, FrameT
from trioproto.sansio.errors import FramingError

READ_SIZE = 64 * 1024


class FrameChannel(trio.abc.Channel[FrameT]):
    """Sends and receives frames over a stream, which it closes.

    For code that asks for its input instead of being called::

        async with FrameChannel(stream, LineCodec()) as lines:
            async for line in lines:
                await lines.send(line)

    What is kept is bounded by the codec's limit and one read. One task may
    receive at a time; several may send, and their frames do not mix. Frames that
    a codec discards are passed over in silence.

    To go on in another format, take what the codec has not used::

        rest = old.codec.take_rest()
        new = FrameChannel(old.stream, codec)
        codec.feed(rest)

    Cancellation: a cancelled receive loses nothing. A cancelled ``send`` may
    have sent a part of a frame, so whatever is sent after it would be no frame:
    it raises ``trio.BrokenResourceError``. Receiving goes on.

    Args:
        stream: any stream.
        codec: a codec that nobody else uses; it may have been fed already.
        read_size: bytes asked for in one read.

    Raises:
        ValueError: *read_size* is below 1.
    """

    def __init__(
        self, stream: trio.abc.Stream, codec: Codec[FrameT], *, read_size: int = READ_SIZE
    ) -> None:
        if read_size < 1:
            raise ValueError("read_size must be at least 1")
        self.stream = stream
        self.codec = codec
        self._read_size = read_size
        self._frames: Iterator[FrameT] = iter(())
        self._looked = False
        """Whether the codec was asked for frames: it may have been fed before."""
        self._error: FramingError | None = None
        """What has ended the codec."""
        self._eof = False
        self._closed = False
        self._send_lock = trio.StrictFIFOLock()
        self._send_is_whole = True

    # Receiving

    async def receive(self) -> FrameT:
        """Return the next frame.

        Raises:
            trio.EndOfChannel: the peer has ended its side, between two frames.
            IncompleteFrame: it has ended it in the middle of one.
            FramingError: the bytes in front are no frame; raised from now on.
            trio.ClosedResourceError: this channel was closed.
            trio.BrokenResourceError: something is wrong with the stream.
        """
        await trio.lowlevel.checkpoint()
        while True:
            try:
                for frame in self._frames:
                    return frame
            except FramingError as error:
                self._note(error)
            await self._look_for_more()

    async def receive_batch(self) -> list[FrameT]:
        """Return all frames that have arrived, at least one; much cheaper than one by one.

        Frames in front of an error are returned first, and it is raised by the
        next call. Raises the same as ``receive``.
        """
        await trio.lowlevel.checkpoint()
        batch: list[FrameT] = []
        while True:
            try:
                batch.extend(self._frames)
            except FramingError as error:
                self._note(error)
            if batch:
                return batch
            await self._look_for_more()

    def _note(self, error: FramingError) -> None:
        """Keep an error, unless the codec goes on after it."""
        if self.codec.ended or error is not self.codec.error:
            self._error = error.with_traceback(None)

    async def _look_for_more(self) -> None:
        """Go on after an error, or read; there are no more frames in ``_frames``."""
        codec = self.codec
        if self._closed:
            raise trio.ClosedResourceError
        if self._error is not None:
            raise _again(self._error) from self._error.__cause__
        if self._looked and codec.error is None:
            if self._eof:
                codec.check_end()
                raise trio.EndOfChannel
            data = await self.stream.receive_some(self._read_size)
            self._eof = not data
            codec.feed(bytes(data))
        self._looked = True
        self._frames = codec.frames()

    # Sending

    async def send(self, value: FrameT) -> None:
        """Send a frame, and wait until the stream has taken it.

        Raises:
            ValueError: the format has no such frame; nothing was sent.
            trio.ClosedResourceError: this channel was closed.
            trio.BrokenResourceError: something is wrong with the stream, or an
                earlier ``send`` failed or was cut off.
        """
        data = self.codec.encode(value)
        async with self._send_lock:
            if self._closed:
                raise trio.ClosedResourceError
            if not self._send_is_whole:
                raise trio.BrokenResourceError("an earlier send failed or was cut off")
            self._send_is_whole = False
            await self.stream.send_all(data)
            self._send_is_whole = True

    async def aclose(self) -> None:
        """Close the stream; frames that have not been received are dropped."""
        self._closed = True
        self._frames = iter(())
        self.codec.take_rest()
        await self.stream.aclose()


def _again(error: FramingError) -> FramingError:
    """Make another one, as to raise one that is kept would keep our frames in a cycle."""
    again = type(error).__new__(type(error), *error.args)
    again.__dict__.update(vars(error))
    return again
