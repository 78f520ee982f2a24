"""The two contexts of a TLS connection in a test."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from trioproto.sansio.tls_info import TLSContext

TLSContexts: TypeAlias = "tuple[TLSContext, ssl.SSLContext]"
"""The server's, and the client's."""

SERVER_NAME = "localhost"
"""The name in the certificates that are made here."""

_MISSING = (
    "tls=True makes certificates with trustme, which is not installed: "
    "pip install trustme, or give tls=(server_context, client_context)"
)


def contexts_of(tls: Literal[True] | TLSContexts) -> TLSContexts:
    """Return the contexts that were given, or new ones; these take about 4 ms to make.

    Raises:
        ImportError: there is no trustme to make them with.
    """
    if tls is not True:
        return tls
    try:
        import trustme
    except ImportError as error:
        raise ImportError(_MISSING, name="trustme") from error
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificate = authority.issue_cert(SERVER_NAME, key_type=trustme.KeyType.ECDSA)
    certificate.configure_cert(server)
    authority.configure_trust(client)
    return server, client
