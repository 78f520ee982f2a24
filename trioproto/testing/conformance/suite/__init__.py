"""The tests, to be imported with ``*`` by a module that has ``SERVICES``.

What is here can be said of any driver: it is a rule about what a protocol, its
factory and its peers see, told with a :class:`~trioproto.testing.conformance.Service`,
a :class:`~trioproto.testing.conformance.Peer` and what users import. What needs
to look into a driver, or a stream of its own, or one certain driver, is a test
of that driver's and not here.
"""

from __future__ import annotations

from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any

import pytest

from trioproto.testing.conformance.suite import fixtures

RULES = (
    "accepting",
    "lifecycle",
    "order",
    "crossing",
    "reading",
    "writing",
    "backpressure",
    "overflow",
    "half_close",
    "closing",
    "lingering",
    "aborting",
    "aftermath",
    "reasons",
    "callback_endings",
    "task_endings",
    "farewells",
    "cancellation",
    "callback_errors",
    "raised_errors",
    "deadlines",
    "set_timeout",
    "callback_timeout",
    "first_bytes",
    "slow_peers",
    "write_progress",
    "ages",
    "lines",
    "frames",
    "switching",
    "switch_failures",
    "streaming",
    "files",
    "contexts",
    "sockets",
    "many",
    "draining",
    "drained_code",
    "throttling",
    "rates",
    "shared_rates",
    "rate_changes",
    "rate_deadlines",
    "counters",
    "recordings",
    "events",
    "combinations",
    "random_walks",
)
"""The modules with the tests: a rule, or a part of one, in each."""


def _tests() -> dict[str, Any]:
    """Collect them; a name stands for one test only."""
    tests: dict[str, Any] = {}
    for rule in RULES:
        for name, test in vars(import_module(f"{__name__}.{rule}")).items():
            if name.startswith("test_"):
                assert name not in tests, f"there are two of {name}, one in {rule}"
                # Also where pytest-trio does not take every async test for its own.
                tests[name] = pytest.mark.trio(test) if iscoroutinefunction(test) else test
    return tests


_exported = {name: getattr(fixtures, name) for name in fixtures.__all__} | _tests()
globals().update(_exported, __all__=list(_exported))
