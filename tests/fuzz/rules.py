"""What is broken, and the one rule that everything asks for."""

from __future__ import annotations


class Defect(AssertionError):
    """A decoder does not do what every decoder must."""


def check_number(events: int, size: int) -> None:
    """Each frame and each error uses up a byte, so it ends."""
    if events > size:
        raise Defect(f"{events} frames and errors of {size} bytes")
