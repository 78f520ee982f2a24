"""What counts as caught, tried with a package of one line and real runs of pytest."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from .copies import ROOT, Copy
from .mutant import THINGS, Mutant, Stale
from .outcome import NotTheCopy, Result, read
from .trial import run_chosen, trial
from .trials import try_all
from .witness import BEGAN, BROKEN, ENDED, FAILED, PACKAGE

TWICE = "tests/test_twice.py"
OTHERS = "tests/test_others.py"

PLAIN = """
    def twice(number):
        return 2 * number
"""
OF_PLAIN = """
    from trioproto import twice

    def test_none(): assert twice(0) == 0
    def test_two(): assert twice(2) == 4
    def test_three(): assert twice(3) == 6
"""
BLIND = """
    from trioproto import twice

    def test_two(): assert twice(2) == 4
"""
SLOW = """
    import pytest, time

    @pytest.mark.parametrize("number", range(1000))
    def test_slowly(number): time.sleep(0.1)
"""
MOODY = """
    from pathlib import Path

    def test_fails_only_once():
        been_here = Path("been-here")
        before = been_here.exists()
        been_here.touch()
        assert before
"""


def of_plain(name: str, change: str) -> Mutant:
    return Mutant(name, THINGS[0], "it is not twice", "__init__.py", change, (TWICE,))


HANGS = of_plain("hangs", " def twice(number):\n+    while number: pass")
WRONG = of_plain("wrong", "-    return 2 * number\n+    return 2 + number")
NO_PYTHON = of_plain("no-python", "-    return 2 * number\n+    return 2 *")


class Project:
    """A small package, the plugin, and tests."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.of = place / "of"
        (self.of / "trioproto").mkdir(parents=True)
        (self.of / "tests" / "mutants").mkdir(parents=True)
        self.write("trioproto/__init__.py", PLAIN)
        self.write("tests/__init__.py", "")
        self.write("tests/mutants/__init__.py", "")
        self.write(TWICE, OF_PLAIN)
        shutil.copy(ROOT / "tests/mutants/witness.py", self.of / "tests/mutants")

    def write(self, file: str, text: str) -> None:
        (self.of / file).write_text(dedent(text), encoding="utf-8")

    def copy(self) -> Copy:
        return Copy(self.place / "copy", self.of)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # for the children: they start faster
    return Project(tmp_path)


async def test_a_mutant_is_caught_by_the_test_that_fails_and_undone_then(project: Project) -> None:
    copy = project.copy()
    verdict = await trial(copy, WRONG)
    assert verdict.caught
    assert verdict.told.startswith(f"caught by {TWICE}::test_none in ")
    sound = await run_chosen(copy, WRONG.tests)
    assert sound.result is Result.PASSED
    assert sound.package == str(copy.root / "trioproto/__init__.py")


async def test_a_test_that_hangs_is_named_and_said_to_hang(project: Project) -> None:
    copy = project.copy()
    with copy.broken_by(HANGS):
        outcome = await copy.run(HANGS.tests, stall=2, limit=60)
    assert (outcome.result, outcome.told) == (Result.HUNG, f"{TWICE}::test_two")


async def test_time_that_is_over_while_tests_pass_is_no_hang(project: Project) -> None:
    project.write(TWICE, SLOW)
    outcome = await project.copy().run([TWICE], stall=60, limit=1)
    assert (outcome.result, outcome.told) == (Result.BROKEN, "not done after 1 s")


async def test_what_cannot_be_imported_is_not_caught(project: Project) -> None:
    verdict = await trial(project.copy(), NO_PYTHON)
    assert not verdict.caught
    assert verdict.told.startswith("NOT TRIED, as the tests could not be run: ")


async def test_whom_the_chosen_tests_let_pass_others_may_catch(project: Project) -> None:
    project.write(OTHERS, OF_PLAIN)
    verdict = await trial(project.copy(), replace(WRONG, tests=(f"{TWICE}::test_two",)))
    assert verdict.caught
    assert verdict.told.startswith(f"caught by {OTHERS}::test_none in ")
    assert verdict.told.endswith(", which was not chosen")


async def test_whom_all_let_pass_has_survived(project: Project) -> None:
    project.write(TWICE, BLIND)
    verdict = await trial(project.copy(), WRONG)
    assert not verdict.caught
    assert verdict.told.startswith("SURVIVED the whole suite, in ")


async def test_a_failure_that_does_not_come_again_is_not_believed(project: Project) -> None:
    project.write(TWICE, MOODY)
    verdict = await trial(project.copy(), WRONG)
    assert not verdict.caught
    assert verdict.told.startswith(f"UNSURE: {TWICE}::test_fails_only_once failed, but not ")


async def test_a_failure_without_the_mutant_proves_nothing(project: Project) -> None:
    project.write(OTHERS, "def test_fails(): assert False")
    verdict = await trial(project.copy(), replace(WRONG, tests=(f"{TWICE}::test_two",)))
    assert not verdict.caught
    assert verdict.told == f"UNSURE: {OTHERS}::test_fails fails without it as well"


async def test_mutants_are_tried_side_by_side(project: Project, tmp_path: Path) -> None:
    verdicts = await try_all([WRONG, NO_PYTHON], 2, tmp_path / "copies", project.of)
    assert {verdict.mutant.name: verdict.caught for verdict in verdicts} == {
        "wrong": True,
        "no-python": False,
    }


async def test_none_is_tried_if_the_tests_fail_without_any(
    project: Project, tmp_path: Path
) -> None:
    project.write(OTHERS, "def test_fails(): assert False")
    blamed = replace(WRONG, tests=(TWICE, OTHERS))
    assert await try_all([blamed], 1, tmp_path / "copies", project.of) == []


async def test_none_is_tried_if_one_is_stale(project: Project, tmp_path: Path) -> None:
    project.write("trioproto/__init__.py", PLAIN.replace("2 * number", "number * 2"))
    with pytest.raises(Stale, match="wrong"):
        await try_all([HANGS, WRONG], 1, tmp_path / "copies", project.of)


IMPORTED = (PACKAGE, "/copy/trioproto/__init__.py")


@pytest.mark.parametrize(
    ("news", "status", "result", "told"),
    [
        ([IMPORTED, (BEGAN, "a"), (ENDED, "a")], 0, Result.PASSED, ""),
        ([IMPORTED, (BEGAN, "a"), (FAILED, "a"), (ENDED, "a")], 1, Result.FAILED, "a"),
        ([IMPORTED, (BEGAN, "a"), (BROKEN, "a"), (ENDED, "a")], 1, Result.BROKEN, "a"),
        ([(BROKEN, "a.py"), IMPORTED], 2, Result.BROKEN, "a.py"),
        ([IMPORTED, (BEGAN, "a"), (FAILED, "a")], None, Result.FAILED, "a"),
        ([IMPORTED, (BEGAN, "a"), (ENDED, "a"), (BEGAN, "b")], None, Result.HUNG, "b"),
        ([IMPORTED, (BEGAN, "a")], -11, Result.BROKEN, "status -11"),
        ([IMPORTED], 5, Result.BROKEN, "status 5"),
        ([], 0, Result.BROKEN, "status 0"),
    ],
)
def test_what_a_run_has_shown(
    tmp_path: Path, news: list[tuple[str, str]], status: int | None, result: Result, told: str
) -> None:
    witness = tmp_path / "witness"
    witness.write_text("".join(f"{json.dumps(each)}\n" for each in news))
    outcome = read(witness, Path("/copy"), status, "", seconds=1)
    assert (outcome.result, outcome.told) == (result, told)


def test_a_run_that_has_imported_another_package_proves_nothing(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    witness.write_text(json.dumps(IMPORTED) + "\n")
    with pytest.raises(NotTheCopy, match=r"/copy/trioproto/__init__\.py"):
        read(witness, Path("/another"), 0, "", seconds=1)
