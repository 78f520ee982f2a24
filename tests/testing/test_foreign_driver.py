"""Somebody else's driver is held to the rules, in a project of their own.

That project has the plainest settings: no ``trio_mode``, and every warning is an
error.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.testing.broken_drivers import FOUND_BY, SERVICES
from trioproto.testing.conformance import Feature, suite
from trioproto.testing.conformance.suite import fixtures

UNWANTED = "test_a_loss_keeps_its_errno"
ROOT = Path(__file__).parents[2]
SETTINGS = """\
[pytest]
addopts = --strict-markers --strict-config -p no:cacheprovider -W error -rs -v --tb=short
"""


def module(services: str, *tests: str) -> str:
    """Write a test module: with these tests only, or with all of them."""
    names = ", ".join([*fixtures.__all__, *tests]) if tests else "*"
    return f"""
from tests.testing.broken_drivers import SERVICES as BROKEN
from tests.testing.foreign_driver import SimulatedService
from trioproto.testing.conformance.suite import {names}
{services}
"""


@dataclass
class Run:
    """What pytest has said."""

    output: str
    status: int

    @property
    def results(self) -> dict[str, set[str]]:
        """How each test ended, by what stands behind the name of its file."""
        results: dict[str, set[str]] = {}
        for test, result in re.findall(r"::(\S+) (?:<- \S+ )?([A-Z]+)", self.output):
            results.setdefault(test, set()).add(result)
        return results

    def failed(self, name: str, service: str) -> bool:
        """Whether a test of this name has failed over this service."""
        return any(
            test.startswith(f"{name}[{service}") and not results <= {"PASSED"}
            for test, results in self.results.items()
        )


def run(folder: Path, text: str, chosen: str = "") -> Run:
    """Run a test module of somebody's; all of it, or what ``-k`` chooses."""
    (folder / "pytest.ini").write_text(SETTINGS)
    (folder / "test_mine.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", str(folder), str(folder), "-k", chosen],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Run(done.stdout + done.stderr, done.returncode)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run what the documentation shows: the driver; and, of one that cannot half-close, ends."""
    text = (ROOT / "tests" / "testing" / "foreign_suite.py").read_text()
    return run(tmp_path_factory.mktemp("sound"), text, "simulated or eof or end or clos")


def test_a_driver_that_keeps_the_rules_passes(sound: Run) -> None:
    counts = Counter(result for results in sound.results.values() for result in results)
    assert sound.status == 0, sound.output
    assert set(counts) == {"PASSED", "SKIPPED"}
    assert counts["PASSED"] > 430 + 150


def test_what_no_service_can_show_is_skipped_and_told(sound: Run) -> None:
    reasons = set(re.findall(r"simulated: (.*)", sound.output))
    assert f"needs: {Feature.ENCRYPTS.value}" in reasons
    assert f"needs: {Feature.SERVER.value}, {Feature.SOCKET_OPTIONS.value}" in reasons
    assert not any(Feature.HALF_CLOSE.value in reason.split(": ")[1] for reason in reasons)


def test_what_one_service_can_show_is_not_skipped_for_the_others(sound: Run) -> None:
    shown = {name: ends for name, ends in sound.results.items() if "lets_us_go_on_reading" in name}
    assert shown == {"test_write_eof_lets_us_go_on_reading[simulated]": {"PASSED"}}


def test_a_module_that_does_not_say_of_what_is_told_so(tmp_path: Path) -> None:
    done = run(tmp_path, module("", "test_callbacks_come_in_order"))
    assert done.status != 0
    assert "its module needs SERVICES = [MyService]" in done.output


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the tests that must find a defect over drivers that have one, and one that has none."""
    text = module("SERVICES = [SimulatedService, *BROKEN]", *FOUND_BY.values(), UNWANTED)
    text += f"{UNWANTED} = None\n"
    pairs = [(test, defect.__name__) for defect, test in FOUND_BY.items()]
    pairs += [(test, "simulated") for test in FOUND_BY.values()]
    pairs.append((UNWANTED, "simulated"))
    chosen = " or ".join(f"({test} and {service})" for test, service in pairs)
    return run(tmp_path_factory.mktemp("broken"), text, chosen)


@pytest.mark.parametrize("defect", FOUND_BY, ids=lambda defect: defect.__name__)
def test_a_driver_with_a_defect_fails(broken: Run, defect: type) -> None:
    assert broken.failed(FOUND_BY[defect], defect.__name__), broken.output


def test_the_same_driver_without_a_defect_does_not(broken: Run) -> None:
    assert not any(broken.failed(name, "simulated") for name in FOUND_BY.values())
    assert len(SERVICES) == len(FOUND_BY)


def test_a_test_can_be_left_out(broken: Run) -> None:
    assert broken.results
    assert not any(name.startswith(UNWANTED) for name in broken.results)


def test_a_failure_shows_what_was_there_instead(broken: Run) -> None:
    """As pytest's rewritten assertions do, though the tests are no test modules of the user's."""
    assert re.search(r"AssertionError: assert \['connection_.*\] == \['connection_", broken.output)


def test_a_failure_tells_the_rule_and_where_it_is_documented(broken: Run) -> None:
    assert "After the end nothing more is delivered, and nothing is sent." in broken.output
    assert "The rule: docs/callbacks.md, Nothing after the end." in broken.output


@pytest.mark.parametrize("room", suite.RULES)
def test_the_rule_of_each_module_is_documented(room: str) -> None:
    head = inspect.getdoc(importlib.import_module(f"{suite.__name__}.{room}"))
    page, heading = re.findall(r"^The rule: (docs/\S+\.md), (.+)\.$", head or "", re.MULTILINE)[0]
    assert f"# {heading}\n" in (ROOT / page).read_text()


def test_an_error_that_did_not_come_out_is_told(broken: Run) -> None:
    assert "AssertionError: nothing came out of the service" in broken.output


def test_every_module_of_the_suite_is_in_it() -> None:
    modules = {module.name for module in pkgutil.iter_modules(suite.__path__)}
    assert modules == {*suite.RULES, "fixtures"}


def test_every_feature_is_on_the_page_about_them() -> None:
    page = (ROOT / "docs" / "testing-drivers.md").read_text()
    assert [each.name for each in Feature if f"| `{each.name}` |" not in page] == []
