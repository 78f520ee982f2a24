"""A short stampede over each driver; ``nox -s stampede -- --seconds 600`` makes a long one.

A failure tells its seed; ``STAMPEDE_SEED`` sets it, ``STAMPEDE_SECONDS`` how long it lasts.
"""

from __future__ import annotations

import logging
import os
import time

import pytest

from tests.hostile.places import DRIVERS
from tests.stampede.stampede import stampede

SECONDS = float(os.environ.get("STAMPEDE_SECONDS", "1"))


@pytest.mark.over(*DRIVERS)
async def test_a_stampede_leaves_nothing(
    driver: str, logged_errors: list[logging.LogRecord]
) -> None:
    seed = int(os.environ.get("STAMPEDE_SEED", time.time()))
    statistics = await stampede(driver, seed, SECONDS)
    assert statistics.accepted >= 50
    assert len(statistics.closed) >= 5
