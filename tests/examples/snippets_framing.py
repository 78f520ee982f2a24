"""The pieces of code that the pages on framing show.

Each is included from here, and run by ``test_snippets_framing.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import trio

from trioproto import Factory, FrameChannel, Protocol
from trioproto.errors import FrameTooLong, FramingError, MalformedFrame
from trioproto.framing import (
    Codec,
    FrameReceiver,
    JsonLinesCodec,
    LengthFieldCodec,
    LineCodec,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
    SlipCodec,
    State,
    StateDispatch,
    StatefulProtocol,
)

# One format, two styles


class Shout(LineOnlyReceiver):
    def line_received(self, line: bytes) -> None:
        self.send_line(line.upper())


async def shout(stream: trio.abc.Stream) -> None:
    async with FrameChannel(stream, LineCodec()) as lines:
        async for line in lines:
            await lines.send(line.upper())


# Callbacks


class Reverse(NetstringReceiver):
    max_length = 1000

    def string_received(self, string: bytes) -> None:
        self.send_string(string[::-1])

    def length_limit_exceeded(self, length: int) -> None:
        self.send_string(b"%d bytes are too many" % length)


class Notes(LineOnlyReceiver):
    delimiter = b"\n"
    max_length = 80
    on_too_long = "discard"

    def line_received(self, line: bytes) -> None:
        self.send_line(b"noted")

    def line_length_exceeded(self, line: bytes) -> None:
        self.send_line(b"not noted: only the first %d bytes fit" % self.max_length)


class Packets(FrameReceiver[bytes]):
    """Sends each packet back."""

    def make_codec(self) -> SlipCodec:
        return SlipCodec(max_length=1500)

    def frame_received(self, frame: bytes) -> None:
        self.send_frame(frame)

    def framing_failed(self, error: FramingError) -> None:
        self.send_frame(str(error).encode())


def sized_records() -> LengthFieldCodec:
    """A magic number of two bytes, then the size of the whole record in two; little-endian."""
    return LengthFieldCodec(2, offset=2, header=b"\xab\xcd", counts_header=True, byteorder="little")


# A codec of one's own

Tagged = tuple[int, bytes]


class TagCodec(Codec[Tagged]):
    """Values with a tag: a byte for the tag, one for the length, and the value."""

    max_length = 100

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        if not self.ended:
            self._buffer += data

    def frames(self) -> Iterator[Tagged]:
        if self.error is not None:
            raise self.error
        buffer = self._buffer
        while buffer:
            if buffer[0] == 0:
                raise self.end_with(MalformedFrame("a tag of 0", 0, b"\0"))
            if len(buffer) > 1 and buffer[1] > self.max_length:
                raise self.end_with(FrameTooLong(self.max_length, announced=buffer[1]))
            if len(buffer) < 2 or len(buffer) < 2 + buffer[1]:
                return
            tag, end = buffer[0], 2 + buffer[1]
            value = bytes(buffer[2:end])
            del buffer[:end]  # before the frame is given away
            yield tag, value

    def end_with(self, error: FramingError) -> FramingError:
        self._buffer.clear()
        self.error = error
        return error

    def take_rest(self) -> bytes:
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    @property
    def pending(self) -> int:
        return len(self._buffer)

    def encode(self, frame: Tagged) -> bytes:
        tag, value = frame
        if not 1 <= tag <= 255 or len(value) > self.max_length:
            raise ValueError("a tag is from 1 to 255, and a value has at most 100 bytes")
        return bytes([tag, len(value)]) + value


# Pull


async def ask(stream: trio.abc.Stream, *questions: Any) -> list[Any]:
    """Send all questions, then wait for the answers, for 10 seconds at most."""
    async with FrameChannel(stream, JsonLinesCodec(max_length=10_000)) as channel:
        for question in questions:
            await channel.send(question)
        with trio.fail_after(10):
            return [await channel.receive() for _ in questions]


async def count_lines(stream: trio.abc.Stream) -> int:
    count = 0
    async with FrameChannel(stream, LineCodec(b"\n")) as lines:
        try:
            while True:
                count += len(await lines.receive_batch())
        except trio.EndOfChannel:
            return count


# Another protocol


class Preamble(LineOnlyReceiver):
    """The first line says in which format the rest is."""

    max_length = 20
    formats: ClassVar[dict[bytes, type[Protocol]]] = {b"lines": Shout, b"netstrings": Reverse}

    def line_received(self, line: bytes) -> None:
        protocol = self.formats.get(line)
        if protocol is None:
            self.send_line(b"I know " + b", ".join(self.formats))
        else:
            self.send_line(b"go on")
            self.transport.switch_protocol(protocol())


class Upgrade(LineOnlyReceiver):
    """Reads the head of an HTTP request; the rest is netstrings if the client wants that too."""

    wanted = False

    def line_received(self, line: bytes) -> None:
        if line.lower() == b"upgrade: netstrings":
            self.wanted = True
        elif not line and self.wanted:
            self.send_line(b"HTTP/1.1 101 Switching Protocols")
            self.send_line(b"Connection: Upgrade")
            self.send_line(b"Upgrade: netstrings")
            self.send_line(b"")
            self.transport.switch_protocol(Reverse())
        elif not line:
            self.send_line(b"HTTP/1.1 426 Upgrade Required")
            self.send_line(b"Connection: close")
            self.send_line(b"")
            self.transport.close()


# Bytes counted by state


class Samples(StatefulProtocol):
    """A kind and a count, of one byte each, then as many numbers of two bytes."""

    def connection_made(self) -> None:
        self.samples: list[tuple[int, list[int]]] = []

    def initial_state(self) -> State:
        return self.header, 2

    def header(self, data: bytes) -> State:
        self.kind, count = data
        return self.numbers, 2 * count

    def numbers(self, data: bytes) -> State:
        numbers = [int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2)]
        self.samples.append((self.kind, numbers))
        return self.header, 2


# State machines


class Chat(StateDispatch, LineReceiver):
    factory: ChatFactory
    state = "name"
    name = ""

    def connection_made(self) -> None:
        self.send_line(b"What is your name?")

    def line_received(self, line: bytes) -> None:
        self.dispatch(line.decode(errors="replace"))

    def state_name(self, text: str) -> None:
        if not self.factory.enter(text, self):
            self.send_line(b"That name is taken.")
            return
        self.name = text
        self.send_line(b"Welcome!")
        self.state = "chat"

    def state_chat(self, text: str) -> None:
        self.factory.tell_others(self, f"<{self.name}> {text}")

    def connection_lost(self, reason: Exception) -> None:
        self.factory.leave(self.name)


class ChatFactory(Factory[Chat]):
    protocol = Chat
    secret = "swordfish"

    def __init__(self) -> None:
        self.members: dict[str, Chat] = {}

    def enter(self, name: str, member: Chat) -> bool:
        return self.members.setdefault(name, member) is member

    def leave(self, name: str) -> None:
        self.members.pop(name, None)

    def tell_others(self, speaker: Chat, text: str) -> None:
        for member in self.members.values():
            if member is not speaker:
                member.send_line(text.encode())


class GuardedChat(Chat):
    """The same chat, behind a password."""

    state = "password"

    def connection_made(self) -> None:
        self.send_line(b"What is the password?")

    def state_password(self, text: str) -> None:
        if text == self.factory.secret:
            self.state = "name"
            super().connection_made()
        else:
            self.transport.close()
