"""Strategies of faults: what may come, and what they shrink to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from trioproto.testing import (
    Faults,
    any_faults,
    resets,
    short_writes,
    stalls,
)
from trioproto.testing.pipe import Pipe

STRATEGIES: list[Callable[[int], SearchStrategy[Faults]]] = [
    resets,
    stalls,
    short_writes,
    any_faults,
    lambda size: any_faults(size, lossless=True),
]


def smallest(strategy: SearchStrategy[Faults], condition: Callable[[Faults], bool]) -> Faults:
    """Return the faults to which those that the condition holds for shrink."""
    quick = settings(phases=[Phase.generate, Phase.shrink], max_examples=2000, database=None)
    return find(strategy, condition, settings=quick)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("size", [0, 1, 100])
def test_faults_shrink_to_none(
    strategy: Callable[[int], SearchStrategy[Faults]], size: int
) -> None:
    assert smallest(strategy(size), lambda _faults: True) == Faults()


@pytest.mark.parametrize("strategy", [resets, any_faults])
@pytest.mark.parametrize("place", [0, 1, 6, 7])
def test_a_connection_may_break_at_any_place(
    strategy: Callable[[int], SearchStrategy[Faults]], place: int
) -> None:
    found = smallest(strategy(7), lambda faults: faults.reset_after == place)
    assert found == Faults(reset_after=place)


def test_a_place_is_within_the_bytes() -> None:
    @given(any_faults(7))
    def check(faults: Faults) -> None:
        places = [place for place, _ in faults.stalls]
        places += [p for p in (faults.drop_after, faults.reset_after) if p is not None]
        assert all(0 <= place <= 7 for place in places)
        assert all(1 <= size <= 7 for size in (*faults.reads, *faults.writes))

    check()


def test_stalls_last_as_long_as_was_said() -> None:
    @given(stalls(10, 3.0))
    def check(faults: Faults) -> None:
        assert all(0 <= seconds <= 3.0 for _, seconds in faults.stalls)
        assert faults == Faults(stalls=faults.stalls)

    check()
    longest = smallest(stalls(10, 3.0), lambda faults: 3.0 in dict(faults.stalls).values())
    assert longest == Faults(stalls=((0, 3.0),))
    last = smallest(stalls(10, 3.0), lambda faults: 10 in dict(faults.stalls))
    assert dict(last.stalls)[10] == 0.0
    assert len(smallest(stalls(10), lambda faults: len(faults.stalls) > 1).stalls) == 2


def test_single_bytes_are_frequent_among_short_writes() -> None:
    sizes: list[int] = []

    @settings(derandomize=True, phases=[Phase.generate], max_examples=50)
    @given(short_writes(1 << 20))
    def collect(faults: Faults) -> None:
        sizes.extend(faults.writes)

    collect()
    assert sizes.count(1) > len(sizes) / 5
    assert smallest(short_writes(1 << 20), lambda faults: bool(faults.writes)) == Faults(
        writes=(1,)
    )
    assert smallest(short_writes(9), lambda faults: 9 in faults.writes) == Faults(writes=(9,))


NAMES = ("reads", "writes", "delays", "stalls", "drop_after", "reset_after")


def kinds(faults: Faults) -> set[str]:
    return {name for name in NAMES if getattr(faults, name) not in ((), None)}


@pytest.mark.parametrize(
    "wanted", [*({name} for name in NAMES), {"reads", "drop_after", "reset_after"}, set(NAMES)]
)
def test_any_combination_may_come(wanted: set[str]) -> None:
    assert kinds(smallest(any_faults(5), lambda faults: kinds(faults) >= wanted)) == wanted


def test_lossless_faults_neither_drop_nor_break() -> None:
    @given(any_faults(5, lossless=True))
    def check(faults: Faults) -> None:
        assert (faults.drop_after, faults.reset_after) == (None, None)

    check()
    smallest(any_faults(5, lossless=True), lambda faults: kinds(faults) == set(NAMES[:4]))


@given(st.binary(max_size=60), st.data())
def test_without_losses_all_that_was_written_arrives(whole: bytes, data: st.DataObject) -> None:
    pipe = Pipe(data.draw(any_faults(len(whole), lossless=True)), capacity=20)
    arrived, rest, now = bytearray(), whole, 0.0
    while True:
        rest = rest[pipe.write(rest, now) :]
        if not rest:
            pipe.end(now)
        came = pipe.read(now)
        if came == b"":
            break
        arrived += came or b""
        now = max(now, pipe.next_at()) if came is None else now
    assert bytes(arrived) == whole


@pytest.mark.parametrize("make", [*STRATEGIES, lambda size: stalls(0, size)])
def test_sizes_and_times_below_nothing_are_refused(
    make: Callable[[int], SearchStrategy[Faults]],
) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        make(-1)
