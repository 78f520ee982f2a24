"""A client that says SMTP's lines itself, and a server in memory to hear them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from examples._smtp_mail import Mail
from examples.smtp_sink import SMTP, SinkFactory
from tests.behaviour.tls_peers import authority
from tests.tls.handshakes import trusting, write
from trioproto.endpoints.certificates import Certificates
from trioproto.testing import MemoryServer, serving

HOST = "mx.example.org"
EHLO = b"EHLO client.example.org\r\n"
MAIL = b"MAIL FROM:<me@example.org>\r\n"
RCPT = b"RCPT TO:<you@example.org>\r\n"
BEGIN = EHLO + MAIL + RCPT + b"DATA\r\n"


class Kept(SinkFactory):
    """Keeps the mails where a test finds them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.host = HOST
        self.mails: list[Mail] = []
        self.sessions: list[SMTP] = []

    def build_protocol(self, peer: object) -> SMTP:
        self.sessions.append(SMTP())
        return self.sessions[-1]

    async def keep(self, mail: Mail, session: SMTP) -> None:
        await trio.lowlevel.checkpoint()
        self.mails.append(mail)

    @property
    def texts(self) -> list[bytes]:
        return [bytes(mail.text) for mail in self.mails]


class Client:
    """Reads reply by reply, so nobody has to guess when a server has said all."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.received = b""

    async def reply(self) -> list[str]:
        """The lines of the next reply."""
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            while b"\r\n" not in self.received:
                data = await self.stream.receive_some()
                assert data, f"the server has ended after {lines} {self.received!r}"
                self.received += data
            line, _, self.received = self.received.partition(b"\r\n")
            lines.append(line.decode("ascii"))
        assert {line[:3] for line in lines} == {lines[0][:3]}
        return lines

    async def codes(self, count: int) -> list[int]:
        return [int((await self.reply())[-1][:3]) for _ in range(count)]

    async def ask(self, data: bytes) -> list[int]:
        """Send commands all at once; return the code of each one's reply."""
        await self.stream.send_all(data)
        return await self.codes(data.count(b"\r\n"))

    async def send_mail(self, text: bytes) -> int:
        """From `MAIL` to the end of the text, which must be protected already."""
        assert await self.ask(MAIL + RCPT + b"DATA\r\n") == [250, 250, 354]
        await self.stream.send_all(text + b".\r\n")
        return (await self.codes(1))[0]

    async def rest(self) -> bytes:
        """Everything up to the server's EOF."""
        data = self.received
        while more := await self.stream.receive_some():
            data += more
        return data

    async def start_tls(self) -> None:
        """Shake hands; the server has agreed already."""
        assert self.received == b""
        context = trusting(authority(), check_hostname=True)
        self.stream = trio.SSLStream(
            self.stream, context, server_hostname=HOST, https_compatible=False
        )
        await self.stream.do_handshake()


async def call(server: MemoryServer[Any], **options: Any) -> Client:
    """Connect, and hear the greeting."""
    client = Client(await server.connect(**options))
    assert await client.reply() == [f"220 {vars(server.factory)['host']} ESMTP"]
    return client


@asynccontextmanager
async def talking(
    factory: SinkFactory | None = None, patience: float = 30, **options: Any
) -> AsyncIterator[Client]:
    """One client of a server in memory; it hangs up at the end."""
    with trio.fail_after(patience):
        async with serving(factory or Kept()) as server:
            yield await call(server, **options)


def certified(folder: Path, **options: Any) -> Kept:
    """A server that can do TLS."""
    files = write(folder, "mx", authority().issue_cert(HOST))
    return Kept(certificates=Certificates([files], **options))
