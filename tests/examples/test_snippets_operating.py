"""The code that the pages on limits, drains and views show does what they say."""

from __future__ import annotations

from tests.examples.snippets_operating import Upload
from trioproto.errors import IdleTimeout, PeerTooSlow
from trioproto.testing import Harness


def test_an_upload_has_to_go_on() -> None:
    """Who announces nothing may take its time; who uploads may not be silent, nor dribble."""
    silent, slow = Harness(Upload()), Harness(Upload())
    for harness in (silent, slow):
        harness.connect()
        harness.advance(50)
        harness.feed(b"1000000\r\n")
    silent.advance(6)
    assert type(silent.reason) is IdleTimeout
    for _ in range(30):
        slow.feed(b"x")
        slow.advance(1)
    assert type(slow.reason) is PeerTooSlow
