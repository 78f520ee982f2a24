"""What two TLS peers have agreed on, and whom a server has to answer with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from ssl import SSLContext


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """The outcome of a TLS handshake.

    Attributes:
        version: ``"TLSv1.3"``, say.
        cipher: the cipher suite's name.
        alpn: the application protocol that was chosen, or ``None``.
        server_name: the name that the client asked for (SNI), or ``None``. On a
            server as it was sent, with backslashes for what is not ASCII.
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


class ServerContexts(Protocol):
    """Has a context for each name that clients ask for."""

    def find(self, name: str | None) -> SSLContext | None:
        """Return the context for *name* (``None``: it asked for none), or refuse with ``None``."""


TLSContext: TypeAlias = "SSLContext | ServerContexts"
"""The certificates and rules of one side; a server may have several."""
