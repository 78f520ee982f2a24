"""Recordings as text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sansio.test_pcapng import GET, RECEIVED, SENT, recording
from trioproto import UnixAddress, UnknownAddress
from trioproto.errors import CallbackError, ConnectionClosed, ConnectionLost, MalformedFrame
from trioproto.layers import Recording


def body(recording: Recording) -> list[str]:
    return [line for line in recording.to_text().splitlines() if not line.startswith("#")]


def test_each_line_has_its_time_and_its_direction() -> None:
    assert GET.to_text() == (
        "# connection with tcp:198.51.100.7:50000, accepted at tcp:203.0.113.1:80\n"
        "# began 2023-11-14 22:13:20.250000 UTC\n"
        "+1.000000 < b'GET /\\r\\n'\n"
        "+2.000000 > b'200 OK\\r\\n'\n"
        "+3.000000 < b'bye'\n"
    )


def test_a_piece_of_text_has_a_line_for_each_of_its_own() -> None:
    found = body(recording((SENT, b"one\r\ntwo\nthree"), (SENT, b"x" * 73)))
    assert [line.partition(" > ")[2] for line in found] == [
        "b'one\\r\\n'",
        "b'two\\n'",
        "b'three'",
        f"b'{'x' * 72}'",
        "b'x'",
    ]


@pytest.mark.parametrize(("strange", "is_text"), [(9, True), (10, True), (11, False)])
def test_what_is_a_quarter_strange_is_still_text(strange: int, is_text: bool) -> None:
    (first, *_) = body(recording((RECEIVED, b"a" * (40 - strange) + b"\0" * strange)))
    assert first.startswith("+1.000000 < b'" if is_text else "+1.000000 < 000000  61 61")


def test_other_bytes_are_dumped() -> None:
    assert body(recording((RECEIVED, bytes(range(0xF0, 0x100)) + b"\0A"))) == [
        "+1.000000 < 000000  f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 fa fb fc fd fe ff  |................|",
        f"+1.000000 < 000010  00 41{' ' * 42}  |.A|",
    ]


def test_the_client_side_says_that_it_made_the_connection() -> None:
    first, *_ = replace(GET, accepted=False).to_text().splitlines()
    assert first == "# connection with tcp:198.51.100.7:50000, made at tcp:203.0.113.1:80"


def test_a_name_cannot_make_lines_of_its_own() -> None:
    for peer in (UnixAddress("/tmp/a\n+1.0 < b''"), UnknownAddress("a\n+1.0 < b''")):
        assert body(replace(GET, peer=peer)) == body(GET)


def because_of(reason: ConnectionClosed, cause: Exception) -> ConnectionClosed:
    reason.__cause__ = cause
    return reason


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (MalformedFrame("no digits", 3, b"secret"), "MalformedFrame: no digits"),
        (
            because_of(CallbackError("Echo.data_received"), ValueError("secret")),
            "CallbackError: error in Echo.data_received, because of ValueError",
        ),
        (
            because_of(ConnectionLost("connection reset\nby peer"), OSError()),
            "'ended by ConnectionLost: connection reset\\nby peer, because of OSError'",
        ),
    ],
)
def test_the_reason_is_told_without_the_peers_bytes(
    reason: ConnectionClosed, expected: str
) -> None:
    shown = replace(GET, reason=reason).to_text().splitlines()[2]
    assert shown.removeprefix("# ").removeprefix("ended by ") == expected
