"""CRC32c, by the examples of the RFC that has some."""

from __future__ import annotations

import pytest

from trioproto.layers.crc32c import crc32c


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_the_examples_of_the_rfc_come_out(data: bytes, checksum: int) -> None:
    """RFC 3720, appendix B.4; and the usual check value."""
    assert crc32c(data) == checksum
