"""Ends what the tests of endpoints have begun, and sees that nothing is left."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endpoints.sockets import descriptors
from tests.serving.conversations import dialled


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    yield
    while dialled:
        dialled.pop().discard()


@pytest.fixture(autouse=True)
def nothing_stays_open(hang_up: None) -> Iterator[None]:
    before = descriptors()
    yield
    while dialled:
        dialled.pop().discard()
    if descriptors() != before:
        gc.collect()  # what is kept by a cycle is no leak
    left = {fd: what for fd, what in descriptors().items() if before.get(fd) != what}
    assert left == {}


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short name, open to all, which has to be empty in the end."""
    with tempfile.TemporaryDirectory(prefix="tp-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


@pytest.fixture
def emptied(folder: Path) -> Iterator[Path]:
    """The same, and it has to be empty in the end."""
    yield folder
    assert sorted(each.name for each in folder.iterdir()) == []
