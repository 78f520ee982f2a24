"""The pieces of code that the pages on listening and connecting show.

Each is included from here, and run by ``test_snippets_listening.py``.
"""

from __future__ import annotations

import ssl
from functools import partial
from pathlib import Path

import trio

import trioproto
from examples.echo import Echo
from trioproto import Address, Factory, Protocol, ProxyHeader, UnixAddress
from trioproto.endpoints import (
    CertificateFiles,
    Certificates,
    ClientEndpoint,
    TCPClientEndpoint,
    TCPServerEndpoint,
    TLSClientEndpoint,
    TLSServerEndpoint,
)
from trioproto.framing import LineReceiver
from trioproto.layers import TLVType

# TLS


class Secure(LineReceiver):
    """Tells each client what the handshake has agreed on, then sends its lines back."""

    def connection_made(self) -> None:
        tls = self.transport.tls
        said = "no TLS" if tls is None else f"{tls.version}, {tls.alpn or 'no ALPN'}"
        self.send_line(said.encode())

    def line_received(self, line: bytes) -> None:
        self.send_line(line)


def two_sites(folder: Path) -> TLSServerEndpoint:
    names = ("www", "mail")
    certificates = Certificates(
        [CertificateFiles(folder / f"{name}.pem", folder / f"{name}.key") for name in names],
        alpn=["h2", "http/1.1"],
        minimum_version=ssl.TLSVersion.TLSv1_3,
        reload_interval=60,
    )
    return TLSServerEndpoint(TCPServerEndpoint(0, "127.0.0.1"), certificates)


def own_context(folder: Path) -> TLSServerEndpoint:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "www.pem", folder / "www.key")
    context.num_tickets = 0
    return TLSServerEndpoint(TCPServerEndpoint(0, "127.0.0.1"), context)


async def serve_by_hand(
    factory: Factory[Secure],
    context: ssl.SSLContext,
    task_status: trio.TaskStatus[list[trio.SocketListener]],
) -> None:
    handle = partial(factory.handle, tls=context)
    async with factory:
        await trio.serve_tcp(handle, 0, host="127.0.0.1", task_status=task_status)


class Members(LineReceiver):
    """Greets by the name in the client's certificate."""

    def connection_made(self) -> None:
        assert self.transport.tls is not None
        certificate = self.transport.tls.peer_certificate
        assert certificate is not None  # clientCA= lets nobody in without
        names = [name for kind, name in certificate["subjectAltName"] if kind == "email"]
        self.send_line(b"hello, " + names[0].encode())


# STARTTLS


class Discreet(LineReceiver):
    """Speaks of nothing before TLS is on."""

    factory: DiscreetFactory

    def line_received(self, line: bytes) -> None:
        if self.transport.tls is not None:
            self.send_line(b"you said " + line)
        elif line == b"STARTTLS":
            self.send_line(b"begin")
            self.transport.start_tls(self.factory.context)
        else:
            self.send_line(b"say STARTTLS first")


class DiscreetFactory(Factory[Discreet]):
    protocol = Discreet

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context


class DiscreetClient(LineReceiver):
    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.heard: list[bytes] = []

    def connection_made(self) -> None:
        self.send_line(b"STARTTLS")

    def line_received(self, line: bytes) -> None:
        if self.transport.tls is None:
            self.transport.start_tls(self.context, server_hostname="www.example.org")
            self.send_line(b"hello")  # waits for the handshake
        else:
            self.heard.append(line)
            self.transport.close()


# The PROXY protocol


class Visitors(LineReceiver):
    """Tells each client how it came here."""

    def connection_made(self) -> None:
        header = self.transport.proxy_header
        self.send_line(f"from {self.transport.peer} to {self.transport.local}".encode())
        if header is not None and (name := header.tlv(TLVType.AUTHORITY)) is not None:
            self.send_line(b"by the name of " + name)


class OnBehalf(Protocol):
    """A client that says for whom it connects, as a proxy does."""

    def __init__(self, header: ProxyHeader) -> None:
        self.header = header
        self.heard = b""

    def connection_made(self) -> None:
        self.transport.write(self.header.encode())

    def data_received(self, data: bytes) -> None:
        self.heard += data


class Proxied(ClientEndpoint):
    """Another endpoint, to which each connection begins with a PROXY header."""

    def __init__(self, inner: ClientEndpoint, header: ProxyHeader) -> None:
        self.inner = inner
        self.header = header
        self.text = f"PROXY header to {inner}"

    async def open(self) -> trio.abc.Stream:
        stream = await self.inner.open()
        try:
            await stream.send_all(self.header.encode())
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream


def tls_on_behalf(port: int, header: ProxyHeader, context: ssl.SSLContext) -> ClientEndpoint:
    inner = Proxied(TCPClientEndpoint("127.0.0.1", port), header)
    return TLSClientEndpoint(inner, "www.example.org", context)


# Unix sockets


class OwnersOnly(Factory[Echo]):
    """Lets in who runs as the same user as the server; the kernel says who that is."""

    protocol = Echo

    def __init__(self, owner: int) -> None:
        self.owner = owner

    def build_protocol(self, peer: Address) -> Echo | None:
        credentials = peer.credentials if isinstance(peer, UnixAddress) else None
        if credentials is None or credentials.uid != self.owner:
            return None
        return super().build_protocol(peer)


# Clients


class Question(LineReceiver):
    """Keeps the first line that comes, and closes."""

    answer: bytes | None = None

    def line_received(self, line: bytes) -> None:
        self.answer = line
        self.transport.close()


async def ask(endpoint: str | ClientEndpoint, question: bytes) -> bytes | None:
    async with trioproto.connect(endpoint, Question()) as asker:
        asker.send_line(question)
        await asker.transport.wait_closed()
    return asker.answer


class Listener(LineReceiver):
    """One connection to a source of news."""

    factory: Newsroom

    def connection_made(self) -> None:
        self.send_line(b"tell me all")

    def line_received(self, line: bytes) -> None:
        self.factory.news.append(line)


class Newsroom(Factory[Listener]):
    protocol = Listener
    idle_timeout = None  # there may be no news for long

    def __init__(self) -> None:
        self.news: list[bytes] = []


async def collect_news(endpoint: str, seconds: float) -> list[bytes]:
    newsroom = Newsroom()
    async with trioproto.stay_connected(newsroom, endpoint) as kept:
        await kept.wait_connected()
        await trio.sleep(seconds)
    return newsroom.news
