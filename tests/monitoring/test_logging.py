"""Events as log records: a sentence, its parts, and a level."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.monitoring.conversations import Echo, talking
from trioproto import Factory, Protocol, open_server
from trioproto.errors import ConnectionClosed
from trioproto.factory import Factory as PureFactory
from trioproto.monitoring.logging import log_events
from trioproto.testing import Harness


class Keeps(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Level and text of all that is about connections."""
        return [(record.levelname, record.getMessage()) for record in self.connections]

    @property
    def connections(self) -> list[logging.LogRecord]:
        return [each for each in self.records if facts_in(each)["event"].startswith("connection.")]


def facts_in(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = vars(record)["trioproto"]
    return found


@pytest.fixture
def kept() -> Iterator[Keeps]:
    logger = logging.getLogger("trioproto.events")
    handler = Keeps()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


async def test_each_event_is_a_sentence_with_a_level(kept: Keeps) -> None:
    factory = Factory(Echo)
    with log_events(factory):
        async with talking(factory):
            pass
    assert [level for level, _ in kept.lines] == ["DEBUG", "DEBUG", "INFO"]
    accepted, opened, closed = (text for _, text in kept.lines)
    assert accepted == "connection from StapledStream accepted"
    assert opened == "connection from StapledStream open, to tests.monitoring.conversations.Echo"
    assert closed.startswith("connection from StapledStream closed after ")
    assert closed.endswith(" s, 5 bytes in, 10 out: ConnectionDone")


async def test_the_parts_of_an_event_are_in_its_record(kept: Keeps) -> None:
    factory = Factory(Echo)
    with log_events(factory):
        async with talking(factory):
            pass
    closed = facts_in(kept.connections[-1])
    assert closed["event"] == "connection.closed"
    assert closed["reason"] == "ConnectionDone"
    assert closed["bytes_received"] == 5
    assert json.loads(json.dumps(closed)) == closed


def test_an_error_is_a_warning_and_its_traceback_stays_where_it_was(
    kept: Keeps, logged_errors: list[logging.LogRecord]
) -> None:
    class Fails(Protocol):
        def connection_made(self) -> None:
            raise LookupError("two\nlines")

    factory = PureFactory(Fails)
    with log_events(factory):
        Harness(factory, callback_errors="log").connect()
    (record,) = [each for each in kept.records if each.levelno >= logging.WARNING]
    assert record.levelname == "WARNING"
    assert record.exc_info is None
    assert "LookupError" in record.getMessage()
    assert "\n" not in record.getMessage()
    assert len(logged_errors) == 1


def test_levels_can_be_chosen_by_the_names_of_events(kept: Keeps) -> None:
    factory = PureFactory(Protocol)
    levels = {"connection.accepted": logging.ERROR, "connection.closed": logging.DEBUG}
    logger = logging.getLogger("trioproto.events")
    logger.propagate = False
    try:
        with log_events(factory, levels=levels):
            harness = Harness(factory)
            harness.connect()
            harness.reset()
    finally:
        logger.propagate = True
    assert [level for level, _ in kept.lines] == ["ERROR", "DEBUG", "DEBUG"]


def test_a_level_for_an_event_that_there_is_not_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no events connection\.bored"):
        log_events(PureFactory(Protocol), levels={"connection.bored": logging.INFO})


def test_what_is_below_the_loggers_level_is_not_put_together(kept: Keeps) -> None:
    read: list[str] = []

    class Odd(ConnectionClosed):
        def __str__(self) -> str:
            read.append("the reason's text")
            return "odd"

    logger = logging.getLogger("trioproto.events")
    factory = PureFactory(Protocol)
    with log_events(factory):
        for level in (logging.WARNING, logging.INFO):
            assert read == []
            logger.setLevel(level)
            harness = Harness(factory)
            harness.connect()
            harness.transport.abort(Odd())
    assert read
    assert [facts_in(record)["event"] for record in kept.records] == ["connection.closed"]


def test_another_logger_may_be_given(kept: Keeps) -> None:
    logger = logging.getLogger("trioproto.events.mine")
    factory = PureFactory(Protocol)
    with log_events(factory, logger):
        factory._monitor.suspended()
    assert [record.name for record in kept.records] == ["trioproto.events.mine"]


def test_nothing_is_logged_after_the_end(kept: Keeps) -> None:
    factory = PureFactory(Protocol)
    subscription = log_events(factory)
    subscription.cancel()
    factory._monitor.suspended()
    assert kept.records == []


async def test_a_server_can_be_logged(kept: Keeps) -> None:
    async with open_server(Factory(Echo), "tcp:0:interface=127.0.0.1") as server:
        log_events(server)
    assert facts_in(kept.records[0])["event"] == "listener.started"


def test_what_is_no_factory_is_refused() -> None:
    with pytest.raises(TypeError, match="neither a factory nor a server"):
        log_events(Echo())  # type: ignore[arg-type]
