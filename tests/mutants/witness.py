"""A plugin for the pytest of a copy: writes down what happens to each test, as it happens.

Each line of the file that ``WITNESS`` names is a JSON list: what happened, and to what.
"""

from __future__ import annotations

import json
import os

import pytest

import trioproto

WITNESS = "TRIOPROTO_WITNESS"

PACKAGE = "package"
"""Where trioproto was imported from; said when the tests are about to be run."""
BEGAN = "began"
ENDED = "ended"
FAILED = "failed"
"""In its call, or in what comes after it."""
BROKEN = "broken"
"""It could not be collected or set up, so it has shown nothing."""


class Witness:
    """Writes; there is one, also where workers run the tests."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _say(self, what: str, of: str) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps([what, of]) + "\n")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._say(BROKEN, report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        self._say(PACKAGE, trioproto.__file__)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._say(BEGAN, nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._say(BROKEN if report.when == "setup" else FAILED, report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._say(ENDED, nodeid)


def pytest_configure(config: pytest.Config) -> None:
    path = os.environ.get(WITNESS)
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Witness(path))
