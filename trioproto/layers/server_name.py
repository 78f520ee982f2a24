"""A server's contexts, and the names that they answer to.

Origin: RFC 6066 section 3 (server_name), RFC 6125 section 6.4 (wildcards).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


class ContextsByName:
    """The contexts of a server.

    Args:
        first: whom a client gets that asks for no name; and any client, if no
            names are added.
    """

    def __init__(self, first: ssl.SSLContext) -> None:
        self.first = first
        self._by_name: dict[str, ssl.SSLContext] = {}

    def add(self, names: Iterable[str], context: ssl.SSLContext) -> None:
        """Have *context* answer to *names*, but for those that are taken already."""
        for name in names:
            self._by_name.setdefault(_normal(name), context)

    def find(self, name: str | None) -> ssl.SSLContext | None:
        """Return who answers to *name*; a wildcard stands for the first label only."""
        if name is None or not self._by_name:
            return self.first
        name = _normal(name)
        parent = name.partition(".")[2]
        return self._by_name.get(name) or self._by_name.get(f"*.{parent}")


def _normal(name: str) -> str:
    """Give a name, or an address, the one form that it is looked up by."""
    try:
        return str(ip_address(name))
    except ValueError:
        return name.removesuffix(".").lower()
