"""Measure trioproto against uvloop, asyncio, Twisted and plain trio, in one run.

    nox -s bench                                   # all of it, about fifteen minutes
    python -m tests.benchmarks --only echo_1k,lines_16
    python -m tests.benchmarks --only tls_small,tls_64k,tls_handshakes,tls_idle
    python -m tests.benchmarks --only accept,forward_64k
    python -m tests.benchmarks --only limits_echo,limits_idle,limits_accept
    python -m tests.benchmarks --only framing      # decoding alone, half a minute
    python -m tests.benchmarks --only kit          # an exchange in a test, some seconds
    python -m tests.benchmarks --quick             # a look at whether all of it works
    python -m tests.benchmarks --list

What is measured. Each server is a process of its own, alone on one core; the load generator, one
thread of C, is on another. It works in a closed loop: each connection sends a message, waits for
the whole reply and sends the next. Before a window is measured every connection's reply is
compared byte by byte with what was sent. All servers of a scenario are alternated (A B C, A B C,
...), each time in a new process, and what is shown is the median over the rounds.

How to read it. An absolute number says little: it changes with the machine and with what else
runs there. Read the ratios, and beside them the column "rounds", the least and the greatest ratio
of a single round: where these lie far apart the machine was not quiet. "CPU us" is the CPU time
that the server's process used for one request (for one recipient in a broadcast); it does not
depend on the generator. Where "generator busy" is near 100 % and "server busy" is not, the
generator was what limited the throughput, and the CPU time is the better comparison; where neither
is, something else was running there, and a note says so. The row "C epoll" shows the most that the
generator can ask for. Nearly all of its time is the kernel's, which every server pays too: what it
reaches above another row is about all the room that there is on this machine. Latencies are those
of a server that is kept busy all the time: they follow from the throughput, and only their spread
(p99) tells something.

"framing" is decoding alone, with neither sockets nor servers: see `framing.py`. "kit" is the test
kit, in one process too: see `kit.py`.

Over TLS all speak version 1.3 with the same cipher and group, which the generator prescribes, and
with a certificate that is made for the run. Each server has freed one large block of memory before
it begins: without that uvloop is 2.5 times slower until its first connection has ended
(`servers/common.py` tells why). A handshake is a full one, never a session resumed; it counts once
a line has been answered and both sides have said their end. It costs the generator as much as the
server, or more: the row "CPU" of the targets compares what the servers spent on one.

A connection is "accepted" once its line has been answered and the server has closed it.

A forwarder has its core for itself; the echo server behind it, in C, is on a third core, or on the
generator's where there are only two. Its CPU time then counts as the generator's. socat's is that
of all its processes.

TLS needs OpenSSL's headers (Debian: libssl-dev) and trustme, the forwarders need socat. What cannot
be measured without them is left out, and says so.

Memory is what the server's resident set grows by, for each further connection that has been used
once. The targets are those that the project has set itself; nothing fails when one is not
reached, only when something could not be measured at all. This is no test and pytest never
collects it.

The results are also written as JSON, with every round: by default to .bench/results.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from . import framing, kit, machine, report
from .measure import Results, run
from .scenario import Scenario
from .scenarios import SCENARIOS

QUICK_IDLE = 1_000
FRAMING = "framing"
KIT = "kit"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", metavar="NAME,...", help="only these scenarios")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds (default 5)")
    parser.add_argument("--seconds", type=float, metavar="S", help="a server's round (default 2)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where the results go")
    parser.add_argument("--list", action="store_true", help="name the scenarios, measure nothing")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of half a second, fewer idle connections: does everything work?",
    )
    options = parser.parse_args(arguments)
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    if options.seconds is None:
        options.seconds = 0.5 if options.quick else 2.0
    if options.rounds < 1 or not 0 < options.seconds <= 60:
        parser.error("at least one round, of more than 0 and at most 60 seconds, is needed")
    try:
        options.framing = not options.only or FRAMING in options.only.split(",")
        options.kit = not options.only or KIT in options.only.split(",")
        options.scenarios = select(options.only, quick=options.quick)
    except KeyError as unknown:
        parser.error(f"no scenario is called {unknown}; --list names them")
    return options


def select(only: str | None, *, quick: bool) -> list[Scenario]:
    """The scenarios that are asked for, in their usual order."""
    known = {scenario.name: scenario for scenario in SCENARIOS}
    names = only.split(",") if only else list(known)
    for name in names:
        if name not in (FRAMING, KIT):
            known[name]
    chosen = [scenario for name, scenario in known.items() if name in names]
    return [scenario.scaled_down(QUICK_IDLE) for scenario in chosen] if quick else chosen


def show_list() -> None:
    rows = [(s.name, s.title, ", ".join(c.name for c in s.contenders)) for s in SCENARIOS]
    tasks = [(FRAMING, task.title, ", ".join(task.decoders)) for task in framing.TASKS]
    ways = [(KIT, "an exchange in a test", ", ".join(kit.WAYS))]
    print(report.table([*rows, *tasks, *ways], left=3))


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def write_json(
    path: Path,
    options: argparse.Namespace,
    done: list[Results],
    decoding: framing.Framing | None,
    costs: kit.KitCosts | None,
    began: str,
) -> None:
    """Write what there is so far; a run that is interrupted keeps it."""
    data = {
        "began": began,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "machine": machine.facts(),
        "versions": machine.versions(),
        "scenarios": [report.as_data(results) for results in done],
        "framing": decoding.data() if decoding else [],
        "kit": costs.data() if costs else [],
    }
    path.write_text(json.dumps(data, indent=1) + "\n")


def measure(options: argparse.Namespace) -> tuple[list[Results], framing.Framing | None]:
    path = options.json or machine.cache_directory() / "results.json"
    began = datetime.now(UTC).isoformat(timespec="seconds")
    done: list[Results] = []
    decoding = costs = None
    if options.framing:
        decoding = framing.measure(options.rounds, progress)
        print(decoding.text(), flush=True)
        write_json(path, options, done, decoding, costs, began)
    if options.kit:
        costs = kit.measure(options.rounds, progress)
        print(costs.text(), flush=True)
        write_json(path, options, done, decoding, costs, began)
    for scenario in options.scenarios:
        done.append(run(scenario, options.rounds, options.seconds, progress))
        print(report.scenario_text(done[-1]), flush=True)
        write_json(path, options, done, decoding, costs, began)
    return done, decoding


def main() -> int:
    options = parse()
    if options.list:
        show_list()
        return 0
    if len(set(machine.cores())) == 1:
        progress("note: there is only one core; server and generator share it")
    try:
        done, decoding = measure(options)
    except machine.Unavailable as missing:
        print(f"error: {missing}", file=sys.stderr)
        return 1
    if done:
        print(report.targets_text(done))
        if decoding:
            print("\n" + framing.targets_text(decoding))
    return 1 if any(results.failures for results in done) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
