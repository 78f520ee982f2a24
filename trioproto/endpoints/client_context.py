"""What a TLS client trusts, and shows."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from trioproto.endpoints.certificate_files import CertificateFiles, load_pair, set_rules
from trioproto.endpoints.pem import FilePath, authorities


def client_context(
    trust_roots: FilePath | None = None,
    certificate: CertificateFiles | None = None,
    alpn: Sequence[str] = (),
    minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
    *,
    text: str = "tls",
) -> ssl.SSLContext:
    """Make a context that verifies the server, its name too.

    Blocks for as long as the disk does.

    Args:
        trust_roots: a PEM file, or a folder of such files (``.pem``, ``.crt``,
            ``.cer``), with the authorities to trust; ``None``: the system's.
        certificate: what to show to a server that asks for one.
        alpn: application protocols to offer, the preferred first.
        minimum_version: TLS 1.2 or 1.3.
        text: the endpoint as the user wrote it, for messages.

    Raises:
        OSError: a file cannot be read.
        EndpointError: a file is not what it should be, or a key does not match
            its certificate.
    """
    try:
        roots = None if trust_roots is None else authorities(trust_roots, "trustRoots", text)
        context = ssl.create_default_context(cadata=roots)
        set_rules(context, alpn, minimum_version, text)
        if certificate is not None:
            load_pair(context, certificate, text, "certificate")
    except OSError as exc:
        raise OSError(exc.errno, f"endpoint {text!r}: {exc.strerror or exc}") from exc
    return context
