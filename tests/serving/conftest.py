"""Ends what the tests of serving have begun."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.conversations import dialled


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    yield
    while dialled:
        dialled.pop().discard()
