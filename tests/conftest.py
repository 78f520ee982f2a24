"""What all tests share: hypothesis profiles, and the watch over the log."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# It asserts for others: what was there instead is shown only if pytest has rewritten it.
pytest.register_assert_rewrite("tests.examples.running")

settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile(
    "fuzz", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")


def pytest_collection_finish() -> None:
    """Have the collector pass over what pytest keeps of thousands of tests."""
    gc.collect()
    gc.freeze()


class RecordsErrors(logging.Handler):
    """Keeps what was logged as an error, or with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.records.append(record)


@pytest.fixture
def error_log() -> Iterator[list[logging.LogRecord]]:
    logger = logging.getLogger("trioproto")
    handler = RecordsErrors()
    logger.addHandler(handler)
    yield handler.records
    logger.removeHandler(handler)


@pytest.fixture
def logged_errors(error_log: list[logging.LogRecord]) -> list[logging.LogRecord]:
    """The errors that trioproto logs; only a test that asks for them may cause any."""
    return error_log


@pytest.fixture(autouse=True)
def no_unexpected_errors(
    request: pytest.FixtureRequest, error_log: list[logging.LogRecord]
) -> Iterator[None]:
    yield
    if "logged_errors" not in request.fixturenames:
        formatter = logging.Formatter()
        assert [formatter.format(record) for record in error_log] == []


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
