"""CRC32c, which the standard library does not have.

Origin: RFC 4960, appendix B; the polynomial is Castagnoli's.
"""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78
"""With its bits in reverse, as the sum shifts to the right."""
_ALL_ONES = 0xFFFFFFFF


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = tuple(_remainder(byte) for byte in range(256))


def crc32c(data: bytes) -> int:
    """Return the checksum of *data*: 32 bits, one step of a loop a byte."""
    table = _TABLE
    total = _ALL_ONES
    for byte in data:
        total = total >> 8 ^ table[(total ^ byte) & 0xFF]
    return total ^ _ALL_ONES
