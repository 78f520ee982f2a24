"""One mutant against the tests: those that should notice, or else all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .copies import Copy
from .mutant import Mutant
from .outcome import Outcome, Result

CHOSEN_STALL = 30.0
"""Seconds without news after which a test that was chosen for a mutant has hung."""
CHOSEN_LIMIT = 180.0
"""Seconds for all that were chosen."""
SUITE_STALL = 120.0
"""The same for the whole suite, which has slower tests."""
SUITE_LIMIT = 1800.0

_FEW = ("-o", "addopts=--strict-markers")
"""For a few tests; whatever the whole suite runs with would only delay them."""
_ALL = ("--ignore=tests/mutants",)
"""The whole suite as it is always run, without the test of whether the mutants fit."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant.

    Attributes:
        mutant: which.
        caught: whether a test has shown that it is broken.
        told: the line about it.
    """

    mutant: Mutant
    caught: bool
    told: str


async def run_chosen(copy: Copy, tests: Sequence[str]) -> Outcome:
    """Run some tests."""
    return await copy.run([*_FEW, *tests], stall=CHOSEN_STALL, limit=CHOSEN_LIMIT)


async def run_suite(copy: Copy) -> Outcome:
    """Run all of them, in the order in which they are always run."""
    return await copy.run(_ALL, stall=SUITE_STALL, limit=SUITE_LIMIT)


async def trial(copy: Copy, mutant: Mutant) -> Verdict:
    """See whether a mutant is caught; the chosen tests have passed without it.

    A test that has failed is run once more, alone: on a busy machine one may fail for
    no reason.

    Raises:
        Stale: the mutant does not fit the code.
    """
    with copy.broken_by(mutant):
        first = await run_chosen(copy, mutant.tests)
        chosen = first.result is not Result.PASSED
        if not chosen:
            first = await run_suite(copy)
        if first.result is Result.PASSED:
            return Verdict(mutant, False, f"SURVIVED the whole suite, in {first.seconds:.0f} s")
        if first.result is Result.BROKEN:
            return Verdict(mutant, False, f"NOT TRIED, as the tests could not be run: {first.told}")
        again = await run_chosen(copy, [first.told])
        if again.result is not first.result:
            told = f"UNSURE: {first.told} {first.result.value}, but not when it was run alone"
            return Verdict(mutant, False, told)
    if not chosen and (await run_chosen(copy, [first.told])).result is not Result.PASSED:
        return Verdict(mutant, False, f"UNSURE: {first.told} fails without it as well")
    by = "" if first.result is Result.FAILED else "a HANG, ended from outside, of "
    late = "" if chosen else ", which was not chosen"
    return Verdict(mutant, True, f"caught by {by}{first.told} in {first.seconds:.1f} s{late}")
