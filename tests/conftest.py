"""What all tests share: hypothesis profiles, the processes they run in, the watch over the log."""

from __future__ import annotations

import gc
import logging
import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings

from trioproto.testing.conformance.logged import error_log, logged_errors, no_unexpected_errors

__all__ = ["error_log", "logged_errors", "no_unexpected_errors"]

# It asserts for others: what was there instead is shown only if pytest has rewritten it.
pytest.register_assert_rewrite("tests.examples.running")

settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile(
    "fuzz", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")

FEW = 10
"""Single files, of which so many are run sooner than processes are started for them."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Have folders run by a process a core; a few files, or all on one core, by this one."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist itself looks at it
    paths = [Path(config.invocation_params.dir, each.partition("::")[0]) for each in config.args]
    few = len(paths) <= FEW and all(path.is_file() for path in paths)
    shown = config.option.capture == "no"  # what other processes print would be lost
    cores = len(os.sched_getaffinity(0))
    return 0 if few or shown or cores == 1 else cores


Report: TypeAlias = dict[str, Any] | None


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Report, Report]:
    """Leave out of what processes tell each other the half that nobody reads."""
    data = yield
    if data is not None and "keywords" in data:
        data["keywords"] = {}
    return data


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        _keep_what_is_compiled(config)
    if config.getoption("dist", "no") == "no":  # the tests are run by this process
        _hear_control_c()


def _keep_what_is_compiled(config: pytest.Config) -> None:
    """Let all processes that come of this one keep what they compile, without leaving traces.

    Without it each of them would compile the whole package, and hypothesis.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        folder = tempfile.TemporaryDirectory(prefix="trioproto-tests-")
        config.add_cleanup(folder.cleanup)
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name


def _hear_control_c() -> None:
    """A shell has what it runs in the background ignore it, and the tests of it with that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Have the collector pass over what pytest keeps of thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def only_slow_callbacks_that_are_meant(request: pytest.FixtureRequest) -> Iterator[None]:
    """On a busy machine any callback may be a slow one: that is news to the tests of it only."""
    logger = logging.getLogger("trioproto")
    meant = request.node.path.name in ("test_slow_callbacks.py", "test_error_log.py")

    def is_meant(record: logging.LogRecord) -> bool:
        return meant or "kept the whole program waiting" not in str(record.msg)

    logger.addFilter(is_meant)
    yield
    logger.removeFilter(is_meant)
