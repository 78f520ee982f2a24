"""One connection, as it looks at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trioproto.sansio.addresses import Address
    from trioproto.sansio.connection import Connection
    from trioproto.sansio.tls_info import TLSInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInfo:
    """What is known of one connection, at the moment when it was asked.

    Attributes:
        peer: the other side's address.
        local: our own.
        protocol: the qualified name of its protocol's class.
        state: ``"opening"`` (the TLS handshake is not done), ``"open"``,
            ``"read_ended"`` or ``"write_ended"`` (one side has ended),
            ``"flushing"``, ``"lingering"`` or ``"ended"`` (it closes).
        draining: whether it was told that the server drains.
        age: seconds since its protocol was built.
        idle_for: seconds since the peer last sent something, or we began to wait
            for it.
        bytes_received: bytes that came, as they were on the wire.
        bytes_sent: bytes that the kernel, or the stream, has taken.
        buffered: bytes that wait to be sent.
        tls: what the TLS handshake agreed on, or ``None``.
    """

    peer: Address
    local: Address
    protocol: str
    state: str
    draining: bool
    age: float
    idle_for: float
    bytes_received: int
    bytes_sent: int
    buffered: int
    tls: TLSInfo | None


def info_of(connection: Connection) -> ConnectionInfo:
    """Describe a connection that has not been let go."""
    now = connection._driver.time()
    return ConnectionInfo(
        peer=connection.peer,
        local=connection.local,
        protocol=class_name(connection.protocol),
        state=connection.state.name.lower(),
        draining=connection.draining,
        age=now - connection.began_at,
        idle_for=now - connection.active_at,
        bytes_received=connection.bytes_received,
        bytes_sent=connection.bytes_sent,
        buffered=connection.buffered,
        tls=connection.tls,
    )


def age_of(connection: Connection) -> float:
    """Return for how many seconds there has been a connection."""
    return connection._driver.time() - connection.began_at


def class_name(thing: object) -> str:
    """Return the qualified name of a thing's class, with its module."""
    kind = type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"
