"""Runs each behaviour test over every driver, or those that its mark names."""

from __future__ import annotations

from functools import partial

import pytest

from tests.behaviour import drivers


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "drivers(*names): the drivers that can show this behaviour")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "driver" in metafunc.fixturenames and not any("driver" in name for name in names):
        mark = metafunc.definition.get_closest_marker("drivers")
        metafunc.parametrize("driver", mark.args if mark else drivers.ALL)


@pytest.fixture
def serving(driver: str) -> drivers.Serving:
    """Serve a factory, or a factory of one protocol, over the driver under test."""
    return partial(drivers.serving, driver)


@pytest.fixture
def connect(driver: str) -> drivers.Connecting:
    """Serve in the same way, and connect one peer."""
    return partial(drivers.connecting, driver)
