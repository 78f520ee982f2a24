"""Capture files: right in every field, by a reader that knows the formats only."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sansio.captures import ACK, PSH, SYN, Segment, read
from trioproto import Address, TCPAddress, UnixAddress, UnknownAddress
from trioproto.errors import ConnectionDone
from trioproto.layers import Direction, Piece, Recording
from trioproto.sansio.packets import SEGMENT

RECEIVED, SENT = Direction.RECEIVED, Direction.SENT
PEER, LOCAL = TCPAddress("198.51.100.7", 50000), TCPAddress("203.0.113.1", 80)
BEGAN = 1_700_000_000.25


def recording(*pieces: tuple[Direction, bytes], **others: Any) -> Recording:
    """A recording with a piece for each second."""
    timed = (Piece(BEGAN + second, *each) for second, each in enumerate(pieces, 1))
    whose = {"peer": PEER, "local": LOCAL, "accepted": True, "began": BEGAN}
    return Recording(**{**whose, "pieces": tuple(timed), **others})


def segments(recording: Recording) -> list[Segment]:
    return read(recording.to_pcapng()).segments


GET = recording((RECEIVED, b"GET /\r\n"), (SENT, b"200 OK\r\n"), (RECEIVED, b"bye"))


def test_the_bytes_stand_in_segments_between_the_two_addresses() -> None:
    peer, local = (ip_address(PEER.host), PEER.port), (ip_address(LOCAL.host), LOCAL.port)
    assert [(each.source, each.target, each.inbound, each.data) for each in segments(GET)[3:]] == [
        (peer, local, True, b"GET /\r\n"),
        (local, peer, False, b"200 OK\r\n"),
        (peer, local, True, b"bye"),
    ]


def test_the_times_are_those_of_the_pieces() -> None:
    seconds = [each.microseconds / 1e6 - BEGAN for each in segments(GET)]
    assert seconds == [0, 0, 0, 1, 2, 3]


@pytest.mark.parametrize("accepted", [True, False])
def test_who_made_the_connection_begins(accepted: bool) -> None:
    first, second, third, *_ = segments(replace(GET, accepted=accepted))
    assert [first.inbound, second.inbound, third.inbound] == [accepted, not accepted, accepted]
    assert [first.flags, second.flags, third.flags] == [SYN, SYN | ACK, ACK]
    assert (first.seq, first.ack) == (0, 0)
    assert (second.seq, second.ack) == (0, 1)
    assert (third.seq, third.ack) == (1, 1)


pieces = st.lists(
    st.tuples(st.sampled_from(Direction), st.binary(min_size=1, max_size=50)), max_size=20
)


@given(pieces, st.sampled_from([0, 1, 2**32 - 2, 2**32 - 1, 2**32, 2**40]))
def test_numbers_are_those_of_a_real_connection(
    pieces: list[tuple[Direction, bytes]], before: int
) -> None:
    found = segments(recording(*pieces, received_before=before, sent_before=7 if before else 0))
    follows = {True: (before + 1) % 2**32, False: 8 if before else 1}
    data = [each for each in found if not each.flags & SYN and each.data]
    assert [each.data for each in data] == [each for _, each in pieces]
    for each in data:
        assert each.flags == PSH | ACK
        assert each.seq == follows[each.inbound]
        assert each.ack == follows[not each.inbound]
        follows[each.inbound] = (each.seq + len(each.data)) % 2**32


def test_what_begins_in_the_middle_has_no_handshake() -> None:
    assert [each.data for each in segments(replace(GET, sent_before=1))] == [
        b"GET /\r\n",
        b"200 OK\r\n",
        b"bye",
    ]


@pytest.mark.parametrize("length", [SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT])
def test_a_large_piece_is_cut_into_segments(length: int) -> None:
    data = bytes(each % 251 for each in range(length))
    found = segments(recording((SENT, data)))[3:]
    assert b"".join(each.data for each in found) == data
    assert len(found) == -(-length // SEGMENT)
    assert all(second.seq == first.seq + SEGMENT for first, second in pairwise(found))


MADE_UP = (ip_address("192.0.2.1"), 65001), (ip_address("192.0.2.2"), 65002)
MADE_UP_6 = (ip_address("2001:db8::1"), 65001), (ip_address("2001:db8::2"), 65002)
SIX = TCPAddress("fe80::1%eth0", 1234)


@pytest.mark.parametrize(
    ("peer", "local", "expected"),
    [
        (UnknownAddress("stream"), UnknownAddress("stream"), MADE_UP),
        (UnixAddress(""), UnixAddress("/run/it"), MADE_UP),
        (TCPAddress("nowhere", 1), TCPAddress("", 2), MADE_UP),
        (PEER, UnknownAddress(), ((ip_address(PEER.host), PEER.port), MADE_UP[1])),
        (SIX, UnknownAddress(), ((ip_address("fe80::1"), 1234), MADE_UP_6[1])),
        (UnixAddress(""), SIX, (MADE_UP_6[0], (ip_address("fe80::1"), 1234))),
        (SIX, LOCAL, ((ip_address("fe80::1"), 1234), (ip_address("::ffff:203.0.113.1"), 80))),
    ],
)
def test_unknown_addresses_are_made_up(peer: Address, local: Address, expected: Any) -> None:
    for each in segments(replace(GET, peer=peer, local=local)):
        ends = (each.source, each.target) if each.inbound else (each.target, each.source)
        assert ends == expected


@given(st.binary(min_size=1, max_size=7))
def test_checksums_are_right_for_any_bytes(data: bytes) -> None:
    """The reader has verified them: those of zeros and of all ones too."""
    for content in (data, bytes(len(data)), b"\xff" * len(data)):
        assert segments(recording((SENT, content)))[3].data == content


def test_the_file_says_whose_it_is_and_how_it_ended() -> None:
    whole = replace(GET, reason=ConnectionDone(), sent_before=5)
    assert read(whole.to_pcapng()).comment.splitlines() == [
        "connection with tcp:198.51.100.7:50000, accepted at tcp:203.0.113.1:80",
        "began 2023-11-14 22:13:20.250000 UTC",
        "not kept: 0 bytes received and 5 sent before these",
        "ended by ConnectionDone",
    ]


def test_an_empty_recording_is_a_file_too() -> None:
    assert [each.flags for each in segments(recording())] == [SYN, SYN | ACK, ACK]
