"""A certificate that can be trusted, but not be read, fails one handshake and nothing else.

A host name of it is no text: OpenSSL does not mind, Python does.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtensionOID

from tests.behaviour.drivers import SocketPeer
from tests.behaviour.tls_peers import NAME, authority
from tests.tls.client_side import (
    VERSIONS,
    Client,
    Talk,
    clients_leaf,
    for_client,
    for_server,
    leaf,
    one_warning,
)
from tests.tls.over_wire import Echoes, Speaker
from trioproto import Factory, TCPAddress, connect, open_server, run_protocol
from trioproto.endpoints import (
    StreamClientEndpoint,
    TCPServerEndpoint,
    TLSClientEndpoint,
    TLSServerEndpoint,
)
from trioproto.errors import HandshakeFailed
from trioproto.testing.conformance.recorder import Recorder

Dial = Callable[[TCPAddress, Client], Speaker]

NO_TEXT = b"\xff\xfe.example"


def dns_names(*names: bytes) -> x509.UnrecognizedExtension:
    """Make the extension by hand, as no library will: the names need not be text."""
    inner = b"".join(b"\x82" + bytes([len(name)]) + name for name in names)
    value = b"\x30" + bytes([len(inner)]) + inner
    return x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, value)


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """Write a certificate and its key; it is for the server's name as well."""
    old = x509.load_pem_x509_certificate(leaf().cert_chain_pems[0].bytes())
    builder = x509.CertificateBuilder(
        issuer_name=old.issuer,
        subject_name=old.subject,
        public_key=old.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=old.not_valid_before_utc,
        not_valid_after=old.not_valid_after_utc,
    )
    signer: Any = load_pem_private_key(authority().private_key_pem.bytes(), None)
    odd = builder.add_extension(dns_names(NAME.encode(), NO_TEXT), critical=False)
    issued = odd.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM)
    path = tmp_path / "unreadable.pem"
    path.write_bytes(issued + leaf().private_key_pem.bytes())
    return path


def showing(path: Path, version: str) -> Client:
    context = for_client(version)
    context.load_cert_chain(path)
    return Client(context)


def for_anyone(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@pytest.fixture
def dial() -> Iterator[Dial]:
    dialled: list[SocketPeer] = []

    def dial(address: TCPAddress, client: Client) -> Speaker:
        dialled.append(SocketPeer(socket.create_connection((address.host, address.port))))
        return Speaker(dialled[-1], client)

    yield dial
    for peer in dialled:
        peer.discard()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_clients_is_refused_in_one_line(
    unreadable: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    protocol = Recorder()
    talk = Talk(protocol, showing(unreadable, version), context=for_server(version, asks=True))
    talk.exchange()
    talk.harness.advance(talk.transport.settings.linger + 1)
    assert protocol.heard == []
    assert type(talk.transport.reason) is HandshakeFailed
    assert "certificate cannot be read" in one_warning(caplog)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_clients_is_no_end_of_the_server(
    unreadable: Path, dial: Dial, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who came before, and who comes after, is served."""
    inner = TCPServerEndpoint(0, "127.0.0.1")
    endpoint = TLSServerEndpoint(inner, for_server(version, asks=True))
    async with open_server(Factory(Echoes), endpoint) as server:
        (address,) = server.addresses
        assert isinstance(address, TCPAddress)

        good = [dial(address, Client(for_client(version, shows=clients_leaf()))) for _ in range(2)]
        await good[0].shake()
        odd = dial(address, showing(unreadable, version))
        await odd.tell()
        while not odd.ended:
            await odd.hear()
            await odd.tell()
        await good[1].shake()
        for speaker in good:
            await speaker.say(b"hello")
            assert await speaker.receive_exactly(5) == b"hello"
        for speaker in (*good, odd):
            speaker.peer.discard()
    assert "certificate cannot be read" in one_warning(caplog)


async def test_a_servers_is_a_connection_error_of_connect(unreadable: Path) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    endpoint = TLSClientEndpoint(StreamClientEndpoint(ours), NAME, for_client())
    protocol = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_protocol(Recorder(), theirs, tls=for_anyone(unreadable)))
        with pytest.raises(ConnectionError, match="certificate cannot be read"):
            async with connect(endpoint, protocol):
                raise AssertionError
    assert protocol.heard == []
