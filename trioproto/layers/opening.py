"""What a connection goes through before its protocol hears of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

from trioproto.sansio.layer import Layer

Networks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Opening:
    """The steps between accepting a connection and ``connection_made``.

    Attributes:
        trusted: the networks that a PROXY header is taken from, and which have to
            send one; ``None``: there is no header.
        layers: makes the layers of one connection, from the stream up.
        server_side: whether the connection is accepted, and not made by us.
    """

    trusted: Networks | None = None
    layers: Callable[[], tuple[Layer, ...]] | None = None
    server_side: bool = True

    @property
    def proxied(self) -> bool:
        """Whether only a PROXY header says who the peer is."""
        return self.trusted is not None

    @property
    def layered(self) -> bool:
        """Whether it begins with a handshake of its layers."""
        return self.layers is not None


PLAIN = Opening()
"""Nothing: the protocol hears of the connection at once."""
