"""Many mutants, after the tests have passed without any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import trio

from .copies import ROOT, Copy
from .mutant import Mutant
from .outcome import Result
from .trial import Verdict, run_chosen, trial


async def try_all(
    mutants: Sequence[Mutant], jobs: int, place: Path, of: Path = ROOT
) -> list[Verdict]:
    """Try mutants, and say of each what became of it; none if the tests fail without them.

    Args:
        mutants: which.
        jobs: how many at a time, each in a copy of its own.
        place: an empty folder for the copies.
        of: the project.

    Raises:
        Stale: one does not fit the code; nothing was tried.
    """
    copies = [Copy(place / str(number), of) for number in range(jobs)]
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
