"""A protocol of lines that goes on in TLS when it is told to, as SMTP's does."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from tests.tls.client_side import Client, Talk, default_server
from tests.tls.over_wire import Speaker
from trioproto.errors import ConnectionClosed
from trioproto.framing import LineReceiver

COMMAND = b"STARTTLS"
GO = b"220 go\r\n"


class Upgrading(LineReceiver):
    """Answers each line with an OK; notes what it hears.

    Attributes:
        upgrade: what it does at ``STARTTLS``; by default it answers, and upgrades.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context = context or default_server()
        self.heard: list[bytes | str] = []
        self.reasons: list[ConnectionClosed] = []

    @property
    def reason(self) -> ConnectionClosed:
        (reason,) = self.reasons
        return reason

    @property
    def lines(self) -> list[bytes]:
        return [each for each in self.heard if isinstance(each, bytes)]

    def upgrade(self) -> Any:
        self.transport.write(GO)
        self.transport.start_tls(self.context)

    def connection_made(self) -> Any:
        self.heard.append("connection_made")

    def line_received(self, line: bytes) -> Any:
        self.heard.append(line)
        if line == COMMAND:
            return self.upgrade()
        self.send_line(b"OK " + line)
        return None

    def eof_received(self) -> Any:
        self.heard.append("eof_received")

    def timed_out(self) -> Any:
        self.heard.append("timed_out")
        return super().timed_out()

    def quiesce(self) -> Any:
        self.heard.append("quiesce")
        return super().quiesce()

    def connection_lost(self, reason: ConnectionClosed) -> None:
        self.heard.append("connection_lost")
        self.reasons.append(reason)


def in_plain(protocol: Any, client: Client | None = None, **options: Any) -> Talk:
    """Connect a protocol without TLS; its client is ready to begin with it."""
    return Talk(protocol, client, layers=lambda: (), **options)


def told_to(protocol: Any, client: Client | None = None, **options: Any) -> Talk:
    """Connect and say ``STARTTLS``; the client has the answer, and not begun yet."""
    talk = in_plain(protocol, client, **options)
    talk.harness.feed(COMMAND + b"\r\n")
    assert talk.harness.take() == GO
    return talk


def upgraded(protocol: Any, client: Client | None = None, **options: Any) -> Talk:
    """The same, with the handshake done."""
    talk = told_to(protocol, client, **options)
    talk.exchange()
    assert talk.client.shaken
    return talk


class Does(Upgrading):
    """Upgrades as it is told to, perhaps in an async callback."""

    def __init__(self, act: Callable[[Does], Awaitable[None] | None]) -> None:
        super().__init__()
        self.act = act

    def upgrade(self) -> Any:
        return self.act(self)


async def told(service: Any, client: Client | None = None, *, extra: bytes = b"") -> Speaker:
    """Say ``STARTTLS`` and wait for the answer."""
    speaker = Speaker(await service.connect(), client)
    await speaker.peer.send(COMMAND + b"\r\n" + extra)
    assert await speaker.peer.receive_exactly(len(GO)) == GO
    return speaker


async def in_an_async_callback(self: Does) -> None:
    await trio.lowlevel.checkpoint()
    self.transport.write(GO)
    await trio.lowlevel.checkpoint()
    self.transport.start_tls(self.context)


def in_a_plain_callback(self: Does) -> None:
    self.transport.write(GO)
    self.transport.start_tls(self.context)
