"""The results for people, as aligned text, and for programs, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from statistics import median

from .measure import Results, Sample
from .scenario import Target

NOTHING = "-"
Row = Sequence[str]


def table(rows: Iterable[Row], left: int = 1) -> str:
    """Align the columns; the first ``left`` of them to the left, the others to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def scenario_text(results: Results) -> str:
    """One scenario: a row a server, a row a target, and what went wrong."""
    scenario = results.scenario
    title = f"{scenario.name}: {scenario.title}"
    if results.left_out:
        return f"{title}\nLEFT OUT: {results.left_out}\n"
    head = (
        "server", scenario.measurement.unit, f"to {scenario.reference}", "CPU us",
        "p50 us", "p99 us", "server busy", "generator busy",
    )  # fmt: skip
    rows = [head, *(_server_row(results, c.name) for c in scenario.contenders)]
    parts = [title, table(rows), targets_text([results])]
    parts += [f"FAILED {name}: {why}" for name, why in results.failures.items()]
    parts += [f"note: {name} said: {what}" for name, what in results.complaints.items()]
    parts += _disturbed(results)
    return "\n".join(parts) + "\n"


def _disturbed(results: Results) -> Iterator[str]:
    for contender in results.scenario.contenders:
        rounds = results.rounds(contender.name)
        if count := sum(sample.disturbed for sample in rounds):
            which = f"{count} of {len(rounds)} rounds"
            yield f"note: {contender.name}: not alone on its core in {which}"


def _server_row(results: Results, server: str) -> Row:
    def middle(name: str, pattern: str) -> str:
        values = [getattr(sample, name) for sample in results.rounds(server)]
        return pattern.format(median(values)) if values and None not in values else NOTHING

    large = "{:,.0f}" if (results.value(server) or 0) >= 100 else "{:,.2f}"
    ratio = results.ratio(server, results.scenario.reference)
    return (
        server, middle("value", large), NOTHING if ratio is None else f"{ratio:.2f}",
        middle("cpu_us", "{:.2f}"), middle("p50_us", "{:,.0f}"), middle("p99_us", "{:,.0f}"),
        middle("server_busy", "{:.0%}"), middle("generator_busy", "{:.0%}"),
    )  # fmt: skip


def targets_text(all_results: Iterable[Results]) -> str:
    head = ("scenario", "server", "against", "ratio", "rounds", "target", "reached", "goal")
    rows = [_target_row(results, t) for results in all_results for t in results.scenario.targets]
    return table([head, *rows], left=3)


def _target_row(results: Results, target: Target) -> Row:
    scenario = results.scenario
    ratio = results.target_ratio(target)
    each = results.ratios(target)
    sign = ">=" if scenario.measurement.more_is_better else "<="

    def verdict(bound: float) -> str:
        return NOTHING if ratio is None else "yes" if scenario.reached(ratio, bound) else "NO"

    return (
        scenario.name, target.server, target.against,
        NOTHING if ratio is None else f"{ratio:.2f}",
        f"{min(each):.2f}..{max(each):.2f}" if each else NOTHING,
        f"{sign} {target.bound:.2f}", verdict(target.bound),
        "" if target.goal is None else f"{sign} {target.goal:.2f} {verdict(target.goal)}",
    )  # fmt: skip


def as_data(results: Results) -> dict[str, object]:
    """A scenario for the JSON file, with every round."""
    scenario = results.scenario
    return {
        "name": scenario.name,
        "title": scenario.title,
        "unit": scenario.measurement.unit,
        "more_is_better": scenario.measurement.more_is_better,
        "measurement": asdict(scenario.measurement),
        "left_out": results.left_out,
        "servers": {
            c.name: {
                "median": results.value(c.name),
                "rounds": [_without_nothing(s) for s in results.samples.get(c.name, [])],
                "failure": results.failures.get(c.name),
            }
            for c in scenario.contenders
        },
        "targets": [_target_data(results, target) for target in scenario.targets],
    }


def _without_nothing(sample: Sample) -> dict[str, float]:
    return {name: value for name, value in asdict(sample).items() if value is not None}


def _target_data(results: Results, target: Target) -> dict[str, object]:
    ratio = results.target_ratio(target)
    reached = None if ratio is None else results.scenario.reached(ratio, target.bound)
    return {**asdict(target), "ratio": ratio, "ratios": results.ratios(target), "reached": reached}
