"""Networks, as a user writes them, and who is in them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trioproto.layers.networks import is_trusted, parse_networks, peer_group
from trioproto.layers.opening import Networks
from trioproto.sansio.addresses import Credentials, TCPAddress, UnixAddress, UnknownAddress


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("10.0.0.0/8", ["10.0.0.0/8"]),
        ("10.0.0.1", ["10.0.0.1/32"]),
        ("::1", ["::1/128"]),
        ("fe80::/10", ["fe80::/10"]),
        ("0.0.0.0/0,::/0", ["0.0.0.0/0", "::/0"]),
        (" 10.0.0.0/8 , ::1,  192.168.1.5 ", ["10.0.0.0/8", "::1/128", "192.168.1.5/32"]),
        ("::ffff:10.0.0.0/104", ["10.0.0.0/8"]),
        ("::ffff:10.0.0.1", ["10.0.0.1/32"]),
        ("::ffff:0:0/96", ["0.0.0.0/0"]),
    ],
)
def test_networks_and_addresses_are_read(text: str, networks: list[str]) -> None:
    assert parse_networks(text) == tuple(map(ip_network, networks))


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("", ""),
        (" ", ""),
        ("10.0.0.0/8,", ""),
        ("10.0.0.0/8,,::1", ""),
        ("10.0.0.1/8", "10.0.0.1/8"),
        ("::1/64", "::1/64"),
        ("::1,10.0.0.0/33", "10.0.0.0/33"),
        ("::/129,::1", "::/129"),
        ("10.0.0.0/", "10.0.0.0/"),
        ("10.0.0.0/8/8", "10.0.0.0/8/8"),
        ("10.0.0.0/-8", "10.0.0.0/-8"),
        ("10.0.0.0/+8", "10.0.0.0/+8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/255.0.0.0"),
        ("10.0.0.0/0.255.255.255", "10.0.0.0/0.255.255.255"),
        ("10.0.0", "10.0.0"),
        ("010.0.0.0/8", "010.0.0.0/8"),
        ("10.0.0.0 /8", "10.0.0.0 /8"),
        ("10.0.0.0/8 ::1", "10.0.0.0/8 ::1"),
        ("localhost", "localhost"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("unix", "unix"),
        ("*", "*"),
    ],
)
def test_what_is_no_network_is_refused_by_name(text: str, bad: str) -> None:
    with pytest.raises(ValueError, match="is no network") as caught:
        parse_networks(text)
    assert str(caught.value).startswith(f"{bad!r} is no network")


@pytest.mark.parametrize(
    ("host", "networks", "trusted"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.2", "10.0.0.1", False),
        ("10.0.0.2", "::1,10.0.0.2", True),
        ("::1", "::1", True),
        ("::2", "::1", False),
        ("::1", "0.0.0.0/0", False),
        ("1.2.3.4", "::/0", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("::ffff:a01:203", "10.0.0.0/8", True),
        ("::ffff:11.1.2.3", "10.0.0.0/8", False),
        ("::ffff:10.1.2.3", "::ffff:10.0.0.0/104", True),
        ("10.1.2.3", "::ffff:10.0.0.0/104", True),
        ("::ffff:10.1.2.3", "::/0", False),
        ("::ffff:0.0.0.0", "0.0.0.0", True),
        ("::ffff:0.0.0.0", "::/0", False),
        ("fe80::1%eth0", "fe80::/10", True),
        ("fe80::1%eth0", "fe80::1", True),
        ("fec0::1%eth0", "fe80::/10", False),
        ("::ffff:10.1.2.3%eth0", "10.0.0.0/8", True),
        ("localhost", "0.0.0.0/0,::/0", False),
        ("", "0.0.0.0/0,::/0", False),
    ],
)
def test_a_peer_is_trusted_if_a_network_has_its_address(
    host: str, networks: str, trusted: bool
) -> None:
    assert is_trusted(TCPAddress(host, 1), parse_networks(networks)) is trusted


def test_without_a_network_no_address_is_trusted() -> None:
    assert not is_trusted(TCPAddress("127.0.0.1", 1), ())


@pytest.mark.parametrize("networks", [(), parse_networks("10.0.0.0/8")])
def test_a_unix_peer_is_always_trusted_and_an_unknown_one_never(
    networks: Networks,
) -> None:
    assert is_trusted(UnixAddress(""), networks)
    assert is_trusted(UnixAddress("@a", Credentials(1, 2, 3)), networks)
    assert not is_trusted(UnknownAddress(), networks)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.integers(0, 31))
def test_an_address_is_in_a_network_if_they_begin_with_the_same_bits(
    address: int, prefix: int, changed: int
) -> None:
    free = 32 - prefix
    networks = parse_networks(f"{IPv4Address(address >> free << free)}/{prefix}")
    assert is_trusted(TCPAddress(str(IPv4Address(address)), 1), networks)
    other = IPv4Address(address ^ 1 << changed)
    assert is_trusted(TCPAddress(str(other), 1), networks) is (changed < free)
    assert is_trusted(TCPAddress(f"::ffff:{other}", 1), networks) is (changed < free)


# Who are one peer

V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None)  # type: ignore[union-attr]
PREFIXES = {"ipv4_prefix": st.integers(0, 32), "ipv6_prefix": st.integers(0, 128)}


def group(host: object, ipv4_prefix: int = 32, ipv6_prefix: int = 64, port: int = 1) -> Any:
    return peer_group(TCPAddress(str(host), port), ipv4_prefix, ipv6_prefix)


@given(one=V4, other=V4, **PREFIXES)
def test_ipv4_peers_are_one_if_they_are_in_one_network(
    one: Any, other: Any, ipv4_prefix: int, ipv6_prefix: int
) -> None:
    network = ip_network(f"{one}/{ipv4_prefix}", strict=False)
    same = group(one, ipv4_prefix, ipv6_prefix) == group(other, ipv4_prefix, ipv6_prefix)
    assert same == (other in network)


@given(one=V6, bit=st.integers(0, 127), **PREFIXES)
def test_ipv6_peers_are_one_if_they_differ_only_behind_the_prefix(
    one: Any, bit: int, ipv4_prefix: int, ipv6_prefix: int
) -> None:
    other = IPv6Address(int(one) ^ (1 << (127 - bit)))
    assume(other.ipv4_mapped is None)
    same = group(one, ipv4_prefix, ipv6_prefix) == group(other, ipv4_prefix, ipv6_prefix)
    assert same == (bit >= ipv6_prefix)


@given(address=V4, other=V4, **PREFIXES)
def test_ipv4_in_ipv6_is_ipv4(address: Any, other: Any, ipv4_prefix: int, ipv6_prefix: int) -> None:
    mapped = IPv6Address(0xFFFF_0000_0000 | int(other))
    assert group(mapped, ipv4_prefix, ipv6_prefix) == group(other, ipv4_prefix, ipv6_prefix)
    assert group(other, ipv4_prefix, ipv6_prefix) != group("::1", ipv4_prefix, ipv6_prefix)
    assert group(f"::ffff:{address}", 32) == group(address, 32)


@given(one=st.ip_addresses(), ports=st.tuples(st.integers(0, 65535), st.integers(0, 65535)))
def test_ports_and_zones_make_no_difference(one: Any, ports: tuple[int, int]) -> None:
    assert group(one, port=ports[0]) == group(one, port=ports[1])
    if isinstance(one, IPv6Address):
        assert group(f"{one}%eth0") == group(one) == group(one.exploded)


@given(one=V4, other=V6)
def test_an_ipv4_peer_is_never_an_ipv6_one(one: Any, other: Any) -> None:
    for prefix in (0, 1, 32):
        assert group(one, prefix, prefix) != group(other, prefix, prefix)


@given(
    uids=st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    path=st.sampled_from(["", "/x", "@y"]),
)
def test_unix_peers_are_one_if_they_are_the_same_user(uids: tuple[int, int], path: str) -> None:
    one, other = (
        peer_group(UnixAddress(name, Credentials(pid, uid, gid)), 32, 64)
        for uid, pid, gid, name in zip(uids, (1, 2), (3, 4), ("", path), strict=True)
    )
    assert (one == other) == (uids[0] == uids[1])
    assert one is not None
    assert one != group("0.0.0.0")


@pytest.mark.parametrize(
    "peer",
    [
        UnixAddress("/run/x", None),
        UnknownAddress("memory"),
        TCPAddress("no address", 1),
        TCPAddress("", 1),
        TCPAddress("example.org", 1),
    ],
)
def test_who_is_not_known_is_not_counted(peer: Any) -> None:
    assert peer_group(peer, 32, 64) is None
    assert peer_group(peer, 0, 0) is None
