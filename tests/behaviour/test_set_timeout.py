"""``transport.set_timeout`` with what it does not take: no matter over which driver."""

from __future__ import annotations

import math
from typing import Any

import pytest
from trio.testing import MockClock

from tests.behaviour.drivers import Connecting
from trioproto.errors import IdleTimeout
from trioproto.sansio.settings import TIMEOUT_NAMES
from trioproto.testing.conformance.recorder import Recorder

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


@pytest.mark.drivers("harness", "poll")
@pytest.mark.parametrize(("name", "value"), bad_values())
async def test_a_bad_value_is_refused_and_changes_nothing(
    connect: Connecting, name: Any, value: Any, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol, idle_timeout=10) as peer:
        await peer.pass_time(9)
        before = protocol.transport.settings
        with pytest.raises(ValueError, match=name):
            protocol.transport.set_timeout(value, name)
        assert protocol.transport.settings is before
        assert protocol.transport.timeout == 10
        await peer.pass_time(2)
        assert type(protocol.transport.reason) is IdleTimeout


@pytest.mark.drivers("harness", "poll")
@pytest.mark.parametrize("name", ["", "drain_grace", "high_water", "idle", "Linger", "settings"])
async def test_an_unknown_name_is_refused_and_changes_nothing(
    connect: Connecting, name: Any, autojump_clock: MockClock
) -> None:
    protocol = Recorder()
    async with connect(protocol):
        before = protocol.transport.settings
        with pytest.raises(ValueError, match=repr(name)):
            protocol.transport.set_timeout(5, name)
        assert protocol.transport.settings is before
