"""One round of one server, and the rounds of a scenario: A B C, A B C, ..."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from .processes import Measured, MeasurementFailed, Server, lacking, serving
from .scenario import (
    LIMIT,
    Broadcast,
    Contender,
    IdleMemory,
    Scenario,
    Target,
    Throughput,
    Visits,
)

BUSY = 0.9


@dataclass(frozen=True)
class Sample:
    """One server in one round. ``value`` is in the scenario's unit; memory has no other fields."""

    value: float
    cpu_us: float | None = None  # the server's CPU time a request, or a recipient
    p50_us: float | None = None
    p99_us: float | None = None
    server_busy: float | None = None  # shares of their cores
    generator_busy: float | None = None

    @property
    def disturbed(self) -> bool:
        """In a closed loop one of the two is always at work, unless something else was."""
        shares = self.server_busy, self.generator_busy
        return None not in shares and max(share or 0 for share in shares) < BUSY


@dataclass
class Results:
    """What the rounds of a scenario gave: a server either has all its rounds or a failure.

    ``left_out`` says what is lacking to measure any.
    """

    scenario: Scenario
    left_out: str | None = None
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    complaints: dict[str, str] = field(default_factory=dict)  # last words on standard error

    def rounds(self, server: str) -> list[Sample]:
        return [] if server in self.failures else self.samples.get(server, [])

    def value(self, server: str) -> float | None:
        """The median over the rounds."""
        return median(s.value for s in rounds) if (rounds := self.rounds(server)) else None

    def ratio(self, server: str, reference: str) -> float | None:
        """The ratio of the medians."""
        ours, theirs = self.value(server), self.value(reference)
        return ours / theirs if ours is not None and theirs else None

    def target_ratio(self, target: Target) -> float | None:
        """What is held against the target's bound: made of the medians."""
        names = _compared(target)
        if not all(map(self.rounds, names)):
            return None
        figure = _figure(target)
        return _ratio(target, *(median(map(figure, self.rounds(name))) for name in names))

    def ratios(self, target: Target) -> list[float]:
        """Each round's own ratio: how far the rounds agree."""
        figure = _figure(target)
        rounds = zip(*(self.rounds(name) for name in _compared(target)), strict=False)
        return [_ratio(target, *map(figure, samples)) for samples in rounds]


def _compared(target: Target) -> list[str]:
    return [target.server, target.reference, *([LIMIT] if target.own_cpu else [])]


def _figure(target: Target) -> Callable[[Sample], float]:
    return _cpu if target.cpu or target.own_cpu else _value


def _value(sample: Sample) -> float:
    return sample.value


def _cpu(sample: Sample) -> float:
    assert sample.cpu_us is not None
    return sample.cpu_us


def _ratio(target: Target, ours: float, theirs: float, limit: float = 0.0) -> float:
    """How many times ours is theirs; of CPU times, theirs is ours; or by how much ours is more."""
    if target.difference:
        return ours - theirs
    if target.cpu or target.own_cpu:
        return (theirs - limit) / max(ours - limit, 0.01)
    return ours / max(theirs, 0.01)


def run(
    scenario: Scenario, rounds: int, seconds: float, progress: Callable[[str], None]
) -> Results:
    """Alternate the servers, each in a new process every time; who fails is left out."""
    results = Results(scenario, lacking(scenario))
    if results.left_out:
        return results
    for number in range(1, rounds + 1):
        for contender in scenario.contenders:
            if contender.name not in results.failures:
                label = f"{scenario.name} {number}/{rounds} {contender.name}"
                progress(f"{label}: {_one_round(results, contender, seconds)}")
    return results


def _one_round(results: Results, contender: Contender, seconds: float) -> str:
    scenario = results.scenario
    try:
        with serving(scenario, contender) as server:
            sample = _measure(scenario, contender, server, seconds)
            if complaint := server.complaint():
                results.complaints[contender.name] = complaint
    except MeasurementFailed as error:
        results.failures[contender.name] = str(error)
        return f"failed: {error}"
    results.samples.setdefault(contender.name, []).append(sample)
    return f"{sample.value:,.2f} {scenario.measurement.unit}"


def _measure(scenario: Scenario, contender: Contender, server: Server, seconds: float) -> Sample:
    match scenario.measurement:
        case Throughput() as wanted:
            return _throughput(wanted, contender.idle, server, seconds)
        case Visits() as wanted:
            return _visits(wanted, contender.idle, server, seconds)
        case Broadcast() as wanted:
            return _broadcast(wanted, server, seconds)
        case IdleMemory() as wanted:
            return _idle_memory(wanted, server)


def _throughput(wanted: Throughput, idle: int, server: Server, seconds: float) -> Sample:
    held = server.hold(idle) if idle else None
    result = server.load(
        "load", seconds=seconds, c=wanted.connections, b=wanted.size, l=wanted.line
    )
    if held:
        held.check()
    return _rate(result)


def _visits(wanted: Visits, idle: int, server: Server, seconds: float) -> Sample:
    held = server.hold(idle) if idle else None
    result = server.load(
        "visits", seconds=seconds, c=wanted.connections, b=wanted.size, l=wanted.size
    )
    if held:
        held.check()
    return _rate(result)


def _broadcast(wanted: Broadcast, server: Server, seconds: float) -> Sample:
    result = server.load(
        "broadcast", seconds=seconds, c=wanted.connections, b=wanted.size, l=wanted.size
    )
    cpu_us = result.server_cpu / max(1, result.requests) / wanted.connections * 1e6
    return _sample(result, cpu_us, cpu_us)


def _idle_memory(wanted: IdleMemory, server: Server) -> Sample:
    first = server.hold(wanted.first)
    before = server.steady_memory()
    rest = server.hold(wanted.connections)
    grown = server.steady_memory() - before
    first.check()
    rest.check()
    return Sample(grown / wanted.connections)


def _rate(result: Measured) -> Sample:
    cpu_us = result.server_cpu / max(1, result.requests) * 1e6
    return _sample(result, result.requests / result.seconds, cpu_us)


def _sample(result: Measured, value: float, cpu_us: float) -> Sample:
    return Sample(
        value=value,
        cpu_us=cpu_us,
        p50_us=result.p50_us,
        p99_us=result.p99_us,
        server_busy=result.server_cpu / result.seconds,
        generator_busy=result.generator_cpu / result.seconds,
    )
