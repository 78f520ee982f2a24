"""Version 2 of the PROXY header: binary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.layers.headers import (
    BINARY_TCP4,
    CLIENT,
    SERVER,
    SIGNATURE,
    HeaderCodec,
    binary,
    malformed,
    read,
)
from trioproto.layers.crc32c import crc32c
from trioproto.layers.proxy_header import ProxyHeader, TLVType, Transport
from trioproto.sansio.addresses import (
    Address,
    Credentials,
    TCPAddress,
    UnixAddress,
    UnknownAddress,
)
from trioproto.testing import Case, verify_codec

PROXIED = ProxyHeader(2, "PROXY", "TCP4", CLIENT, SERVER)
ENDS4 = BINARY_TCP4[16:]
ENDS6 = bytes.fromhex("20010DB8 00000000 00000000 0000000A 00000000 00000000 0000FFFF 0A000001")
PORTS = bytes.fromhex("DC04 01BB")
# As HAProxy 2.6 sent it, with the options crc32c and unique-id.
SUMMED = SIGNATURE + bytes.fromhex(
    "21 11 001E 7F000001 7F000001 E35C 25E7 03 0004 12C888C3 05 0008 6162632D38363035"
)


def path(start: bytes) -> bytes:
    return start.ljust(108, b"\0")


def limited() -> HeaderCodec:
    return HeaderCodec(max_length=40)


@pytest.mark.parametrize(("code", "transport"), [(0x11, "TCP4"), (0x12, "UDP4")])
def test_ipv4_addresses_are_read_in_any_split(code: int, transport: Transport) -> None:
    data = binary(bytes([0x21, code]), ENDS4)
    header = ProxyHeader(2, "PROXY", transport, CLIENT, SERVER)
    verify_codec(HeaderCodec, [(data, [header]), Case(data + data[:-1], [header], rest=data[:-1])])
    assert header.encode() == data


@pytest.mark.parametrize(("code", "transport"), [(0x21, "TCP6"), (0x22, "UDP6")])
def test_ipv6_addresses_are_read_in_any_split(code: int, transport: Transport) -> None:
    data = binary(bytes([0x21, code]), ENDS6 + PORTS)
    source, destination = TCPAddress("2001:db8::a", 56324), TCPAddress("::ffff:10.0.0.1", 443)
    header = ProxyHeader(2, "PROXY", transport, source, destination)
    verify_codec(HeaderCodec, [(data, [header])])
    assert header.encode() == data


@pytest.mark.parametrize(("code", "transport"), [(0x31, "UNIX_STREAM"), (0x32, "UNIX_DGRAM")])
@pytest.mark.parametrize(
    ("field", "name"),
    [
        (path(b"/run/echo.sock"), "/run/echo.sock"),
        (path(b""), ""),
        (path(b"\0abstract"), "@abstract"),
        (path(b"\0a\0b"), "@a\0b"),
        (path(b"/\xff\xc3\xa9"), "/\udcff\xe9"),
        (b"x" * 107 + b"\0", "x" * 107),
        (b"x" * 108, "x" * 108),
        (b"\0" + b"x" * 107, "@" + "x" * 107),
    ],
)
def test_unix_paths_and_abstract_names_are_read_in_any_split(
    code: int, transport: Transport, field: bytes, name: str
) -> None:
    data = binary(bytes([0x21, code]), field + path(b"/b"))
    header = ProxyHeader(2, "PROXY", transport, UnixAddress(name), UnixAddress("/b"))
    verify_codec(HeaderCodec, [(data, [header])])
    assert header.encode() == data


def test_what_lies_behind_the_zero_of_a_path_is_ignored() -> None:
    """C programs send what their memory had there."""
    header = read(binary(b"\x21\x31", path(b"/a\0garbage") + path(b"/b")))
    assert header.source == UnixAddress("/a")


@pytest.mark.parametrize("block", [b"", ENDS4, b"\x03\0\x04abcd", b"\x04\xff", b"x" * 217])
@pytest.mark.parametrize(
    ("codes", "header"),
    [
        (b"\x20\x00", ProxyHeader(2, "LOCAL")),
        (b"\x20\x11", ProxyHeader(2, "LOCAL")),
        (b"\x20\x31", ProxyHeader(2, "LOCAL")),
        (b"\x20\xff", ProxyHeader(2, "LOCAL")),
        (b"\x21\x00", ProxyHeader(2)),
    ],
)
def test_of_a_local_or_unspecified_connection_the_whole_block_is_skipped(
    codes: bytes, header: ProxyHeader, block: bytes
) -> None:
    data = binary(codes, block)
    verify_codec(HeaderCodec, [(data, [header]), (data + BINARY_TCP4, [header, PROXIED])])


def test_tlvs_are_kept_in_their_order() -> None:
    """Known or not, empty or not, more than once; one as long as the limit has room for."""
    tlvs = ((2, b"example.org"), (4, b""), (0xEE, b"\0"), (4, b"pad"), (0, b""), (255, b"x" * 300))
    block = bytes.fromhex("02 000B 6578616D706C652E6F7267 04 0000 EE 0001 00 04 0003 706164")
    block += bytes.fromhex("00 0000 FF 012C") + b"x" * 300
    data = binary(b"\x21\x11", ENDS4 + block)
    header = ProxyHeader(2, "PROXY", "TCP4", CLIENT, SERVER, tlvs)
    verify_codec(HeaderCodec, [(data, [header])])
    assert header.encode() == data
    assert header.tlv(TLVType.AUTHORITY) == b"example.org"
    assert header.tlv(TLVType.NOOP) == b""
    assert header.tlv(TLVType.ALPN) is None


def test_a_right_checksum_is_taken() -> None:
    header = ProxyHeader(
        2,
        "PROXY",
        "TCP4",
        TCPAddress("127.0.0.1", 58204),
        TCPAddress("127.0.0.1", 9703),
        ((TLVType.CRC32C, b"\x12\xc8\x88\xc3"), (TLVType.UNIQUE_ID, b"abc-8605")),
    )
    verify_codec(HeaderCodec, [(SUMMED, [header])])


@pytest.mark.parametrize("placeholder", [b"", b"\0\0\0\0", b"\x12\xc8\x88\xc3", b"what else"])
def test_the_checksum_is_made_by_whoever_writes_it(placeholder: bytes) -> None:
    right = read(SUMMED)
    tlvs = ((TLVType.CRC32C, placeholder), right.tlvs[1])
    assert replace(right, tlvs=tlvs).encode() == SUMMED


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_checksum_may_stand_anywhere_among_the_tlvs(place: int) -> None:
    tlvs = [(4, b"pad"), (2, b"a")]
    tlvs.insert(place, (3, b""))
    data = replace(PROXIED, tlvs=tuple(tlvs)).encode()
    header = read(data)
    assert [kind for kind, _ in header.tlvs] == [kind for kind, _ in tlvs]
    verify_codec(HeaderCodec, [(data, [header])])


@pytest.mark.parametrize("place", [*range(16, 28), *range(31, 35), *range(38, 46)])
def test_a_change_that_the_checksum_does_not_agree_with_is_refused(place: int) -> None:
    data = bytearray(SUMMED)
    data[place] ^= 1
    verify_codec(HeaderCodec, [(bytes(data), [], malformed(31, bytes(data[31:35])))])


@pytest.mark.parametrize(
    ("data", "offset", "found"),
    [
        # The signature and the version: at the first byte that shows it.
        (b"\n", 0, b"\n"),
        (b"\r\r", 1, b"\r"),
        (b"\r\n\r\n\r\n", 4, b"\r"),
        (SIGNATURE[:-1] + b"\r", 11, b"\r"),
        (SIGNATURE + b"\x11", 12, b"\x11"),
        (SIGNATURE + b"\x31", 12, b"\x31"),
        (SIGNATURE + b"\x01", 12, b"\x01"),
        (SIGNATURE + b"\x22", 12, b"\x22"),
        (SIGNATURE + b"\x2f", 12, b"\x2f"),
        # The family and the protocol.
        *[
            (SIGNATURE + b"\x21" + bytes([code]), 13, bytes([code]))
            for code in (0x01, 0x02, 0x03, 0x10, 0x13, 0x20, 0x23, 0x30, 0x33, 0x41, 0xF1, 0xFF)
        ],
        # The length.
        (binary(b"\x21\x11", length=0), 14, b"\0\0"),
        (binary(b"\x21\x11", length=11), 14, b"\0\x0b"),
        (binary(b"\x21\x12", length=11), 14, b"\0\x0b"),
        (binary(b"\x21\x21", length=35), 14, b"\0\x23"),
        (binary(b"\x21\x22", length=35), 14, b"\0\x23"),
        (binary(b"\x21\x31", length=215), 14, b"\0\xd7"),
        (binary(b"\x21\x32", length=215), 14, b"\0\xd7"),
        (binary(b"\x21\x11", length=65535), 14, b"\xff\xff"),
        (binary(b"\x20\x00", length=65535), 14, b"\xff\xff"),
        # The TLVs: to the last byte.
        (binary(b"\x21\x11", ENDS4 + b"\x04"), 28, b"\x04"),
        (binary(b"\x21\x11", ENDS4 + b"\x04\0"), 28, b"\x04\0"),
        (binary(b"\x21\x11", ENDS4 + b"\x04\0\x01"), 28, b"\x04\0\x01"),
        (binary(b"\x21\x11", ENDS4 + b"\x04\0\x03ab"), 28, b"\x04\0\x03ab"),
        (binary(b"\x21\x11", ENDS4 + b"\x04\0\x01ab"), 32, b"b"),
        (binary(b"\x21\x11", ENDS4 + b"\x04\0\0\x04\xff\xff"), 31, b"\x04\xff\xff"),
        (binary(b"\x21\x21", ENDS6 + PORTS + b"\x04"), 52, b"\x04"),
        (binary(b"\x21\x31", path(b"a") + path(b"b") + b"\x04"), 232, b"\x04"),
        # The checksum.
        (binary(b"\x21\x11", ENDS4 + b"\x03\0\0"), 31, b""),
        (binary(b"\x21\x11", ENDS4 + b"\x03\0\x03abc"), 31, b"abc"),
        (binary(b"\x21\x11", ENDS4 + b"\x03\0\x05abcde"), 31, b"abcde"),
        (binary(b"\x21\x11", ENDS4 + b"\x03\0\x04\0\0\0\0"), 31, b"\0\0\0\0"),
    ],
)
def test_a_header_that_is_not_exactly_right_is_refused(
    data: bytes, offset: int, found: bytes
) -> None:
    error = malformed(offset, found)
    verify_codec(HeaderCodec, [(data, [], error), (BINARY_TCP4 + data, [PROXIED], error)])


def test_a_second_checksum_is_refused() -> None:
    """The first is right, with the second as it is."""
    data = binary(b"\x21\x11", ENDS4 + b"\x03\0\x04\0\0\0\0\x03\0\x04abcd")
    data = data[:31] + crc32c(data).to_bytes(4, "big") + data[35:]
    verify_codec(HeaderCodec, [(data, [], malformed(35, b"\x03\0\x04abcd"))])


@pytest.mark.parametrize("length", [39, 40])
@pytest.mark.parametrize("codes", [b"\x21\x11", b"\x20\x00"])
def test_a_header_up_to_the_limit_passes(codes: bytes, length: int) -> None:
    data = binary(codes, ENDS4 + b"\x04" + (length - 31).to_bytes(2, "big") + b"x" * (length - 31))
    assert len(data) == length
    codec = limited()
    codec.feed(data)
    assert [header.command for header in codec.frames()] == [read(data).command]


@pytest.mark.parametrize("length", [41, 42, 65551])
@pytest.mark.parametrize("codes", [b"\x21\x11", b"\x20\x00"])
def test_a_longer_header_is_refused_when_it_is_announced(codes: bytes, length: int) -> None:
    data = binary(codes, length=length - 16)
    assert len(data) == 16
    verify_codec(limited, [(data, [], malformed(14, data[14:]))])


@pytest.mark.parametrize(
    ("transport", "source", "destination", "said"),
    [
        ("TCP4", TCPAddress("::1", 1), SERVER, "'::1' is no IPv4"),
        ("TCP4", CLIENT, TCPAddress("::1", 1), "'::1' is no IPv4"),
        ("UDP4", TCPAddress("localhost", 1), SERVER, "'localhost' is no IPv4"),
        ("TCP4", TCPAddress("1.2.3.4", 65536), SERVER, "no port"),
        ("TCP4", UnixAddress("/run/a"), UnixAddress("/run/a"), "no address with a port"),
        ("TCP4", UnknownAddress(), SERVER, "no address with a port"),
        ("TCP4", CLIENT, None, "None is no address with a port"),
        ("TCP6", CLIENT, SERVER, "'192.168.0.1' is no IPv6"),
        ("TCP6", TCPAddress("fe80::1%eth0", 1), TCPAddress("::1", 1), "zone"),
        ("UNIX_STREAM", CLIENT, SERVER, "no Unix address"),
        ("UNIX_STREAM", UnixAddress("/run/a"), None, "None is no Unix address"),
        ("UNIX_STREAM", UnixAddress("x" * 109), UnixAddress("/b"), "longer than 108"),
        ("UNIX_STREAM", UnixAddress("@" + "x" * 108), UnixAddress("/b"), "longer than 108"),
        ("UNIX_STREAM", UnixAddress("@"), UnixAddress("/b"), "another path"),
        ("UNIX_STREAM", UnixAddress("@a\0"), UnixAddress("/b"), "another path"),
        ("UNIX_STREAM", UnixAddress("/a\0b"), UnixAddress("/b"), "another path"),
        ("UNIX_STREAM", UnixAddress("\0a"), UnixAddress("/b"), "another path"),
        ("UNSPEC", CLIENT, SERVER, "no addresses"),
        ("UNSPEC", None, SERVER, "no addresses"),
    ],
)
def test_ends_that_version_2_cannot_say_are_not_written(
    transport: Transport, source: Address | None, destination: Address | None, said: str
) -> None:
    header = ProxyHeader(2, "PROXY", transport, source, destination)
    with pytest.raises(ValueError, match=said):
        header.encode()


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (replace(PROXIED, command="LOCAL"), "LOCAL header has no transport"),
        (replace(PROXIED, command="LOCAL", transport="UNSPEC"), "no addresses"),
        (ProxyHeader(2, "LOCAL", tlvs=((4, b""),)), "no TLVs"),
        (ProxyHeader(2, tlvs=((4, b""),)), "no TLVs"),
        (replace(PROXIED, tlvs=((256, b""),)), "from 0 to 255, not 256"),
        (replace(PROXIED, tlvs=((-1, b""),)), "from 0 to 255, not -1"),
        (replace(PROXIED, tlvs=((4, b"x" * 65536),)), "at most 65535 bytes, not 65536"),
        (replace(PROXIED, tlvs=((3, b""), (3, b""))), "one checksum"),
    ],
)
def test_a_header_that_makes_no_sense_is_not_written(header: ProxyHeader, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        header.encode()


def test_a_header_is_written_up_to_the_length_that_its_field_can_say() -> None:
    most = 65535 - 12 - 3
    header = ProxyHeader(2, "PROXY", "TCP4", CLIENT, SERVER, ((4, b"x" * most),))
    assert len(header.encode()) == 16 + 65535
    codec = HeaderCodec(max_length=16 + 65535)
    codec.feed(header.encode())
    assert list(codec.frames()) == [header]
    with pytest.raises(ValueError, match="65536 bytes"):
        ProxyHeader(2, "PROXY", "TCP4", CLIENT, SERVER, ((4, b"x" * (most + 1)),)).encode()


def test_credentials_are_not_sent() -> None:
    peer = UnixAddress("", Credentials(7, 0, 0))
    header = read(ProxyHeader.between(peer, UnixAddress("/run/a")).encode())
    assert (header.source, header.destination) == (UnixAddress(""), UnixAddress("/run/a"))
