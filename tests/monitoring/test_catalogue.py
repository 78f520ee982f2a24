"""What the docs list of events and metrics is what the code has."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import pytest

from tests.examples.running import REPOSITORY
from trioproto import events
from trioproto.factory import Factory
from trioproto.monitoring.metrics import DURATIONS, METRICS, Duration, Metric
from trioproto.sansio.counts import Statistics

DOCS = REPOSITORY / "docs"
PAGE = (DOCS / "monitoring.md").read_text(encoding="utf-8")
NAMES = {event.name for event in events.EVENTS}
EVERY: tuple[Metric | Duration, ...] = (*METRICS, *DURATIONS)


@pytest.fixture(scope="module")
def catalogue() -> Any:
    """The module that makes the docs' tables."""
    spec = spec_from_file_location("catalogue", DOCS / "catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_both_tables() -> None:
    assert PAGE.count("```{events-table}\n```") == 1
    assert PAGE.count("```{metrics-table}\n```") == 1


def test_every_event_and_every_field_of_it_has_a_row_with_words(catalogue: Any) -> None:
    rows = catalogue.events_rows()
    listed: dict[str, list[str]] = {}
    kind = ""
    for name, field, words in rows:
        assert words, (name, field)
        if name:
            listed[name] = []
            kind = field
            assert getattr(events, kind).name == name
        else:
            listed[getattr(events, kind).name].append(field)
    assert listed == {
        event.name: [field.name for field in fields(event)] for event in events.EVENTS
    }


def test_every_event_is_public() -> None:
    assert {*events.__all__} == {"EVENTS", "Event", *(kind.__name__ for kind in events.EVENTS)}
    defined = {kind for kind in vars(events).values() if isinstance(kind, type)}
    assert defined == {events.Event, *events.EVENTS}


def test_every_metric_has_a_row_with_words(catalogue: Any) -> None:
    rows = {row[:2]: row[2:] for row in catalogue.metrics_rows()}
    assert rows.keys() == {(each.prometheus, each.opentelemetry) for each in EVERY}
    assert all(words for *_, words in rows.values())


def test_names_that_the_page_mentions_are_those_of_events_and_metrics() -> None:
    kinds = {name.partition(".")[0] for name in NAMES}
    mentioned = set(re.findall(r"`([a-z]+\.[a-z]+)`", PAGE))
    assert {name for name in mentioned if name.partition(".")[0] in kinds - {"server"}} <= NAMES
    assert set(re.findall(r"`(trioproto_\w+)`", PAGE)) <= {each.prometheus for each in EVERY}


def test_every_number_of_the_statistics_is_a_metric() -> None:
    """Each is read by exactly one."""
    for field in fields(Statistics):
        now = Factory().statistics()
        values = {each.name: getattr(now, each.name) for each in fields(now)}
        is_mapping = isinstance(values[field.name], dict)
        values[field.name] = {"odd": 7} if is_mapping else 7
        changed = Statistics(**values)
        reading = [metric for metric in METRICS if metric.read(changed) != metric.read(now)]
        assert len(reading) == 1, field.name
        assert reading[0].values(changed) == [(("odd",) if is_mapping else (), 7)]
        assert (reading[0].label is not None) is is_mapping


def test_names_of_metrics_follow_the_conventions_of_both() -> None:
    names = [each.prometheus for each in EVERY]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"trioproto(_[a-z]+)+", metric.prometheus)
        assert re.fullmatch(r"trioproto(\.[a-z]+)+", metric.opentelemetry)
        assert metric.prometheus.endswith("_total") is (metric.kind == "counter")
        assert ("_bytes" in metric.prometheus) is (metric.unit == "By")
        assert metric.unit == "By" or re.fullmatch(r"{[a-z]+}", metric.unit)
    for duration in DURATIONS:
        assert duration.prometheus.endswith("_seconds")
        assert list(duration.buckets) == sorted(duration.buckets)


def test_the_package_alone_imports_no_exporter() -> None:
    code = (
        "import sys, trioproto\n"
        "print(*(n for n in sys.modules if n.partition('.')[0] in "
        "('prometheus_client', 'opentelemetry') or n.startswith('trioproto.monitoring')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
