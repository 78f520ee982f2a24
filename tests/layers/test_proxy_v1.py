"""Version 1 of the PROXY header: one line of text."""

from __future__ import annotations

import pytest

from tests.layers.headers import CLIENT, SERVER, TCP4, HeaderCodec, malformed, read
from trioproto.layers.proxy_header import ProxyHeader, Transport
from trioproto.sansio.addresses import Address, TCPAddress, UnixAddress, UnknownAddress
from trioproto.testing import Case, verify_codec

UNKNOWN = b"PROXY UNKNOWN\r\n"
WORST = b"PROXY UNKNOWN " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n"


def between(transport: Transport, source: str, destination: str) -> ProxyHeader:
    return ProxyHeader(
        1, "PROXY", transport, TCPAddress(source, 56324), TCPAddress(destination, 443)
    )


def test_the_examples_of_the_specification_are_read_in_any_split() -> None:
    """Section 2.1: the example, the longest lines, and the short one."""
    longest4 = b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"
    longest6 = WORST.replace(b"UNKNOWN", b"TCP6")
    assert [len(longest4), len(longest6), len(UNKNOWN), len(WORST)] == [56, 104, 15, 107]
    broadcast = TCPAddress("255.255.255.255", 65535)
    last = TCPAddress("ffff:" * 7 + "ffff", 65535)
    verify_codec(
        HeaderCodec,
        [
            (TCP4, [ProxyHeader(1, "PROXY", "TCP4", CLIENT, SERVER)]),
            (longest4, [ProxyHeader(1, "PROXY", "TCP4", broadcast, broadcast)]),
            (longest6, [ProxyHeader(1, "PROXY", "TCP6", last, last)]),
            (UNKNOWN, [ProxyHeader(1)]),
            (WORST, [ProxyHeader(1)]),
            (TCP4 + UNKNOWN, [ProxyHeader(1, "PROXY", "TCP4", CLIENT, SERVER), ProxyHeader(1)]),
            Case(UNKNOWN + TCP4[:-1], [ProxyHeader(1)], rest=TCP4[:-1]),
        ],
    )


@pytest.mark.parametrize(
    ("written", "host"),
    [
        (b"::", "::"),
        (b"::1", "::1"),
        (b"2001:DB8::a", "2001:db8::a"),
        (b"2001:0db8:0000:0000:0000:0000:0000:000a", "2001:db8::a"),
        (b"::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        (b"::ffff:a00:1", "::ffff:10.0.0.1"),
        (b"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
    ],
)
def test_an_ipv6_address_has_one_form_however_it_was_written(written: bytes, host: str) -> None:
    """So that a limit for each peer cannot be had several times."""
    data = b"PROXY TCP6 " + written + b" ::2 56324 443\r\n"
    verify_codec(HeaderCodec, [(data, [between("TCP6", host, "::2")])])


@pytest.mark.parametrize("port", [0, 1, 9, 10, 65535])
def test_ports_are_numbers_of_two_bytes(port: int) -> None:
    data = b"PROXY TCP4 1.2.3.4 5.6.7.8 %d %d\r\n" % (port, 65535 - port)
    source, destination = TCPAddress("1.2.3.4", port), TCPAddress("5.6.7.8", 65535 - port)
    verify_codec(HeaderCodec, [(data, [ProxyHeader(1, "PROXY", "TCP4", source, destination)])])


@pytest.mark.parametrize(
    "ignored", [b"", b" ", b"  ", b" TCP4 1.2.3.4", b" \0\xff", b" PROXY TCP4", b" \t"]
)
def test_what_follows_unknown_is_ignored(ignored: bytes) -> None:
    verify_codec(HeaderCodec, [(b"PROXY UNKNOWN" + ignored + b"\r\n", [ProxyHeader(1)])])


@pytest.mark.parametrize("length", [106, 107])
def test_a_line_up_to_107_bytes_passes(length: int) -> None:
    data = b"PROXY UNKNOWN ".ljust(length - 2, b"x") + b"\r\n"
    verify_codec(HeaderCodec, [(data, [ProxyHeader(1)])])


@pytest.mark.parametrize("length", [108, 109, 300])
def test_a_longer_line_is_refused_at_its_107th_byte(length: int) -> None:
    data = b"PROXY UNKNOWN ".ljust(length - 2, b"x") + b"\r\n"
    verify_codec(
        HeaderCodec,
        [
            (data, [], malformed(106, data[106:107])),
            (data[:107], [], malformed(106, data[106:107])),
            Case(data[:106], [], rest=data[:106]),
        ],
    )


@pytest.mark.parametrize(
    ("line", "offset", "found"),
    [
        # The start: at the first byte that shows it.
        (b"GET / HTTP/1.1\r\n", 0, b"G"),
        (b"\x16\x03\x01\x02\0", 0, b"\x16"),
        (b"proxy TCP4 ", 0, b"p"),
        (b" PROXY TCP4 ", 0, b" "),
        (b"\nPROXY TCP4 ", 0, b"\n"),
        (b"\0", 0, b"\0"),
        (b"POST / HTTP/1.1\r\n", 1, b"O"),
        (b"PROXY\r\n", 5, b"\r"),
        (b"PROXY\tTCP4 ", 5, b"\t"),
        (b"PROXYTCP4 ", 5, b"T"),
        # The keyword.
        (b"PROXY \r\n", 6, b""),
        (b"PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 6, b""),
        (b"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", 6, b"tcp4"),
        (b"PROXY TCP 1.2.3.4 5.6.7.8 1 2\r\n", 6, b"TCP"),
        (b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", 6, b"UDP4"),
        (b"PROXY TCP46 1.2.3.4 5.6.7.8 1 2\r\n", 6, b"TCP46"),
        (b"PROXY UNKNOWNS\r\n", 6, b"UNKNOWNS"),
        (b"PROXY UNKNOWN\t\r\n", 6, b"UNKNOWN\t"),
        (b"PROXY unknown\r\n", 6, b"unknown"),
        # The addresses.
        (b"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", 11, b""),
        (b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", 19, b""),
        (b"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", 11, b"1.2.3"),
        (b"PROXY TCP4 1.2.3.4.5 5.6.7.8 1 2\r\n", 11, b"1.2.3.4.5"),
        (b"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", 11, b"01.2.3.4"),
        (b"PROXY TCP4 1.2.3.00 5.6.7.8 1 2\r\n", 11, b"1.2.3.00"),
        (b"PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", 11, b"1.2.3.256"),
        (b"PROXY TCP4 1.2.3.-4 5.6.7.8 1 2\r\n", 11, b"1.2.3.-4"),
        (b"PROXY TCP4 1.2.3.+4 5.6.7.8 1 2\r\n", 11, b"1.2.3.+4"),
        (b"PROXY TCP4 0x1.2.3.4 5.6.7.8 1 2\r\n", 11, b"0x1.2.3.4"),
        (b"PROXY TCP4 16909060 5.6.7.8 1 2\r\n", 11, b"16909060"),
        (b"PROXY TCP4 1.2.3.\xb2 5.6.7.8 1 2\r\n", 11, b"1.2.3.\xb2"),
        (b"PROXY TCP4 localhost 5.6.7.8 1 2\r\n", 11, b"localhost"),
        (b"PROXY TCP4 1.2.3.4/32 5.6.7.8 1 2\r\n", 11, b"1.2.3.4/32"),
        (b"PROXY TCP4 ::1 5.6.7.8 1 2\r\n", 11, b"::1"),
        (b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n", 19, b"::1"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8.9 1 2\r\n", 19, b"5.6.7.8.9"),
        (b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n", 11, b"1.2.3.4"),
        (b"PROXY TCP6 ::1 1.2.3.4 1 2\r\n", 15, b"1.2.3.4"),
        (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", 11, b"fe80::1%eth0"),
        (b"PROXY TCP6 [::1] ::1 1 2\r\n", 11, b"[::1]"),
        (b"PROXY TCP6 ::1::2 ::1 1 2\r\n", 11, b"::1::2"),
        (b"PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n", 11, b"1:2:3:4:5:6:7"),
        (b"PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n", 11, b"1:2:3:4:5:6:7:8:9"),
        (b"PROXY TCP6 00001::1 ::1 1 2\r\n", 11, b"00001::1"),
        (b"PROXY TCP6 g::1 ::1 1 2\r\n", 11, b"g::1"),
        (b"PROXY TCP6 ::ffff:01.2.3.4 ::1 1 2\r\n", 11, b"::ffff:01.2.3.4"),
        # The ports.
        (b"PROXY TCP4 1.2.3.4 5.6.7.8  1 2\r\n", 27, b""),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1  2\r\n", 29, b""),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", 27, b"01"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 00 2\r\n", 27, b"00"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", 27, b"+1"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", 27, b"-1"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1_0 2\r\n", 27, b"1_0"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 \xb2 2\r\n", 27, b"\xb2"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", 27, b"65536"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", 29, b"65536"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 100000\r\n", 29, b"100000"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 http\r\n", 29, b"http"),
        # Words that are missing, or one too many.
        (b"PROXY TCP4\r\n", 10, b"\r\n"),
        (b"PROXY TCP4 1.2.3.4\r\n", 18, b"\r\n"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8\r\n", 26, b"\r\n"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", 28, b"\r\n"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n", 29, b""),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", 30, b" "),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", 30, b" 3"),
        # The end.
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", 30, b"\n"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rGET /\r\n", 31, b"G"),
        (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n", 31, b"\r"),
        (b"PROXY TCP4 1.2.3.4\r5.6.7.8 1 2\r\n", 19, b"5"),
        (b"PROXY UNKNOWN\n", 13, b"\n"),
        (b"PROXY UNKNOWN ignored\nGET /\r\n", 21, b"\n"),
        (b"PROXY UNKNOWN ignored\rGET /\r\n", 22, b"G"),
        (b"PROXY UNKNOWN ignored\rGET /" + b"x" * 100, 22, b"G"),
        (b"PROXY UNKNOWN ignored\nGET /" + b"x" * 100, 21, b"\n"),
        (b"PROXY UNKNOWN ".ljust(105) + b"\rx\n", 106, b"x"),
        (b"PROXY UNKNOWN ".ljust(106) + b"\r\n", 106, b"\r"),
        (b"PROXY UNKNOWN ".ljust(106) + b"\n", 106, b"\n"),
    ],
)
def test_a_line_that_is_not_exactly_right_is_refused(
    line: bytes, offset: int, found: bytes
) -> None:
    error = malformed(offset, found)
    unknown = ProxyHeader(1)
    verify_codec(HeaderCodec, [(line, [], error), (UNKNOWN + line, [unknown], error)])


@pytest.mark.parametrize(
    ("transport", "source", "destination", "said"),
    [
        ("TCP4", TCPAddress("::1", 1), SERVER, "'::1' is no IPv4"),
        ("TCP4", CLIENT, TCPAddress("::1", 1), "'::1' is no IPv4"),
        ("TCP4", TCPAddress("localhost", 1), SERVER, "'localhost' is no IPv4"),
        ("TCP4", TCPAddress("1.2.3.4\r\n", 1), SERVER, "is no IPv4"),
        ("TCP4", TCPAddress("", 1), SERVER, "'' is no IPv4"),
        ("TCP4", TCPAddress("1.2.3.4", 65536), SERVER, "no port"),
        ("TCP4", TCPAddress("1.2.3.4", -1), SERVER, "no port"),
        ("TCP4", UnixAddress("/run/a"), SERVER, "no address with a port"),
        ("TCP4", UnknownAddress(), SERVER, "no address with a port"),
        ("TCP4", None, SERVER, "None is no address with a port"),
        ("TCP4", CLIENT, None, "None is no address with a port"),
        ("TCP6", CLIENT, SERVER, "'192.168.0.1' is no IPv6"),
        ("TCP6", TCPAddress("fe80::1%eth0", 1), TCPAddress("::1", 1), "zone"),
        ("UDP4", CLIENT, SERVER, "cannot say UDP4"),
        ("UNIX_STREAM", UnixAddress("/a"), UnixAddress("/b"), "cannot say UNIX_STREAM"),
        ("UNSPEC", CLIENT, SERVER, "no addresses"),
        ("UNSPEC", None, SERVER, "no addresses"),
    ],
)
def test_what_version_1_cannot_say_is_not_written(
    transport: Transport, source: Address | None, destination: Address | None, said: str
) -> None:
    header = ProxyHeader(1, "PROXY", transport, source, destination)
    with pytest.raises(ValueError, match=said):
        header.encode()


@pytest.mark.parametrize(
    "header",
    [
        ProxyHeader(1, "LOCAL"),
        ProxyHeader(1, "PROXY", "TCP4", CLIENT, SERVER, ((4, b""),)),
    ],
)
def test_version_1_has_neither_local_nor_tlvs(header: ProxyHeader) -> None:
    with pytest.raises(ValueError, match="neither LOCAL nor TLVs"):
        header.encode()


def test_addresses_are_written_in_their_usual_form() -> None:
    header = between("TCP6", "2001:DB8:0:0:0:0:0:A", "::ffff:a00:1")
    assert header.encode() == b"PROXY TCP6 2001:db8::a ::ffff:10.0.0.1 56324 443\r\n"
    assert read(header.encode()) == between("TCP6", "2001:db8::a", "::ffff:10.0.0.1")
