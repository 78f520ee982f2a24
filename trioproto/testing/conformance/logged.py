"""What trioproto logs as errors fails the test in which it does, unless it is about that."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


class _RecordsErrors(logging.Handler):
    """Keeps what was logged as an error, or with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.records.append(record)


@pytest.fixture
def error_log() -> Iterator[list[logging.LogRecord]]:
    """Watch what trioproto logs as errors."""
    logger = logging.getLogger("trioproto")
    handler = _RecordsErrors()
    logger.addHandler(handler)
    yield handler.records
    logger.removeHandler(handler)


@pytest.fixture
def logged_errors(error_log: list[logging.LogRecord]) -> list[logging.LogRecord]:
    """The errors that are logged; only a test that asks for them may cause any."""
    return error_log


@pytest.fixture(autouse=True)
def no_unexpected_errors(
    request: pytest.FixtureRequest, error_log: list[logging.LogRecord]
) -> Iterator[None]:
    """Fail a test that has made trioproto log errors, and has not asked for them."""
    yield
    if "logged_errors" not in request.fixturenames:
        formatter = logging.Formatter()
        assert [formatter.format(record) for record in error_log] == []
