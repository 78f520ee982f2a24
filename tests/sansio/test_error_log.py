"""The log of errors in user code: each is shown, none floods it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from trioproto import Factory, TCPAddress
from trioproto.errors import CallbackError
from trioproto.sansio.error_log import KINDS, TRACEBACKS, WINDOW, ErrorLog
from trioproto.testing import Harness
from trioproto.testing.conformance.recorder import Recorder

PEER = TCPAddress("192.0.2.1", 4000)
Records = list[logging.LogRecord]


class Clock:
    """Time that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def error(kind: type[Exception] = ValueError) -> CallbackError:
    """An error that was raised on one and the same line."""
    reason = CallbackError("Echo.data_received")
    try:
        raise kind("wrong")
    except Exception as exc:
        reason.__cause__ = exc
    return reason


def error_on_line(line: int) -> CallbackError:
    """An error that was raised on a line of its own."""
    reason = CallbackError("Echo.data_received")
    try:
        exec(compile("\n" * line + "raise ValueError", "user.py", "exec"))
    except ValueError as exc:
        reason.__cause__ = exc
    return reason


def messages(records: Records) -> list[str]:
    return [record.getMessage() for record in records]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock) -> ErrorLog:
    return ErrorLog(clock)


def test_an_error_is_logged_with_its_traceback_and_the_peers_address(
    log: ErrorLog, logged_errors: Records
) -> None:
    reason = error()
    log.report(PEER, reason)
    (record,) = logged_errors
    assert record.getMessage() == "error in Echo.data_received, peer tcp:192.0.2.1:4000"
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is reason.__cause__


def test_without_a_peer_none_is_named(log: ErrorLog, logged_errors: Records) -> None:
    log.report(None, error())
    assert messages(logged_errors) == ["error in Echo.data_received"]


def test_ten_tracebacks_are_shown_and_more_are_counted(
    log: ErrorLog, logged_errors: Records
) -> None:
    for _ in range(TRACEBACKS + 7):
        log.report(PEER, error())
    assert len(logged_errors) == TRACEBACKS == 10
    assert all(record.exc_info for record in logged_errors)


def test_the_next_window_begins_with_the_count_of_the_last(
    log: ErrorLog, clock: Clock, logged_errors: Records
) -> None:
    for _ in range(TRACEBACKS + 7):
        log.report(PEER, error())
    clock.now += WINDOW
    logged_errors.clear()
    for _ in range(TRACEBACKS + 1):
        log.report(PEER, error())
    assert len(logged_errors) == 1 + TRACEBACKS
    assert "ValueError at " in messages(logged_errors)[0]
    assert messages(logged_errors)[0].endswith("7 more, without traceback")
    assert not logged_errors[0].exc_info


def test_within_the_window_nothing_more_is_shown(
    log: ErrorLog, clock: Clock, logged_errors: Records
) -> None:
    for _ in range(TRACEBACKS):
        log.report(PEER, error())
    clock.now += WINDOW - 0.001
    logged_errors.clear()
    log.report(PEER, error())
    assert logged_errors == []


def test_flush_shows_each_count_once(log: ErrorLog, logged_errors: Records) -> None:
    for _ in range(TRACEBACKS + 2):
        log.report(PEER, error())
    for _ in range(TRACEBACKS + 3):
        log.report(PEER, error(KeyError))
    logged_errors.clear()
    log.flush()
    log.flush()
    counts = [(text.split(" at ")[0], text.split(": ")[1]) for text in messages(logged_errors)]
    assert counts == [
        ("ValueError", "2 more, without traceback"),
        ("KeyError", "3 more, without traceback"),
    ]


def test_flush_of_what_was_shown_says_nothing(log: ErrorLog, logged_errors: Records) -> None:
    log.report(PEER, error())
    logged_errors.clear()
    log.flush()
    assert logged_errors == []


def test_errors_of_another_type_or_line_are_other_errors(
    log: ErrorLog, logged_errors: Records
) -> None:
    for _ in range(TRACEBACKS + 1):
        log.report(PEER, error())
        log.report(PEER, error(KeyError))
        log.report(PEER, error_on_line(1))
        log.report(PEER, error_on_line(2))
    assert len(logged_errors) == 4 * TRACEBACKS


def test_the_kinds_that_are_told_apart_are_bounded_and_no_count_is_lost(
    log: ErrorLog, logged_errors: Records
) -> None:
    for _ in range(TRACEBACKS + 5):
        log.report(PEER, error())
    logged_errors.clear()
    for line in range(2 * KINDS):
        log.report(PEER, error_on_line(line))
    assert len(log._counts) <= KINDS
    hidden = [text for text in messages(logged_errors) if "without traceback" in text]
    assert len(hidden) == 1
    assert "5 more" in hidden[0]


def test_a_clock_that_starts_again_forgets_nothing(
    log: ErrorLog, clock: Clock, logged_errors: Records
) -> None:
    clock.now = 0.0
    for _ in range(TRACEBACKS + 1):
        log.report(PEER, error())
    log.flush()
    assert len(logged_errors) == TRACEBACKS + 1


def test_wrong_results_of_two_callbacks_are_two_errors(logged_errors: Records) -> None:
    """Each would hide the other else: neither was raised on a line of the user's."""

    def provoke(harness: Harness[Any], callback: str) -> None:
        harness.connect()
        if callback == "data_received":
            harness.feed(b"data")

    def build() -> Recorder:
        return Recorder(**{callback: lambda _: 5})

    factory = Factory(build)
    for callback in ["connection_made"] * (TRACEBACKS + 1) + ["data_received"]:
        provoke(Harness(factory, callback_errors="log"), callback)
    assert "data_received" in messages(logged_errors)[-1]
