"""What a protocol does that overrides nothing, or only some."""

from __future__ import annotations

from typing import Any

import pytest

from trioproto import Protocol
from trioproto.errors import ConnectionDone, IdleTimeout, ServerDraining
from trioproto.testing import Harness


def connected(protocol: Protocol, **settings: Any) -> Harness[Protocol]:
    harness = Harness(protocol, **settings)
    harness.connect()
    return harness


def test_a_protocol_that_overrides_nothing_can_be_served() -> None:
    harness = connected(Protocol())
    harness.feed(b"who listens?")
    harness.window = 0
    harness.transport.write(bytes(100_000))
    harness.window = None
    assert len(harness.take()) == 100_000
    harness.feed_eof()
    assert harness.lost
    assert type(harness.reason) is ConnectionDone
    assert harness.write_closed


def test_by_default_the_peers_eof_closes() -> None:
    assert not Protocol().eof_received()


def test_by_default_silence_closes_and_the_reason_says_for_how_long() -> None:
    harness = connected(Protocol(), idle_timeout=7)
    harness.advance(7)
    assert type(harness.reason) is IdleTimeout
    assert harness.reason.seconds == 7
    assert harness.write_closed
    assert not harness.transport.broken


def test_by_default_a_drain_closes_cleanly() -> None:
    harness = connected(Protocol())
    harness.window = 0
    harness.transport.write(b"to the end")
    harness.drain()
    assert not harness.write_closed
    harness.window = None
    assert harness.take() == b"to the end"
    assert type(harness.reason) is ServerDraining


def test_by_default_reading_pauses_while_much_output_waits() -> None:
    assert Protocol.auto_pause is True


def test_a_plain_protocol_cuts_off_no_frame() -> None:
    assert Protocol().cut_off() is None
    assert Protocol().deliver_held() is None


def test_the_transport_is_there_only_once_connected() -> None:
    with pytest.raises(AttributeError):
        _ = Protocol().transport
