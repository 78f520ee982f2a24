"""Fuzz every decoder with a large budget, where there is no fuzzer that knows the coverage.

python -m tests.fuzz.fuzz_hypothesis --seconds 600
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

from .kinds import KINDS
from .options import parse
from .oracle import check

BATCH = 200


def batch(number: int, kind: int) -> None:
    """Try so many inputs on one decoder; what is refused is made small and shown."""

    @seed(number)
    @settings(
        max_examples=BATCH, deadline=None, database=None, verbosity=Verbosity.quiet,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(st.binary(min_size=2, max_size=200))
    def decoder(program: bytes) -> None:
        check(bytes([kind]) + program)

    decoder()


def main() -> None:
    options, others = parse(__doc__)
    if others:
        sys.exit(f"not known: {' '.join(others)}")
    if options.again:
        check(Path(options.again).read_bytes())
        return
    ends = time.monotonic() + options.seconds
    number = options.seed
    while time.monotonic() < ends:
        batch(number, number % len(KINDS))
        number += 1
    print(f"{(number - options.seed) * BATCH} inputs, nothing refused; --seed {number} goes on")


if __name__ == "__main__":
    main()
