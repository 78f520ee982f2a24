"""Tests that fail, to see what pytest shows: `test_shown_lines.py` runs them."""

from __future__ import annotations

from trioproto import Protocol
from trioproto.framing import NetstringCodec
from trioproto.testing import Harness, Link, connected, peer, verify_codec, verify_protocol


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def test_harness() -> None:
    harness = Harness(Echo)
    harness.connect()
    harness.exchange(b"a", b"b")  # the line


def test_link() -> None:
    link = Link(Echo, Echo)
    link.connect()
    link.run_until(lambda: False)  # the line


async def test_peer() -> None:
    async with connected(Echo) as stream, peer(stream) as p:
        await p.send(b"a")
        await p.expect(b"b")  # the line


def test_codec() -> None:
    verify_codec(NetstringCodec, [(b"1:a,", [b"b"])])  # the line


def test_protocol() -> None:
    verify_protocol(Echo, [(b"a", b"b")])  # the line
