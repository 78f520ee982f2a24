"""Faults as values."""

from __future__ import annotations

from typing import Any

import pytest

from trioproto.testing import Faults


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"reads": (1, 0)}, "reads cannot be 0: the least is 1"),
        ({"writes": (-1,)}, "writes cannot be -1: the least is 1"),
        ({"delays": (-0.1,)}, "delays cannot be -0.1: the least is 0"),
        ({"delays": (float("nan"),)}, "delays cannot be nan"),
        ({"stalls": ((-1, 1.0),)}, "stalls cannot be -1"),
        ({"stalls": ((1, -1.0),)}, "stalls cannot be -1.0"),
        ({"drop_after": -1}, "drop_after cannot be -1"),
        ({"reset_after": -1}, "reset_after cannot be -1"),
    ],
)
def test_impossible_numbers_are_refused(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Faults(**wrong)


def test_of_two_the_second_decides_where_it_says_anything_and_stalls_add_up() -> None:
    first = Faults(reads=(1,), writes=(2,), stalls=((5, 1.0),), drop_after=7)
    second = Faults(reads=(3,), delays=(0.5,), stalls=((2, 2.0),), reset_after=9, drop_after=0)
    assert first | second == Faults(
        reads=(3,),
        writes=(2,),
        delays=(0.5,),
        stalls=((5, 1.0), (2, 2.0)),
        drop_after=0,
        reset_after=9,
    )
    assert first | Faults() == first == Faults() | first


def test_seeds_differ() -> None:
    assert len({Faults.from_seed(seed) for seed in range(100)}) > 50
