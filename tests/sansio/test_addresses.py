"""Addresses: frozen values that print as endpoints."""

from __future__ import annotations

import dataclasses
import pickle
import socket
from typing import Any

import pytest

from trioproto import Credentials, TCPAddress, UnixAddress, UnknownAddress
from trioproto.sansio.addresses import Address, address_from_sockaddr


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (TCPAddress("127.0.0.1", 8007), "tcp:127.0.0.1:8007"),
        (TCPAddress("0.0.0.0", 0), "tcp:0.0.0.0:0"),
        (TCPAddress("::1", 8007), "tcp:[::1]:8007"),
        (TCPAddress("fe80::1%eth0", 80), "tcp:[fe80::1%eth0]:80"),
        (UnixAddress("/run/echo.sock"), "unix:/run/echo.sock"),
        (UnixAddress("@echo"), "unix:@echo"),
        (UnixAddress("", Credentials(7, 0, 0)), "unix: (pid 7)"),
        (UnknownAddress(), "stream"),
        (UnknownAddress("StapledStream"), "StapledStream"),
    ],
)
def test_an_address_prints_as_a_user_would_write_it(address: Address, text: str) -> None:
    assert str(address) == text


@pytest.mark.parametrize(
    ("sockaddr", "address"),
    [
        (("127.0.0.1", 8007), TCPAddress("127.0.0.1", 8007)),
        (("::1", 8007, 0, 0), TCPAddress("::1", 8007)),
        (("fe80::1%eth0", 8007, 0, 2), TCPAddress("fe80::1%eth0", 8007)),
        ("/run/echo.sock", UnixAddress("/run/echo.sock")),
        ("", UnixAddress("")),
        (b"\x00abstract", UnixAddress("@abstract")),
    ],
)
def test_an_address_is_made_of_what_the_socket_module_calls_one(
    sockaddr: Any, address: Address
) -> None:
    assert address_from_sockaddr(sockaddr) == address


@pytest.mark.parametrize("sockaddr", [(2, 1024), (0x86DD, 3, 0, 1), ("eth0", 3, 0, 1, b"\x02")])
def test_an_address_of_another_family_is_kept_as_its_text(sockaddr: Any) -> None:
    """Of AF_VSOCK, say, a machine's number and a port."""
    address = address_from_sockaddr(sockaddr)
    assert isinstance(address, UnknownAddress)
    assert str(sockaddr[0]) in str(address)


def test_the_address_of_a_real_socket_is_that_socket() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = address_from_sockaddr(listening.getsockname())
        assert address == TCPAddress("127.0.0.1", listening.getsockname()[1])


def test_equal_addresses_are_equal_and_have_one_place_in_a_set() -> None:
    one, same, other = TCPAddress("::1", 1), TCPAddress("::1", 1), TCPAddress("::1", 2)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert len({one, same, other, UnknownAddress(), UnknownAddress()}) == 3


@pytest.mark.parametrize("address", [TCPAddress("::1", 1), UnknownAddress("a pipe")])
def test_an_address_is_frozen_and_can_be_sent_elsewhere(address: Address) -> None:
    for field in dataclasses.fields(address):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(address, field.name, "other")
    assert pickle.loads(pickle.dumps(address)) == address
