"""Break the package on purpose, and see that the tests notice.

    nox -s mutants
    python -m tests.mutants --list
    python -m tests.mutants --only lose-tail-at-close --only forget-slot

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
from collections.abc import Sequence
from pathlib import Path

import trio

from .copies import Copy
from .mutant import THINGS, Mutant, Stale
from .outcome import Result
from .table import MUTANTS
from .trial import Verdict, run_chosen, trial


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


async def try_all(mutants: Sequence[Mutant], jobs: int, place: Path) -> list[Verdict]:
    """Try mutants, so many at a time; none if the tests fail without them."""
    copies = [Copy(place / str(number)) for number in range(jobs)]
    for mutant in mutants:
        mutant.applied((copies[0].root / mutant.path).read_text(encoding="utf-8"))
    if not await all_sound(copies, sorted({test for each in mutants for test in each.tests})):
        return []
    verdicts: list[Verdict] = []
    waiting = list(reversed(mutants))

    async def work(copy: Copy) -> None:
        while waiting:
            verdict = await trial(copy, waiting.pop())
            print(f"{verdict.mutant.name}: {verdict.told}", flush=True)
            verdicts.append(verdict)

    async with trio.open_nursery() as nursery:
        for copy in copies:
            nursery.start_soon(work, copy)
    return verdicts


async def all_sound(copies: Sequence[Copy], tests: Sequence[str]) -> bool:
    """Run the tests without any mutant, a share in each copy; say whether they pass."""
    sound = True

    async def work(copy: Copy, share: Sequence[str]) -> None:
        nonlocal sound
        outcome = await run_chosen(copy, share)
        print(f"without mutants, {outcome.package}: {outcome.result.value}", end=" ")
        print(f"in {outcome.seconds:.1f} s {outcome.told}", flush=True)
        sound = sound and outcome.result is Result.PASSED

    async with trio.open_nursery() as nursery:
        for number, copy in enumerate(copies):
            if share := tests[number :: len(copies)]:
                nursery.start_soon(work, copy, share)
    return sound


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
