"""The code that the page on testing layers shows does what the page says."""

from __future__ import annotations

import pytest

from tests.examples.snippets_layers import Masked
from trioproto.testing import LayerCase, VerificationFailed, verify_layer, verify_layer_pair


def test_both_sides_however_their_bytes_arrive() -> None:
    verify_layer_pair(lambda: (Masked(1), Masked(2)))


def test_one_side_however_its_bytes_arrive() -> None:
    verify_layer(
        lambda: Masked(1),
        [
            LayerCase(b"\x02jgnnm", up=b"hello", output=b"\x01"),
            LayerCase(b"\x02", output=b"\x01", sent=b"hello", down=b"idmmn"),
        ],
    )


def test_a_layer_that_forgets_its_news_is_found() -> None:
    class Forgets(Masked):
        news = False

        def receive(self, data: bytes) -> bytes:
            received = super().receive(data)
            self.news = False
            return received

    with pytest.raises(VerificationFailed, match="news"):
        verify_layer_pair(lambda: (Masked(1), Forgets(2)))
