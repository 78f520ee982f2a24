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
from trioproto.layers.server_name import NamedSSLObject

ROUNDS = 10
TEXT = "tls:8443:privateKey=www.key"
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@dataclass
class Pair:
    """Two ends of one TLS connection, and what went wrong at each."""

    client: ssl.SSLObject
    server: ssl.SSLObject
    client_error: ssl.SSLError | None = None
    server_error: ssl.SSLError | None = None

    @property
    def server_name(self) -> str | None:
        assert isinstance(self.server, NamedSSLObject)
        return self.server.server_name

    @property
    def names(self) -> set[str]:
        """The names in the certificate that the client was shown."""
        found: Any = self.client.getpeercert()
        return {name for _, name in found["subjectAltName"]}

    def talk(self) -> bytes:
        """Say hello both ways; return what arrived."""
        self.client.write(b"hello")
        self.server.write(self.server.read(100) + b", you")
        return self.client.read(100)


def shake(
    server: ssl.SSLContext | Certificates, client: ssl.SSLContext, name: str | None = None
) -> Pair:
    """Shake hands until both are content, or one is not."""
    context = server.context if isinstance(server, Certificates) else server
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    pair = Pair(
        client.wrap_bio(to_client, to_server, server_hostname=name),
        context.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(ROUNDS):
        pair.client_error = pair.client_error or _go_on(pair.client)
        pair.server_error = pair.server_error or _go_on(pair.server)
    if isinstance(pair.client_error, ssl.SSLWantReadError):
        pair.client_error = None
    return pair


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
