"""Settings: their names, and what each of them may be."""

from __future__ import annotations

from dataclasses import fields
from math import inf, nan
from typing import Any

import pytest

from trioproto import Protocol, Settings

SIZES = ("read_size", "high_water", "low_water", "max_buffered", "max_buffered_total")
LIMITS = (
    "handshake_timeout",
    "first_byte_timeout",
    "idle_timeout",
    "min_receive_rate",
    "write_timeout",
    "callback_timeout",
    "slow_callback",
    "max_age",
    "max_accept_rate",
    "refuse_after",
)
TIMES = (
    "close_timeout",
    "cleanup_timeout",
    "linger",
    "drain_grace",
    "drain_force",
    "alarm_interval",
)
COUNTS = ("max_connections", "max_per_peer", "max_handshakes", "soft_limit")
RATES = ("receive_rate", "send_rate", "receive_rate_total", "send_rate_total")

BAD = [
    *[(name, -1) for name in SIZES],
    ("read_size", 0),
    ("max_buffered", 0),
    ("max_buffered_total", 0),
    ("high_water", 16 * 1024 - 1),
    ("max_buffered", 64 * 1024 - 1),
    ("backlog", 0),
    *[(name, value) for name in LIMITS for value in (0, -1, nan)],
    *[(name, value) for name in TIMES for value in (-0.1, nan)],
    *[("receive_window", value) for value in (0, -1, nan)],
    *[(name, value) for name in COUNTS for value in (0, -5, 10.5)],
    *[("ipv4_prefix", value) for value in (-1, 33)],
    *[("ipv6_prefix", value) for value in (-1, 129)],
    *[("refusal_timeout", value) for value in (0, -1, nan)],
    *[(name, value) for name in RATES for value in (0, -1, nan, inf)],
    ("at_limit", "explode"),
    ("at_limit", None),
    ("callback_errors", "ignore"),
    ("refusal", "go away"),
    ("refusal", bytearray(b"go away")),
    ("traffic_log", True),
]

EDGES = [
    {"read_size": 1},
    {"low_water": 0, "high_water": 1, "max_buffered": 1},
    {"low_water": 10, "high_water": 10, "max_buffered": 10},
    {"max_buffered_total": 1},
    {"backlog": 1},
    *[{name: value} for name in LIMITS for value in (None, 0.001, inf)],
    *[{name: value} for name in TIMES for value in (0, inf)],
    {"receive_window": 0.001},
    *[{name: value} for name in COUNTS for value in (1, None)],
    {"ipv4_prefix": 0},
    {"ipv4_prefix": 32, "ipv6_prefix": 128},
    {"refusal_timeout": 0.001},
    *[{name: value} for name in RATES for value in (None, 0.001, 1e12)],
    {"refusal": b""},
    {"refusal": Protocol},
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_a_value_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be "):
        Settings(**{name: value})


@pytest.mark.parametrize("values", EDGES)
def test_what_is_just_allowed_is_allowed(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    assert {name: getattr(settings, name) for name in values} == values


def test_there_is_a_setting_for_each_documented_name_and_no_other() -> None:
    others = {"at_limit", "refusal", "backlog", "tcp_nodelay", "keepalive"}
    others |= {"require_close_notify", "receive_window", "traffic_log"}
    others |= {"ipv4_prefix", "ipv6_prefix", "refusal_timeout"}
    names = {field.name for field in fields(Settings)}
    assert names == {*SIZES, *LIMITS, *TIMES, *COUNTS, *RATES, *others, "callback_errors"}


def test_settings_are_given_by_name_only_and_known_ones_only() -> None:
    with pytest.raises(TypeError):
        Settings(1024)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="max_conections"):
        Settings(max_conections=1)  # type: ignore[call-arg]


def test_equal_settings_are_equal_and_can_be_told_from_others() -> None:
    assert Settings(linger=1) == Settings(linger=1)
    assert Settings(linger=1) != Settings()
    assert len({Settings(), Settings(), Settings(linger=1)}) == 2
