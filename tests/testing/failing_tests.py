"""Tests that fail, to see what pytest shows: `test_shown_lines.py` runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from hypothesis import strategies as st
from trio.testing import MockClock

from trioproto import Factory, Protocol
from trioproto.framing import NetstringCodec
from trioproto.testing import Harness, Link, Session, connected, peer, verify_codec, verify_protocol
from trioproto.testing.stateful import ProtocolMachine


class Echo(Protocol):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Faulty(Protocol):
    def data_received(self, data: bytes) -> None:
        int(data)  # the line


class Async(Protocol):
    async def data_received(self, data: bytes) -> None:
        pass


class Endless(Factory[Echo]):
    protocol = Echo

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        yield
        await trio.sleep_forever()


class EchoMachine(ProtocolMachine):
    messages = st.just(b"a")

    def make_factory(self) -> Factory[Any]:
        return Factory(Echo)

    def check(self) -> None:
        for each in self.live:
            each.check_received(b"")  # the line


class FaultyMachine(EchoMachine):
    def make_factory(self) -> Factory[Any]:
        return Factory(Faulty)


def say_a(machine: EchoMachine) -> None:
    peer = machine.let_in()
    assert peer is not None
    peer.send(b"a", b"a")
    machine.settle()


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


async def test_left_to_a_peer() -> None:
    async with connected(Echo) as stream, peer(stream) as p:  # the line
        await p.send(b"a")


def test_session() -> None:
    session = Session.parse("< a\n> b\n")
    session.replay(Echo)  # the line


def test_codec() -> None:
    verify_codec(NetstringCodec, [(b"1:a,", [b"b"])])  # the line


def test_protocol() -> None:
    verify_protocol(Echo, [(b"a", b"b")])  # the line


def test_machine() -> None:
    say_a(EchoMachine())


def test_callback_in_a_harness() -> None:
    harness = Harness(Faulty)
    harness.connect()
    harness.exchange(b"a", b"a")


def test_callback_in_a_link() -> None:
    link = Link(Echo, Faulty)
    client, _ = link.connect()
    client.transport.write(b"a")
    link.settle()


def test_callback_in_a_verifier() -> None:
    verify_protocol(Faulty, [(b"a", b"a")])


def test_callback_in_a_machine() -> None:
    say_a(FaultyMachine())


def test_async_callback() -> None:
    harness = Harness(Async)
    harness.connect()
    harness.feed(b"a")  # the line


async def test_lifespan_that_does_not_end(autojump_clock: MockClock) -> None:
    async with connected(Endless()):  # the line
        pass
