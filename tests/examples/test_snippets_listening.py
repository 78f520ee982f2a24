"""The code that the pages on listening and connecting show does what the pages say."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme

import trioproto
from examples.echo import Echo
from tests.examples.running import PATIENCE, REPOSITORY
from tests.examples.snippets_listening import (
    DiscreetClient,
    DiscreetFactory,
    Members,
    OnBehalf,
    OwnersOnly,
    Secure,
    Visitors,
    ask,
    collect_news,
    own_context,
    serve_by_hand,
    tls_on_behalf,
    two_sites,
)
from trioproto import Factory, ProxyHeader, TCPAddress
from trioproto.endpoints import parse_client_endpoint, parse_endpoint
from trioproto.errors import ConnectionDone, EndpointError
from trioproto.framing import LineReceiver
from trioproto.layers import TLVType

LOOPBACK = "tcp:0:interface=127.0.0.1"
HEADER = ProxyHeader.between(
    TCPAddress("192.0.2.1", 50000),
    TCPAddress("192.0.2.9", 443),
    tlvs=((TLVType.AUTHORITY, b"www.example.org"),),
)
FROM_HEADER = b"from tcp:192.0.2.1:50000 to tcp:192.0.2.9:443\r\nby the name of www.example.org\r\n"


class Fickle(LineReceiver):
    """A source that goes away after each line."""

    def line_received(self, line: bytes) -> None:
        assert line == b"tell me all"
        self.send_line(b"news")
        self.transport.close()


def port_of(server: trioproto.Server[Any]) -> int:
    (address,) = server.addresses
    assert isinstance(address, TCPAddress)
    return address.port


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(ca: trustme.CA, tmp_path: Path) -> Path:
    """Has the certificates of two sites, and the authority's."""
    for name in ("www", "mail"):
        issued = ca.issue_cert(f"{name}.example.org")
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        (tmp_path / f"{name}.pem").write_bytes(chain)
        (tmp_path / f"{name}.key").write_bytes(issued.private_key_pem.bytes())
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path


@pytest.fixture
def serving(ca: trustme.CA) -> ssl.SSLContext:
    """A server's context for www.example.org."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("www.example.org").configure_cert(context)
    return context


@pytest.fixture
def trusting(ca: trustme.CA) -> ssl.SSLContext:
    """A client's context."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


async def open_tls(
    port: int, context: ssl.SSLContext, name: str = "www.example.org"
) -> trio.SSLStream[trio.SocketStream]:
    raw = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(raw, context, server_hostname=name)
    await stream.do_handshake()
    return stream


async def read_line(stream: trio.abc.ReceiveStream) -> bytes:
    line = b""
    with trio.fail_after(PATIENCE):
        while not line.endswith(b"\r\n"):
            more = await stream.receive_some()
            assert more, line
            line += bytes(more)
    return line


# What the pages say of endpoint strings


def page(name: str) -> str:
    return (REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "parse"), [("listening", parse_endpoint), ("clients", parse_client_endpoint)]
)
def test_all_kinds_of_endpoints_are_listed(name: str, parse: Callable[[str], object]) -> None:
    """The first column of the first table has strings that are right, and no kind is left out."""
    listed = re.findall(r"^\| \[?`(\w+:[^`]*)`", page(name), re.MULTILINE)
    for string in listed:
        parse(string)
    with pytest.raises(EndpointError) as caught:
        parse("?")
    known = caught.value.problem.partition("known are: ")[2].split(", ")
    assert {string.partition(":")[0] for string in listed} | {"ssl"} == set(known)


@pytest.mark.parametrize(
    ("string", "where"),
    [
        ("tcp:8007", "listening"),
        ("unix:/run/x", "listening"),
        ("systemd:index=0", "listening"),
        ("tls:8443:privateKey=x", "tls"),
        ("tcp:host:80", "clients"),
        ("unix:/run/x", "clients"),
        ("tls:host:443", "clients"),
    ],
)
def test_all_keywords_are_told(string: str, where: str) -> None:
    """An unknown keyword is answered with all that there are; each stands in a table."""
    parse = parse_client_endpoint if where == "clients" else parse_endpoint
    with pytest.raises(EndpointError) as caught:
        parse(f"{string}:?=")
    known = set(caught.value.problem.partition("known are: ")[2].split(", "))
    cells = re.findall(r"^\| (`[^|]*) \|", page(where), re.MULTILINE)
    told = {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}
    assert known - {"port", "endpoint"} <= told


def test_errors_look_as_they_are_shown() -> None:
    """Each message about a bad string is the one that it gives."""
    shown = re.findall(r"^endpoint '(.*?)': .*$", page("listening"), re.MULTILINE)
    assert len(shown) == 4
    for string in shown:
        with pytest.raises(EndpointError) as caught:
            parse_endpoint(string)
        assert f"\n{caught.value}\n" in page("listening")


# TLS


@pytest.mark.parametrize("name", ["www.example.org", "mail.example.org"])
async def test_each_site_shows_its_own_certificate(
    name: str, folder: Path, trusting: ssl.SSLContext
) -> None:
    """The client checks the name; what was agreed on is known from connection_made on."""
    trusting.set_alpn_protocols(["http/1.1"])
    async with (
        trioproto.open_server(Factory(Secure), two_sites(folder)) as server,
        await open_tls(port_of(server), trusting, name) as client,
    ):
        assert await read_line(client) == b"TLSv1.3, http/1.1\r\n"
        await client.send_all(b"hello\r\n")
        assert await read_line(client) == b"hello\r\n"


async def test_a_context_of_ones_own_serves_too(folder: Path, trusting: ssl.SSLContext) -> None:
    async with (
        trioproto.open_server(Factory(Secure), own_context(folder)) as server,
        await open_tls(port_of(server), trusting) as client,
    ):
        assert await read_line(client) == b"TLSv1.3, no ALPN\r\n"


async def test_trios_own_accept_loop_serves_tls(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(serve_by_hand, Factory(Secure), serving)
        port = listener.socket.getsockname()[1]
        async with await open_tls(port, trusting) as client:
            assert await read_line(client) == b"TLSv1.3, no ALPN\r\n"
        nursery.cancel_scope.cancel()


async def test_a_member_is_known_by_the_certificate(
    ca: trustme.CA, folder: Path, trusting: ssl.SSLContext
) -> None:
    ca.issue_cert("ann@example.org").configure_cert(trusting)
    files = f"privateKey={folder}/www.key:certKey={folder}/www.pem:clientCA={folder}/ca.pem"
    endpoint = f"tls:0:interface=127.0.0.1:{files}"
    async with (
        trioproto.open_server(Factory(Members), endpoint) as server,
        await open_tls(port_of(server), trusting) as client,
    ):
        assert await read_line(client) == b"hello, ann@example.org\r\n"


async def test_tls_over_a_memory_stream(serving: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """No socket, no port, and the handshake is a real one."""
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(Factory(Echo).handle, theirs, tls=serving))
        async with trio.SSLStream(ours, trusting, server_hostname="www.example.org") as client:
            await client.send_all(b"hello")
            assert await client.receive_some() == b"hello"


# STARTTLS


async def test_starttls_on_both_sides(serving: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """What is written after start_tls waits for the handshake, and is encrypted."""
    factory = DiscreetFactory(serving)
    async with trioproto.open_server(factory, LOOPBACK) as server:
        endpoint = f"tcp:127.0.0.1:{port_of(server)}"
        async with trioproto.connect(endpoint, DiscreetClient(trusting)) as client:
            with trio.fail_after(PATIENCE):
                assert type(await client.transport.wait_closed()) is ConnectionDone
    assert client.heard == [b"you said hello"]
    assert client.transport.tls is not None


async def test_what_came_with_starttls_is_never_heard(
    serving: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """A command sent in plain behind STARTTLS resets the connection."""
    ours, theirs = trio.testing.memory_stream_pair()
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(DiscreetFactory(serving).handle, theirs)
            await ours.send_all(b"hello\r\n")
            assert await read_line(ours) == b"say STARTTLS first\r\n"
            await ours.send_all(b"STARTTLS\r\nDELETE ALL\r\n")
    assert "plaintext before the TLS handshake: b'DELETE ALL" in caplog.text


# The PROXY protocol


async def receive_all(stream: trio.abc.ReceiveStream) -> bytes:
    with trio.fail_after(PATIENCE):
        return b"".join([chunk async for chunk in stream])


async def test_the_header_says_who_the_client_is() -> None:
    """Its addresses are the transport's, and its TLVs can be read."""
    endpoint = f"haproxy:trusted=127.0.0.0/8:{LOOPBACK}"
    async with trioproto.open_server(Factory(Visitors), endpoint) as server:
        target = f"tcp:127.0.0.1:{port_of(server)}"
        async with trioproto.connect(target, OnBehalf(HEADER)) as client:
            client.transport.write_eof()
            with trio.fail_after(PATIENCE):
                await client.transport.wait_closed()
    assert client.heard == FROM_HEADER


async def test_the_header_comes_before_tls(folder: Path, trusting: ssl.SSLContext) -> None:
    files = f"privateKey={folder}/www.key:certKey={folder}/www.pem"
    endpoint = f"haproxy:trusted=127.0.0.0/8:tls:0:interface=127.0.0.1:{files}"
    async with trioproto.open_server(Factory(Visitors), endpoint) as server:
        target = tls_on_behalf(port_of(server), HEADER, trusting)
        assert await ask(target, b"") == FROM_HEADER.splitlines()[0]


# Unix sockets


async def test_a_unix_peer_is_known_to_the_kernel(tmp_path: Path) -> None:
    """The server's own user is let in, and another is not."""
    path = f"{tmp_path}/s"
    async with trioproto.open_server(OwnersOnly(os.getuid()), f"unix:{path}"):
        assert await ask(f"unix:{path}", b"hello") == b"hello"
    async with (
        trioproto.open_server(OwnersOnly(os.getuid() + 1), f"unix:{path}"),
        await trio.open_unix_socket(path) as client,
    ):
        assert await receive_all(client) == b""


# Clients


async def test_a_question_is_answered() -> None:
    async with trioproto.open_server(Factory(Echo), LOOPBACK) as server:
        assert await ask(f"tcp:127.0.0.1:{port_of(server)}", b"hello") == b"hello"


async def test_news_go_on_after_the_source_was_away(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Each connection asks again, without a word from the user."""
    async with trioproto.open_server(Factory(Fickle), LOOPBACK) as server:
        news = await collect_news(f"tcp:127.0.0.1:{port_of(server)}", 3)
    assert len(news) >= 2
    assert set(news) == {b"news"}
