"""Break the package on purpose, and see that the tests notice.

    nox -s mutants
    python -m tests.mutants --list
    python -m tests.mutants --only lose-tail-at-close --only forget-slot-of-gone

Nothing is changed here: each mutant is made in a copy of the project. The tests that are most
likely to notice are run first without any of them, as otherwise their failure would prove
nothing, then with each; one that they let pass is tried against the whole suite. Only a test
that fails has caught a mutant, or one that hangs, which is said. The status is 0 if all are.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import trio

from .mutant import THINGS, Stale
from .table import MUTANTS
from .trials import try_all


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=(__doc__ or "").partition("\n")[0]
    )
    names = [each.name for each in MUTANTS]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help="can be repeated"
    )
    parser.add_argument("--list", action="store_true", help="only say which there are")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), metavar="N")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("at least one job is needed")
    return options


def show() -> None:
    """Say which mutants there are."""
    for thing in THINGS:
        print(f"{thing}:")
        for mutant in MUTANTS:
            if mutant.thing == thing:
                print(f"    {mutant.name} ({mutant.path}): {mutant.breaks}")


def main() -> int:
    options = parse()
    if options.list:
        show()
        return 0
    mutants = [each for each in MUTANTS if not options.only or each.name in options.only]
    began_at = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        try:
            verdicts = trio.run(try_all, mutants, options.jobs, Path(place))
        except Stale as stale:
            print(stale, file=sys.stderr)
            return 2
    caught = sum(verdict.caught for verdict in verdicts)
    took = time.monotonic() - began_at
    print(f"{caught} of {len(mutants)} mutants caught in {took:.0f} s")
    return 0 if caught == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
