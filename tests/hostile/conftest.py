"""Room for many sockets, and the drivers that a test of bad peers is run over."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from tests.hostile.places import PLAIN

_DESCRIPTORS = 4096


@pytest.fixture(autouse=True, scope="package")
def room_for_many_sockets() -> Iterator[None]:
    """Both ends of each connection are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _DESCRIPTORS:
        if hard < _DESCRIPTORS:
            pytest.skip(f"{_DESCRIPTORS} descriptors are needed, {hard} are allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "over(*drivers): what a test of bad peers is run over")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("over")
        metafunc.parametrize("driver", mark.args if mark else PLAIN)
