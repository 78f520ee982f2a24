"""``transport.set_timeout`` refuses what it does not take."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trioproto import Protocol
from trioproto.errors import IdleTimeout
from trioproto.sansio.settings import TIMEOUT_NAMES
from trioproto.testing import Harness

NEVER_OFF = ("receive_window", "close_timeout", "cleanup_timeout", "linger")


def bad_values() -> list[tuple[str, Any]]:
    bad: list[tuple[str, Any]] = []
    for name in TIMEOUT_NAMES:
        bad += [(name, -1), (name, -math.inf), (name, math.nan)]
        if name not in ("close_timeout", "cleanup_timeout", "linger"):
            bad.append((name, 0))
        if name in NEVER_OFF:
            bad.append((name, None))
    return bad


@pytest.mark.parametrize(("name", "value"), bad_values())
def test_a_bad_value_is_refused_and_changes_nothing(name: Any, value: Any) -> None:
    harness = Harness(Protocol(), idle_timeout=10)
    harness.connect()
    harness.advance(9)
    before = harness.transport.settings
    with pytest.raises(ValueError, match=name):
        harness.transport.set_timeout(value, name)
    assert harness.transport.settings is before
    assert harness.transport.timeout == 10
    harness.advance(2)
    assert type(harness.transport.reason) is IdleTimeout


@pytest.mark.parametrize("name", ["", "drain_grace", "high_water", "idle", "Linger", "settings"])
def test_an_unknown_name_is_refused_and_changes_nothing(name: Any) -> None:
    harness = Harness(Protocol())
    harness.connect()
    before = harness.transport.settings
    with pytest.raises(ValueError, match=repr(name)):
        harness.transport.set_timeout(5, name)
    assert harness.transport.settings is before
