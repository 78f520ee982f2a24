"""Which names a certificate has, found by trying it.

Python's ``ssl`` shows what a certificate says only to a peer that has verified
it. So a client in memory connects to the server's context, trusting just this
certificate; that it can is worth knowing anyway, before anybody else tries.
"""

from __future__ import annotations

import ssl
from typing import Any

from trioproto.endpoints.pem import PEMFile

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL: expired or not, it has the same names."""
_ROUNDS = 10
"""More than any handshake takes."""


def names_of(context: ssl.SSLContext, chain: str, file: PEMFile) -> list[str]:
    """Return the names and addresses that a server's certificate is for.

    These are the DNS names and IP addresses of ``subjectAltName``; the common
    name only if there is no such extension.

    Args:
        context: the server's, which must not demand a client's certificate yet.
        chain: its certificates in PEM form, its own first.
        file: where that came from, for messages.

    Raises:
        EndpointError: no client could use the certificate.
    """
    try:
        found = _try(context, chain)
    except ssl.SSLCertVerificationError as exc:
        fix = "give a certificate made for servers"
        raise file.error(f"would be refused by clients: {exc.verify_message}", fix) from exc
    except ssl.SSLError as exc:
        reason = (exc.reason or str(exc)).lower().replace("_", " ")
        fix = "give a certificate with a usual kind of key: RSA, P-256, Ed25519"
        raise file.error(f"cannot be used by clients: {reason}", fix) from exc
    alternatives = found.get("subjectAltName", ())
    if alternatives:
        return [name for kind, name in alternatives if kind in ("DNS", "IP Address")]
    pairs = [pair for group in found.get("subject", ()) for pair in group]
    return [value for key, value in pairs if key == "commonName"]


def _try(context: ssl.SSLContext, chain: str) -> dict[str, Any]:
    """Shake hands until the client is content, and return what it has seen."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = _client_context(chain).wrap_bio(to_client, to_server)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_ROUNDS):
        if _go_on(client):
            break
        _go_on(server)
    return client.getpeercert() or {}


def _client_context(chain: str) -> ssl.SSLContext:
    """Make a context that trusts the first certificate of *chain*, whoever issued it."""
    end = "-----END CERTIFICATE-----\n"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=chain.partition(end)[0] + end)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    return context


def _go_on(session: ssl.SSLObject) -> bool:
    """Go as far as the peer has answered; return whether the handshake is done."""
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
