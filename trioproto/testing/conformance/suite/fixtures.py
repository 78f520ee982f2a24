"""What the tests of the suite are given, and the services that each is run over."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from trioproto.testing.conformance.features import Terms, terms_of
from trioproto.testing.conformance.logged import error_log, logged_errors, no_unexpected_errors
from trioproto.testing.conformance.service import (
    MORE_THAN_FITS,
    Connecting,
    Service,
    Serving,
    connecting,
)
from trioproto.testing.conformance.service import serving as serve

__all__ = [
    "big_file",
    "connect",
    "error_log",
    "logged_errors",
    "no_unexpected_errors",
    "pytest_generate_tests",
    "rule",
    "serving",
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over each of its module's ``SERVICES`` that has what it needs.

    If none of them has, it is skipped, and says what they lack.
    """
    if "service_class" not in metafunc.fixturenames:
        return
    services: Sequence[type[Service]] = getattr(metafunc.module, "SERVICES", ())
    if not services:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: of what? its module needs SERVICES = [MyService]"
        )
    terms = terms_of(metafunc.function)
    if terms.argument:
        metafunc.parametrize(("service_class", terms.argument), _pairs(services, terms))
    else:
        metafunc.parametrize("service_class", _kinds(services, terms))


def _kinds(services: Sequence[type[Service]], terms: Terms) -> list[Any]:
    can = [kind for kind in services if not terms.missing(kind.features)]
    return [pytest.param(kind, id=kind.name) for kind in can] or [
        _skipped(kind, terms.missing(kind.features), kind) for kind in services
    ]


def _pairs(services: Sequence[type[Service]], terms: Terms) -> list[Any]:
    """Pair each service with the values that it can show."""
    pairs: list[Any] = []
    for value, more in terms.values:
        can = [kind for kind in services if not terms.missing(kind.features, more)]
        pairs += [pytest.param(kind, value, id=f"{kind.name}-{value}") for kind in can] or [
            _skipped(kind, terms.missing(kind.features, more), kind, value) for kind in services
        ]
    return pairs


def _skipped(kind: type[Service], why: str, *values: object) -> Any:
    ids = "-".join([kind.name, *map(str, values[1:])])
    return pytest.param(*values, id=ids, marks=pytest.mark.skip(reason=f"{kind.name}: {why}"))


@pytest.fixture(autouse=True)
def rule(request: pytest.FixtureRequest) -> None:
    """Have a failure tell the rule that is broken, and where it is documented."""
    room = sys.modules[request.function.__module__]
    if room.__name__.startswith(f"{__package__}."):
        request.node.add_report_section("call", "rule", inspect.getdoc(room))


@pytest.fixture
def serving(service_class: type[Service]) -> Serving:
    """Serve a factory, or a factory of one protocol, over the driver under test."""
    return partial(serve, service_class)


@pytest.fixture
def connect(service_class: type[Service]) -> Connecting:
    """Serve in the same way, and connect one peer."""
    return partial(connecting, service_class)


CONTENT = bytes(range(256)) * (MORE_THAN_FITS // 256)


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    """A file with ``CONTENT``."""
    path = tmp_path / "big"
    path.write_bytes(CONTENT)
    return path
