"""The decoder of PROXY headers, whichever version comes: its state, its limits, any partition."""

from __future__ import annotations

import pickle
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.framing.formats import check_any_partition
from tests.layers.headers import (
    BINARY_TCP4,
    CLIENT,
    SERVER,
    SIGNATURE,
    TCP4,
    HeaderCodec,
    binary,
    proxy_headers,
    read,
)
from trioproto.errors import ProxyHeaderError
from trioproto.layers.proxy_header import MAX_LENGTH, ProxyHeader, ProxyHeaderDecoder
from trioproto.sansio.addresses import Address, TCPAddress, UnixAddress, UnknownAddress
from trioproto.testing import chunks, verify_codec

BOTH = pytest.mark.parametrize("data", [TCP4, BINARY_TCP4])


@BOTH
@pytest.mark.parametrize("rest", [b"", b"\r\n", b"GET / HTTP/1.1\r\n", TCP4, BINARY_TCP4])
def test_what_comes_after_the_header_is_left(data: bytes, rest: bytes) -> None:
    decoder = ProxyHeaderDecoder()
    header = decoder.feed(data + rest)
    assert header is decoder.header
    assert header is not None
    assert (header.source, header.destination) == (CLIENT, SERVER)
    assert decoder.rest == rest
    assert decoder.pending == 0


@BOTH
def test_until_the_header_is_whole_its_bytes_are_kept_and_there_is_no_rest(data: bytes) -> None:
    decoder = ProxyHeaderDecoder()
    for count in range(len(data)):
        assert (decoder.pending, decoder.rest, decoder.header) == (count, b"", None)
        assert (decoder.feed(data[count : count + 1]) is None) is (count + 1 < len(data))
    assert decoder.pending == 0


def test_no_bytes_change_nothing() -> None:
    decoder = ProxyHeaderDecoder()
    assert decoder.feed(b"") is None
    assert decoder.feed(TCP4[:9]) is None
    assert decoder.feed(b"") is None
    assert decoder.feed(TCP4[9:]) == read(TCP4)


@BOTH
def test_once_the_header_has_come_nothing_more_is_taken(data: bytes) -> None:
    decoder = ProxyHeaderDecoder()
    header = decoder.feed(data + b"rest")
    with pytest.raises(RuntimeError, match="has been read"):
        decoder.feed(b"more")
    assert (decoder.header, decoder.rest) == (header, b"rest")


@pytest.mark.parametrize("data", [b"G", b"PROXY TCP5 \r\n", SIGNATURE + b"\x11", b"x" * 10_000])
def test_an_error_is_final_and_nothing_is_kept(data: bytes) -> None:
    decoder = ProxyHeaderDecoder()
    with pytest.raises(ProxyHeaderError) as first:
        decoder.feed(data)
    with pytest.raises(ProxyHeaderError) as later:
        decoder.feed(TCP4)
    with pytest.raises(ProxyHeaderError) as last:
        decoder.check_end()
    assert first.value is later.value is last.value is decoder.error
    assert (decoder.pending, decoder.rest, decoder.header) == (0, b"", None)


def test_an_error_says_what_and_where() -> None:
    decoder = ProxyHeaderDecoder()
    with pytest.raises(ProxyHeaderError) as caught:
        decoder.feed(b"PROXY TCP4 1.2.3.4 5.6.7.8 080 80\r\n")
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == (
        "PROXY header: no port from 0 to 65535 in plain digits at offset 27: b'080'"
    )


@BOTH
def test_the_end_of_input_is_an_error_until_the_header_has_come(data: bytes) -> None:
    decoder = ProxyHeaderDecoder()
    for count in range(len(data)):
        with pytest.raises(ProxyHeaderError, match="end of input") as caught:
            decoder.check_end()
        assert (caught.value.offset, caught.value.found) == (count, b"")
        decoder.feed(data[count : count + 1])
    decoder.check_end()


@pytest.mark.parametrize("first", [*range(0x50), *range(0x51, 0x100)])
def test_a_first_byte_of_neither_version_is_refused_at_once(first: int) -> None:
    if first != 0x0D:
        decoder = ProxyHeaderDecoder()
        with pytest.raises(ProxyHeaderError, match="neither") as caught:
            decoder.feed(bytes([first]))
        assert (caught.value.offset, caught.value.found) == (0, bytes([first]))


@pytest.mark.parametrize("start", [b"PROXY ", SIGNATURE])
def test_a_wrong_byte_of_the_start_is_refused_when_it_comes(start: bytes) -> None:
    for place in range(1, len(start)):
        wrong = bytes([start[place] ^ 0x20])
        decoder = ProxyHeaderDecoder()
        assert decoder.feed(start[:place]) is None
        with pytest.raises(ProxyHeaderError) as caught:
            decoder.feed(wrong)
        assert (caught.value.offset, caught.value.found) == (place, wrong)


@pytest.mark.parametrize("max_length", [-1, 0, 15])
def test_a_limit_below_what_every_header_has_is_refused(max_length: int) -> None:
    with pytest.raises(ValueError, match="at least 16"):
        ProxyHeaderDecoder(max_length=max_length)


def test_a_limit_of_16_bytes_leaves_room_for_a_health_check() -> None:
    decoder = ProxyHeaderDecoder(max_length=16)
    assert decoder.feed(binary(b"\x20\x00")) == ProxyHeader(2, "LOCAL")


@pytest.mark.parametrize(
    ("begun", "most"),
    [
        (b"PROXY UNKNOWN" + b" " * 200, 106),
        (binary(b"\x21\x11", b"\0" * 12, length=MAX_LENGTH - 16) + b"\xff" * 5000, MAX_LENGTH - 1),
    ],
)
def test_never_more_is_kept_than_a_header_may_have(begun: bytes, most: int) -> None:
    decoder = ProxyHeaderDecoder()
    for place in range(most):
        decoder.feed(begun[place : place + 1])
        assert decoder.pending == place + 1
    with pytest.raises(ProxyHeaderError):
        decoder.feed(begun[most:])
    assert decoder.pending == 0


def test_nothing_is_allocated_because_it_was_announced() -> None:
    tracemalloc.start()
    try:
        decoders = [ProxyHeaderDecoder(max_length=16 + 65535) for _ in range(10)]
        for decoder in decoders:
            decoder.feed(binary(b"\x21\x11", length=65535))
        allocated, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert allocated < 20_000


@given(proxy_headers(), st.binary(max_size=20), st.data())
def test_any_header_comes_back_in_any_partition(
    header: ProxyHeader, rest: bytes, data: st.DataObject
) -> None:
    encoded = header.encode()
    decoder = ProxyHeaderDecoder()
    for chunk in data.draw(chunks(encoded))[:-1]:
        assert decoder.feed(chunk) is None
    assert decoder.feed(encoded[decoder.pending :] + rest) == header
    assert decoder.rest == rest


@given(st.lists(proxy_headers(), min_size=1, max_size=3))
def test_any_headers_pass_all_that_is_asked_of_codecs(headers: list[ProxyHeader]) -> None:
    encoded = b"".join([header.encode() for header in headers])
    if len(encoded) < 300:
        verify_codec(HeaderCodec, [(encoded, headers)])


def test_any_bytes_mean_the_same_in_any_partition() -> None:
    check_any_partition(
        lambda: HeaderCodec(max_length=60),
        *(b"PROXY ", b"TCP4 ", b"UNKNOWN", b"1.2.3.4 ", b"56 ", b"7", b" ", b"\r\n", b"\r", b"\n"),
        *(SIGNATURE, b"\x21", b"\x20", b"\x11", b"\0\x0c", b"\0\x2c", b"\0", b"x" * 12, TCP4),
    )


@pytest.mark.parametrize(
    ("source", "destination", "transport"),
    [
        (CLIENT, SERVER, "TCP4"),
        (TCPAddress("::1", 1), TCPAddress("::2", 2), "TCP6"),
        (UnixAddress(""), UnixAddress("/run/echo.sock"), "UNIX_STREAM"),
    ],
)
def test_a_header_between_two_ends_has_their_transport(
    source: Address, destination: Address, transport: str
) -> None:
    header = ProxyHeader.between(source, destination)
    assert (header.version, header.command, header.transport) == (2, "PROXY", transport)
    assert (header.source, header.destination) == (source, destination)
    assert read(header.encode()) == header


def test_of_an_unknown_source_a_header_says_nothing() -> None:
    assert ProxyHeader.between(UnknownAddress(), SERVER) == ProxyHeader(2)
    assert ProxyHeader.between(UnknownAddress(), SERVER, version=1).encode() == (
        b"PROXY UNKNOWN\r\n"
    )


def test_a_header_between_two_ends_can_be_a_line_or_have_tlvs() -> None:
    assert ProxyHeader.between(CLIENT, SERVER, version=1).encode() == TCP4
    assert ProxyHeader.between(CLIENT, SERVER, tlvs=((4, b""),)).tlvs == ((4, b""),)
