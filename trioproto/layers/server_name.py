"""The name that a TLS client asks for (SNI), and the certificate that answers to it.

Origin: RFC 6066 section 3 (server_name), RFC 6125 section 6.4 (wildcards).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from ipaddress import ip_address


class NamedSSLObject(ssl.SSLObject):
    """A server's side of a connection, which keeps the name that its client asked for.

    Attributes:
        server_name: the name as it was sent, or ``None``; known after the handshake.
    """

    server_name: str | None = None


def keep_name(context: ssl.SSLContext) -> None:
    """Have what is made of *context* keep the name; whatever it is, it is served."""
    context.sslobject_class = NamedSSLObject
    context.sni_callback = _keep


class ContextsByName:
    """The contexts of a server with several certificates.

    Args:
        first: whom a client gets that asks for no name.
    """

    def __init__(self, first: ssl.SSLContext) -> None:
        self._by_name: dict[str, ssl.SSLContext] = {}
        first.sslobject_class = NamedSSLObject
        first.sni_callback = self._choose

    def add(self, names: Iterable[str], context: ssl.SSLContext) -> None:
        """Have *context* answer to *names*, but for those that are taken already."""
        for name in names:
            self._by_name.setdefault(_normal(name), context)

    def find(self, name: str) -> ssl.SSLContext | None:
        """Return who answers to *name*; a wildcard stands for the first label only."""
        name = _normal(name)
        parent = name.partition(".")[2]
        return self._by_name.get(name) or self._by_name.get(f"*.{parent}")

    def _choose(
        self, session: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        """Change over to the name's context, or refuse with an alert."""
        _keep(session, name, context)
        if name is None:
            return None
        found = self.find(name)
        if found is None:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        session.context = found
        return None


def _keep(session: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
    assert isinstance(session, NamedSSLObject)
    session.server_name = name


def _normal(name: str) -> str:
    """Give a name, or an address, the one form that it is looked up by."""
    try:
        return str(ip_address(name))
    except ValueError:
        return name.removesuffix(".").lower()
