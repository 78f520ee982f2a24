"""The pieces of code that the pages in docs show, beside the examples.

Each is included from here, and run by ``test_snippets.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import trio

import trioproto
from examples.echo import Echo
from examples.qotd import QuoteFactory
from trioproto import Factory, Protocol
from trioproto.framing import LineReceiver


def run_echo() -> None:
    trioproto.run(Factory(Echo), "tcp:0:interface=127.0.0.1")


def run_quotes() -> None:
    trioproto.run(QuoteFactory(b"An apple a day"), "tcp:0:interface=127.0.0.1")


async def serve_for_a_minute() -> None:
    async with trioproto.open_server(Factory(Echo), "tcp:0:interface=127.0.0.1") as server:
        print(server.addresses)
        await trio.sleep(60)


class Patient(Factory[Echo]):
    protocol = Echo
    idle_timeout = None


def patient_in_two_ways() -> tuple[Factory[Echo], Factory[Echo]]:
    return Factory(Echo, idle_timeout=None), Patient()


class Archive(LineReceiver):
    """Answers each line with much data, as fast as the peer reads it."""

    async def line_received(self, line: bytes) -> None:
        for block in self.factory.blocks():
            await self.transport.send(block)
        await self.transport.send_file(self.factory.path)


class ArchiveFactory(Factory[Archive]):
    protocol = Archive

    def __init__(self, path: str) -> None:
        self.path = path

    def blocks(self) -> Iterator[bytes]:
        yield from (b"one\r\n", b"two\r\n")


class Half(Protocol):
    """One side of a forwarder."""

    auto_pause = False
    other: Half

    def data_received(self, data: bytes) -> None:
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()


class Lookup(LineReceiver):
    """Answers a host name with its addresses."""

    async def line_received(self, line: bytes) -> None:
        for info in await trio.socket.getaddrinfo(line.decode("idna"), 80):
            self.send_line(repr(info[4]).encode())
