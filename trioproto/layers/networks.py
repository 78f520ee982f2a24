"""Networks: which are trusted, and which peers are counted together."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from trioproto.layers.opening import Networks
from trioproto.sansio.addresses import Address, TCPAddress, UnixAddress

_MAPPED = IPv6Network("::ffff:0:0/96")


def parse_networks(text: str) -> Networks:
    """Read networks, as ``10.0.0.0/8, ::1``: with commas between, and spaces if you like.

    An address without a prefix length is a network of one. IPv4 networks that
    are written as IPv6 (``::ffff:10.0.0.0/104``) become IPv4 networks.

    Raises:
        ValueError: one is no network, and the message shows it: it is empty, it
            has a zone or a netmask with dots, or bits behind its prefix are set.
    """
    return tuple([_network(word.strip(" ")) for word in text.split(",")])


def is_trusted(peer: Address, networks: Networks) -> bool:
    """Whether *peer* is in one of *networks*.

    An IPv4 address that a dual-stack socket shows as IPv6 (``::ffff:10.0.0.1``)
    counts as the IPv4 address that it is, and as no other: it is not in ``::/0``.
    Zones (``fe80::1%eth0``) are ignored.

    A Unix peer is always trusted: who may connect is for the mode of the socket's
    file and its directory to say. What has no known address is never trusted.
    """
    if isinstance(peer, UnixAddress):
        return True
    if not isinstance(peer, TCPAddress):
        return False
    try:
        address = ip_address(peer.host.partition("%")[0])
    except ValueError:
        return False
    address = _as_it_is(address)
    return any(address in network for network in networks)


def _as_it_is(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that is inside an IPv6 address, if one is."""
    return getattr(address, "ipv4_mapped", None) or address


def _network(word: str) -> IPv4Network | IPv6Network:
    _, slash, prefix = word.partition("/")
    if "%" in word or (slash and not (prefix.isascii() and prefix.isdigit())):
        # The standard library takes zones, and a netmask either way round.
        raise ValueError(f"{word!r} is no network: write it as 10.0.0.0/8 or fe80::/10")
    try:
        network = ip_network(word)
    except ValueError as error:
        raise ValueError(f"{word!r} is no network: {error}") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        inside = int(network.network_address) & 0xFFFFFFFF
        return IPv4Network((inside, network.prefixlen - _MAPPED.prefixlen))
    return network


def peer_group(peer: Address, ipv4_prefix: int, ipv6_prefix: int) -> Hashable | None:
    """Return what tells the peers apart that are counted together; ``None``: *peer* is not counted.

    Peers are one group whose addresses have the same first bits. Unix peers are
    one group if they are the same user. An IPv4 address in an IPv6 one counts as IPv4.
    """
    if isinstance(peer, UnixAddress):
        return None if peer.credentials is None else ("user", peer.credentials.uid)
    if not isinstance(peer, TCPAddress):
        return None
    return _host_group(peer.host, ipv4_prefix, ipv6_prefix)


@lru_cache(maxsize=1024)
def _host_group(host: str, ipv4_prefix: int, ipv6_prefix: int) -> Hashable | None:
    """Answer for an address; it is asked for the same ones again, and parsing takes long."""
    try:
        address = _as_it_is(ip_address(host.partition("%")[0]))
    except ValueError:
        return None
    prefix = ipv4_prefix if address.version == 4 else ipv6_prefix
    return address.version, int(address) >> (address.max_prefixlen - prefix)
