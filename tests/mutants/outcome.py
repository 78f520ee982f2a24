"""What a run of tests has shown, read from what it has reported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from .witness import BEGAN, BROKEN, ENDED, FAILED, PACKAGE


class Result(Enum):
    PASSED = "passed"
    FAILED = "failed"
    HUNG = "hung"
    BROKEN = "broken"
    """Which shows nothing: what cannot be imported fails whatever the tests are worth."""


@dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes:
        result: what it was.
        told: the test that failed or hung; or what pytest said last, if it could
            not be run.
        seconds: how long it took.
        package: the file that was imported as trioproto.
    """

    result: Result
    told: str
    seconds: float
    package: str


class NotTheCopy(Exception):
    """A run has imported another trioproto than that of its copy."""


def read(witness: Path, root: Path, status: int | None, output: str, *, seconds: float) -> Outcome:
    """Say what a run has shown.

    Args:
        witness: the file that the plugin has written.
        root: the copy that was to be tested.
        status: pytest's; ``None`` if it was ended from outside, as it had hung.
        output: the last that it has printed, or why it was ended.
        seconds: how long it took.

    Raises:
        NotTheCopy: another package was tested.
    """
    news = _news(witness)
    package = next((of for what, of in news if what == PACKAGE), "")
    if package and not Path(package).is_relative_to(root):
        raise NotTheCopy(f"{package} was imported, which is not in {root}")

    def outcome(result: Result, told: str) -> Outcome:
        return Outcome(result, told, seconds, package)

    broken = [of for what, of in news if what == BROKEN]
    failed = [of for what, of in news if what == FAILED]
    if failed and not broken:
        return outcome(Result.FAILED, failed[0])
    if status is None and not output:
        running = [of for what, of in news if what == BEGAN]
        for each in (of for what, of in news if what == ENDED):
            running.remove(each)
        if running:
            return outcome(Result.HUNG, running[0])
        return outcome(Result.BROKEN, "it took too long, and no test was running")
    if status == 0 and news and not broken:
        return outcome(Result.PASSED, "")
    return outcome(Result.BROKEN, "\n".join(broken) or output or f"status {status}")


def _news(witness: Path) -> list[tuple[str, str]]:
    try:
        lines = witness.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [(what, of) for what, of in map(json.loads, lines)]
