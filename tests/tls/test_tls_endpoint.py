"""TLS around another endpoint: what is bound, and what its connections go through."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network

import pytest
import trio
import trustme

from tests.serving.conversations import Greeter
from tests.serving.test_listeners import refuses
from tests.tls.handshakes import loaded, trusting
from trioproto import Factory, TCPAddress, open_server
from trioproto.endpoints import Bound, ServerEndpoint, TCPServerEndpoint
from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.endpoints.tls import TLSServerEndpoint
from trioproto.errors import EndpointError, ListenError
from trioproto.layers.opening import Opening
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.addresses import UnknownAddress
from trioproto.testing import MemoryListener

LOOPBACK = TCPServerEndpoint(0, "127.0.0.1")


class Given(ServerEndpoint):
    """Binds what it was given."""

    text = "given:"

    def __init__(self, *bound: Bound) -> None:
        self.bound = list(bound)
        self.tries = 0

    async def bind(self) -> list[Bound]:
        self.tries += 1
        return self.bound


def a_socket(opening: Opening) -> Bound:
    return Bound(socket.socket(), UnknownAddress("given"), "given:", opening=opening)


async def test_connections_begin_with_tls(files: CertificateFiles) -> None:
    endpoint = TLSServerEndpoint(LOOPBACK, Certificates([files]))
    (bound,) = await endpoint.bind()
    assert bound.opening.layers is not None
    (layer,) = bound.opening.layers()
    assert isinstance(layer, TLSLayer)
    assert bound.opening.trusted is None
    assert bound.text == endpoint.text == "tls:tcp\\:0\\:interface\\=127.0.0.1"
    bound.close()


async def test_the_certificates_are_kept_fresh_once_however_many_sockets_there_are(
    files: CertificateFiles,
) -> None:
    certificates = Certificates([files])
    bound = await TLSServerEndpoint(
        Given(a_socket(Opening()), a_socket(Opening())), certificates
    ).bind()
    assert [each.services for each in bound] == [[certificates.keep_fresh], []]
    for each in bound:
        each.close()


async def test_without_an_interval_there_is_nothing_to_run(files: CertificateFiles) -> None:
    endpoint = TLSServerEndpoint(LOOPBACK, Certificates([files], reload_interval=None))
    (bound,) = await endpoint.bind()
    assert bound.services == []
    bound.close()


async def test_a_context_of_ones_own_will_do(leaf: trustme.LeafCert) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    (bound,) = await TLSServerEndpoint(LOOPBACK, context).bind()
    assert bound.opening.layers is not None
    assert isinstance(bound.opening.layers()[0], TLSLayer)
    assert bound.services == []
    bound.close()


def test_a_clients_context_will_not_do() -> None:
    with pytest.raises(ValueError, match="PROTOCOL_TLS_SERVER"):
        TLSServerEndpoint(LOOPBACK, ssl.create_default_context())


async def test_bad_certificates_are_found_before_anything_is_bound(
    files: CertificateFiles,
) -> None:
    given = Given()
    bad = CertificateFiles(files.certificate, files.certificate)
    with pytest.raises(EndpointError, match="privateKey"):
        await TLSServerEndpoint(given, Certificates([bad])).bind()
    assert given.tries == 0


@pytest.mark.parametrize(
    ("opening", "said"),
    [
        (Opening(layers=tuple), "TLS inside already"),
        (
            Opening(trusted=(IPv4Network("10.0.0.0/8"),)),
            r"haproxy:trusted=NETWORKS:tls\:",
        ),
    ],
)
async def test_what_does_not_begin_plainly_is_refused_and_closed(
    files: CertificateFiles, opening: Opening, said: str
) -> None:
    listener = MemoryListener()
    released: list[bool] = []
    ready_made = Bound(listener, UnknownAddress("given"), "given:")
    ready_made.release = lambda: released.append(True)
    sock = a_socket(opening)
    with pytest.raises(EndpointError) as caught:
        await TLSServerEndpoint(Given(sock, ready_made), Certificates([files])).bind()
    assert said in str(caught.value)
    assert "tls:given\\\\:" in str(caught.value)
    assert isinstance(sock.source, socket.socket)
    assert sock.source.fileno() == -1
    assert await refuses(listener)
    assert released == [True]


async def test_a_port_in_use_is_a_listen_error_of_the_whole_endpoint(
    files: CertificateFiles,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place = f"{taken.getsockname()[1]}:interface=127.0.0.1"
        text = f"tls:{place}:privateKey={files.private_key}:certKey={files.certificate}"
        with pytest.raises(ListenError) as caught:
            async with open_server(Factory(Greeter), text):
                pass
    assert caught.value.endpoint == text


async def test_a_client_is_served(files: CertificateFiles, ca: trustme.CA) -> None:
    text = f"tls:0:interface=127.0.0.1:privateKey={files.private_key}:certKey={files.certificate}"
    with trio.fail_after(10):
        async with open_server(Factory(Greeter), text) as server:
            (address,) = server.addresses
            assert isinstance(address, TCPAddress)
            plain = await trio.open_tcp_stream("127.0.0.1", address.port)
            client = trio.SSLStream(plain, trusting(ca), server_hostname="www.example.org")
            assert await client.receive_some(5) == b"hello"
            (protocol,) = server.connections
            tls = protocol.transport.tls
            assert tls is not None
            assert tls.server_name == "www.example.org"
            await client.aclose()


class Database:
    """Finds contexts as users may, with what then goes wrong."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.asked: list[str | None] = []

    def find(self, name: str | None) -> ssl.SSLContext | None:
        self.asked.append(name)
        if name == "broken.example.org":
            raise ZeroDivisionError("the database is away")
        return None if name == "unknown.example.org" else self.context


async def hello(port: int, context: ssl.SSLContext, name: str) -> bytes:
    """What the server says first, or why it does not."""
    plain = await trio.open_tcp_stream("127.0.0.1", port)
    client = trio.SSLStream(plain, context, server_hostname=name)
    try:
        return bytes(await client.receive_some(5))
    except trio.BrokenResourceError as exc:
        return str(exc.__cause__).encode()
    finally:
        await trio.aclose_forcefully(client)


@asynccontextmanager
async def greeting(contexts: Database) -> AsyncIterator[int]:
    """Serve over TLS, and give the port."""
    endpoint = TLSServerEndpoint(LOOPBACK, contexts)
    with trio.fail_after(10):
        async with open_server(Factory(Greeter), endpoint) as server:
            (address,) = server.addresses
            assert isinstance(address, TCPAddress)
            yield address.port


async def test_who_finds_contexts_of_its_own_fails_for_one_client_only(
    files: CertificateFiles, ca: trustme.CA, logged_errors: list[logging.LogRecord]
) -> None:
    contexts = Database(loaded(files).context)
    async with greeting(contexts) as port:
        contexts.asked.clear()
        for name, said in (
            ("www.example.org", b"hello"),
            ("broken.example.org", b""),
            ("unknown.example.org", b"UNRECOGNIZED_NAME"),
            ("www.example.org", b"hello"),
        ):
            assert said in await hello(port, trusting(ca), name)
    assert [name for name in contexts.asked if name is not None] == [
        "www.example.org",
        "broken.example.org",
        "unknown.example.org",
        "www.example.org",
    ]
    (record,) = logged_errors
    assert "TLSLayer" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_who_finds_no_context_for_anybody_ends_no_server(
    files: CertificateFiles, ca: trustme.CA, logged_errors: list[logging.LogRecord]
) -> None:
    contexts = Database(loaded(files).context)
    async with greeting(contexts) as port:
        working = contexts.find
        contexts.find = None  # type: ignore[assignment, method-assign]
        assert await hello(port, trusting(ca), "www.example.org") != b"hello"
        contexts.find = working  # type: ignore[method-assign]
        assert await hello(port, trusting(ca), "www.example.org") == b"hello"
    (record,) = logged_errors
    assert "layers" in record.getMessage()
