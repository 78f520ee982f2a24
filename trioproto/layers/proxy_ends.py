"""The two ends that a PROXY header tells of: what both versions of it have in common."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal, TypeAlias

from trioproto.sansio.addresses import Address, TCPAddress
from trioproto.sansio.errors import ProxyHeaderError

Transport: TypeAlias = Literal[
    "UNSPEC", "TCP4", "TCP6", "UDP4", "UDP6", "UNIX_STREAM", "UNIX_DGRAM"
]
"""What a client speaks, and over what; ``UNSPEC``, in version 1 ``UNKNOWN``: something else."""

Family: TypeAlias = type[IPv4Address] | type[IPv6Address]

FAMILIES: Final[dict[Transport, Family]] = {
    "TCP4": IPv4Address,
    "UDP4": IPv4Address,
    "TCP6": IPv6Address,
    "UDP6": IPv6Address,
}
"""The addresses of the transports that have ports."""


def check_start(begun: bytes, start: bytes, problem: str) -> None:
    """See that a header which has *begun* is on its way to begin with *start*.

    Raises:
        ProxyHeaderError: it is not; the first wrong byte is shown.
    """
    if begun.startswith(start):
        return
    for offset, (byte, right) in enumerate(zip(begun, start, strict=False)):
        if byte != right:
            raise ProxyHeaderError(problem, offset, begun[offset : offset + 1])


def shown(ip: IPv4Address | IPv6Address) -> str:
    """Return an address as sockets show it, on any version of Python.

    An IPv4 address inside an IPv6 address is written with dots.
    """
    inside = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return f"::ffff:{inside}" if inside is not None else str(ip)


def parse_host(host: str, family: Family) -> IPv4Address | IPv6Address:
    """Read a numeric address.

    Raises:
        ValueError: it is none of this family, or has a zone.
    """
    if "%" in host:
        raise ValueError(f"{host!r} has a zone, which means nothing to another machine")
    try:
        return family(host)
    except ValueError:
        raise ValueError(f"{host!r} is no {family.__name__}") from None


def check_end(end: Address | None, family: Family) -> tuple[IPv4Address | IPv6Address, int]:
    """Return the numbers of an end that is to be written.

    Raises:
        ValueError: the header cannot say it.
    """
    if not isinstance(end, TCPAddress):
        raise ValueError(f"{end!r} is no address with a port")
    if not 0 <= end.port <= 65535:
        raise ValueError(f"{end!r} has no port from 0 to 65535")
    return parse_host(end.host, family), end.port


def check_no_ends(source: Address | None, destination: Address | None) -> None:
    """See that a header which says nothing of its ends has none.

    Raises:
        ValueError: it has.
    """
    if source is not None or destination is not None:
        raise ValueError("a header without a known transport has no addresses")
