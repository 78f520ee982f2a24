"""What two TLS peers have agreed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """The outcome of a TLS handshake.

    Attributes:
        version: ``"TLSv1.3"``, say.
        cipher: the cipher suite's name.
        alpn: the application protocol that was chosen, or ``None``.
        server_name: the name that the client asked for (SNI), or ``None``. On a
            server it is known if the library chose the certificate.
        peer_certificate: the peer's certificate as ``ssl.SSLSocket.getpeercert``
            shows it; ``None`` if there is none, empty if it was not verified.
        peer_certificate_der: the same as DER, verified or not, or ``None``.
        resumed: whether an earlier session was taken up again.
    """

    version: str
    cipher: str
    alpn: str | None
    server_name: str | None
    peer_certificate: dict[str, Any] | None
    peer_certificate_der: bytes | None
    resumed: bool
