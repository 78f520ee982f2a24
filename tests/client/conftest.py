"""A site for each test, and the watch over what it leaves open."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.sites import KINDS, SITES, Site, TCPSite, nobody_listens, open_descriptors


@pytest.fixture(scope="package", autouse=True)
def nothing_is_left_from_others() -> None:
    """What tests of other folders have left to the collector would be closed in one of these."""
    gc.collect()


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    before = open_descriptors()
    yield
    if open_descriptors() != before:
        gc.collect()  # what is kept by a cycle is no leak
    assert open_descriptors() == before


@pytest.fixture(params=KINDS)
def site(
    request: pytest.FixtureRequest, tmp_path: Path, nothing_stays_open: None
) -> Iterator[Site]:
    made = SITES[request.param](tmp_path)
    yield made
    made.close()


@pytest.fixture
def refusing(nothing_stays_open: None) -> Iterator[str]:
    """An endpoint that nobody listens on."""
    with nobody_listens() as text:
        yield text


@pytest.fixture(params=["tcp", "unix"])
def socket_site(
    request: pytest.FixtureRequest, tmp_path: Path, nothing_stays_open: None
) -> Iterator[Site]:
    """One that any number of connections can be made to."""
    made = SITES[request.param](tmp_path)
    yield made
    made.close()


@pytest.fixture
def tcp_site(tmp_path: Path, nothing_stays_open: None) -> Iterator[TCPSite]:
    made = TCPSite(tmp_path)
    yield made
    made.close()


@pytest.fixture
def small_site(tmp_path: Path, nothing_stays_open: None) -> Iterator[TCPSite]:
    """Its peers take little at a time."""
    made = TCPSite(tmp_path, small=True)
    yield made
    made.close()
