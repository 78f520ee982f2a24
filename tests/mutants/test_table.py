"""Each mutant still fits the code, and what it makes of it can be imported."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

import pytest

from trioproto.testing.conformance.suite import RULES

from . import places
from .copies import ROOT
from .mutant import THINGS, Mutant, Stale
from .table import MUTANTS

BY_NAME = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


def a_mutant(change: str) -> Mutant:
    return Mutant("of-nothing", THINGS[0], "nothing", "nothing.py", change, ())


@BY_NAME
def test_a_mutant_fits_the_code_and_can_be_imported(mutant: Mutant) -> None:
    file = ROOT / mutant.path
    text = mutant.applied(file.read_text(encoding="utf-8"))
    name = ".".join(mutant.path.with_suffix("").parts)
    spec = spec_from_file_location(name, file)
    assert spec is not None
    module = module_from_spec(spec)  # in nobody's way: it is imported under no name
    exec(compile(text, file, "exec"), module.__dict__)


@BY_NAME
def test_the_tests_that_should_notice_a_mutant_are_there(mutant: Mutant) -> None:
    assert mutant.tests
    for test in set(mutant.tests).difference(map(places.rule, RULES)):
        file, _, name = test.partition("::")
        assert name in (ROOT / file).read_text(encoding="utf-8")


def test_there_is_a_mutant_for_each_thing_and_each_has_its_name() -> None:
    assert {mutant.thing for mutant in MUTANTS} == set(THINGS)
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_change_takes_lines_away_and_puts_others_in() -> None:
    change = """
         begin
        -    old
        +    new
        +
        +    newer
         end
    """
    before, after = "begin\n    old\nend\n", "begin\n    new\n\n    newer\nend\n"
    assert a_mutant(change).applied(before) == after
    assert a_mutant(change).applied("0\n" + before + "1") == "0\n" + after + "1"


@pytest.mark.parametrize("times", [0, 2, 3])
def test_what_is_not_there_once_is_stale(times: int) -> None:
    with pytest.raises(Stale, match=f"of-nothing.* {times} times in trioproto/nothing.py"):
        a_mutant("-old\n+new").applied("old\n" * times)


def test_a_part_of_a_line_is_not_there() -> None:
    for text in ("very old\n", "old and grey\n"):
        with pytest.raises(Stale):
            a_mutant("-old\n+new").applied(text)
