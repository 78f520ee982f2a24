"""The serving fixture of the behaviour suite, for tests that name their driver."""

from __future__ import annotations

from functools import partial

import pytest

from tests.behaviour import drivers


@pytest.fixture
def serving(driver: str) -> drivers.Serving:
    """Serve a factory, or a factory of one protocol, over the driver under test."""
    return partial(drivers.serving, driver)
