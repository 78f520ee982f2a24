"""Certificates in files, and handshakes in memory."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.errors import HandshakeFailed
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.tls_info import TLSInfo

ROUNDS = 10
TEXT = "tls:8443:privateKey=www.key"
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@dataclass
class Pair:
    """Two ends of one TLS connection, OpenSSL's client and our server, and what went wrong."""

    client: ssl.SSLObject
    server: TLSLayer
    to_client: ssl.MemoryBIO
    to_server: ssl.MemoryBIO
    client_error: ssl.SSLError | None = None
    server_error: Exception | None = None

    @property
    def seen(self) -> TLSInfo:
        """What the server knows of it."""
        assert self.server.tls is not None
        return self.server.tls

    @property
    def names(self) -> set[str]:
        """The names in the certificate that the client was shown."""
        found: Any = self.client.getpeercert()
        return {name for _, name in found["subjectAltName"]}

    def talk(self) -> bytes:
        """Say hello both ways; return what arrived."""
        self.client.write(b"hello")
        heard = self.server.receive(self.to_server.read())
        self.to_client.write(self.server.send(heard + b", you"))
        return self.client.read(100)

    def go_on(self) -> None:
        """Let each side do what it can with what the other has sent."""
        self.client_error = self.client_error or _go_on(self.client)
        if self.to_server.pending and self.server_error is None:
            try:
                self.server.receive(self.to_server.read())
            except HandshakeFailed as exc:
                cause = exc.__cause__
                self.server_error = cause if isinstance(cause, ssl.SSLError) else exc
            self.to_client.write(self.server.output())

    def go_on_in_pieces(self, size: int) -> None:
        """Let the client say something, of which the server gets so many bytes at a time."""
        self.client_error = self.client_error or _go_on(self.client)
        while self.to_server.pending:
            self.server.receive(self.to_server.read(size))
        self.to_client.write(self.server.output())


def shake(
    server: ssl.SSLContext | Certificates,
    client: ssl.SSLContext,
    name: str | None = None,
    session: ssl.SSLSession | None = None,
) -> Pair:
    """Shake hands until both are content, or one is not."""
    pair = begin(server, client, name, session)
    for _ in range(ROUNDS):
        pair.go_on()
    return pair


def begin(
    server: ssl.SSLContext | Certificates,
    client: ssl.SSLContext,
    name: str | None = None,
    session: ssl.SSLSession | None = None,
) -> Pair:
    """Make both ends, which have said nothing yet."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    return Pair(
        client.wrap_bio(to_client, to_server, server_hostname=name, session=session),
        TLSLayer(server, server_side=True),
        to_client,
        to_server,
    )


def _go_on(session: ssl.SSLObject) -> ssl.SSLError | None:
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    except ssl.SSLError as exc:
        return exc
    return None


def loaded(*files: CertificateFiles, **options: Any) -> Certificates:
    certificates = Certificates(files, text=TEXT, **options)
    certificates.load()
    return certificates


def problem_of(kind: type[Exception], *files: CertificateFiles, **options: Any) -> str:
    """Load what cannot be loaded; return what is said beside the endpoint's text."""
    with pytest.raises(kind) as caught:
        loaded(*files, **options)
    assert type(caught.value) is kind
    said = str(caught.value)
    assert repr(TEXT) in said
    return said.replace(repr(TEXT), "")


def trusting(ca: trustme.CA, *, check_hostname: bool = False) -> ssl.SSLContext:
    """Make a client's context that trusts *ca*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_hostname
    ca.configure_trust(context)
    return context


def write(folder: Path, name: str, leaf: trustme.LeafCert) -> CertificateFiles:
    """Write ``NAME.pem``, with the chain, and ``NAME.key``."""
    files = CertificateFiles(folder / f"{name}.pem", folder / f"{name}.key")
    Path(files.certificate).write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
    Path(files.private_key).write_bytes(leaf.private_key_pem.bytes())
    return files


def encrypted(leaf: trustme.LeafCert, form: PrivateFormat) -> bytes:
    """Return the key as PEM with a password."""
    key: Any = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    return bytes(key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret")))


def without_servers_usage(ca: trustme.CA, leaf: trustme.LeafCert) -> bytes:
    """Issue the certificate again, for clients only."""
    old = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    builder = x509.CertificateBuilder(
        issuer_name=old.issuer,
        subject_name=old.subject,
        public_key=old.public_key(),
        serial_number=old.serial_number,
        not_valid_before=old.not_valid_before_utc,
        not_valid_after=old.not_valid_after_utc,
    )
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    signer: Any = load_pem_private_key(ca.private_key_pem.bytes(), None)
    issued = builder.add_extension(usage, critical=True).sign(signer, hashes.SHA256())
    return issued.public_bytes(Encoding.PEM)
