"""Rates: what a bucket allows, and how connections share one."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sansio.simulated import READ_SIZE, Spender, greedy, run, sharing, worst_excess
from trioproto import Settings
from trioproto.sansio.throttle import OWN_SLICE, TOTAL_SLICE, Gate, TokenBucket, Totals

RATES = st.one_of(st.floats(0.5, 100), st.floats(100, 1e6), st.floats(1e6, 1e8))


# A bucket


def test_a_bucket_holds_a_seconds_worth_at_first() -> None:
    bucket = TokenBucket(100)
    assert bucket.due(bucket.spend(99, 50.0)) == -inf
    assert bucket.due(bucket.spend(1, 50.0)) == -inf
    assert bucket.due(bucket.spend(1, 50.0)) == pytest.approx(50.01)


def test_places_are_in_the_order_of_the_spending() -> None:
    bucket = TokenBucket(100)
    places = [bucket.spend(100, 0.0) for _ in range(4)]
    assert [bucket.due(place) for place in places] == [-inf, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(("idle", "allowed"), [(0.5, 50), (1, 100), (1.5, 100), (1000, 100)])
def test_a_burst_after_idleness_is_a_seconds_worth_at_most(idle: float, allowed: int) -> None:
    bucket = TokenBucket(100)
    bucket.spend(100, 0.0)
    assert bucket.due(bucket.place_of(allowed, idle)) <= idle
    assert bucket.due(bucket.place_of(allowed + 1, idle)) > idle


def test_more_than_the_burst_at_once_has_to_wait_for_the_rest() -> None:
    bucket = TokenBucket(100)
    assert bucket.due(bucket.spend(250, 0.0)) == 1.5


def test_what_is_given_back_is_the_next_ones() -> None:
    bucket = TokenBucket(100)
    bucket.spend(300, 0.0)
    bucket.give_back(150)
    assert bucket.due(bucket.spend(50, 0.0)) == 1.0


def test_below_a_byte_a_second_one_byte_may_go_at_once() -> None:
    bucket = TokenBucket(0.25)
    assert bucket.quantum(0.0) == 1
    assert bucket.due(bucket.spend(1, 0.0)) == -inf
    assert bucket.due(bucket.spend(1, 0.0)) == 4.0


def test_a_bucket_without_a_rate_lets_everything_through() -> None:
    bucket = TokenBucket(None)
    assert not bucket.limited
    assert bucket.quantum(0.0) == inf
    assert bucket.due(bucket.spend(10**12, 0.0)) == -inf


def test_a_change_of_the_rate_counts_for_who_waits_already() -> None:
    bucket = TokenBucket(1)
    place = bucket.spend(1001, 0.0)
    assert bucket.due(place) == 1000
    bucket.change(100)
    assert bucket.due(place) == 10
    bucket.change(10)
    assert bucket.due(place) == 100
    bucket.change(None)
    assert bucket.due(place) == -inf


def test_a_rate_set_where_there_was_none_begins_with_a_burst() -> None:
    bucket = TokenBucket(1000)
    bucket.spend(100_000, 0.0)
    bucket.change(None)
    bucket.spend(10**9, 5.0)
    bucket.change(100)
    assert bucket.due(bucket.spend(100, 6.0)) == -inf
    assert bucket.due(bucket.spend(1, 6.0)) > 6.0


def test_a_higher_rate_does_not_fill_a_bucket_that_was_empty() -> None:
    bucket = TokenBucket(10)
    bucket.spend(10, 0.0)
    bucket.change(1000)
    assert bucket.due(bucket.spend(100, 0.0)) == 0.1


def test_what_a_full_bucket_held_is_all_that_it_holds_at_a_higher_rate() -> None:
    bucket = TokenBucket(10)
    bucket.spend(0, 0.0)
    assert bucket.quantum(1000.0) == 1
    bucket.change(1000)
    assert bucket.due(bucket.spend(10, 1000.0)) == -inf
    assert bucket.due(bucket.spend(1, 1000.0)) > 1000


def test_a_clock_that_goes_back_a_little_does_no_harm() -> None:
    bucket = TokenBucket(100)
    bucket.spend(100, 10.0)
    assert bucket.due(bucket.spend(100, 9.9)) == 11.0


def test_the_rate_is_kept_after_long_times_and_much_traffic() -> None:
    bucket = TokenBucket(1e9)
    month = 30 * 86_400.0
    bucket.spend(0, 0.0)
    bucket.spend(10**9, month)
    places = [bucket.spend(10**9, month + second) for second in range(10)]
    assert bucket.due(places[-1]) == pytest.approx(month + 10, abs=1e-3)


def test_a_quantum_shrinks_as_others_wait_but_not_to_nothing() -> None:
    bucket = TokenBucket(1e6)
    sizes = []
    for _ in range(200):
        sizes.append(bucket.quantum(0.0))
        bucket.spend(10_000, 0.0)
    assert sizes[0] == 1e6 * TOTAL_SLICE
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 512
    assert TokenBucket(100).quantum(0.0) == 2  # small rates: smaller than that


# One connection


@pytest.mark.parametrize("rate", [1, 7, 100, 5000, 1e6, 1e8])
@pytest.mark.parametrize("asks", [True, False])
def test_a_greedy_connection_gets_its_rate_over_ten_seconds(rate: float, asks: bool) -> None:
    spender = greedy(Gate(rate, TokenBucket()), asks=asks)
    run([spender], 11)
    begun = spender.moved_until(1)
    assert spender.moved - begun == pytest.approx(10 * rate, rel=0.03, abs=1)


@pytest.mark.parametrize("asks", [True, False])
def test_a_connections_own_quantum_is_a_tenth_of_a_second(asks: bool) -> None:
    spender = greedy(Gate(1000, TokenBucket()), asks=asks)
    run([spender], 10)
    assert {size for _, size in spender.moves} == {round(1000 * OWN_SLICE)}


def test_a_fast_connection_moves_no_more_than_it_would_unthrottled() -> None:
    spender = greedy(Gate(1e9, TokenBucket()))
    run([spender], 0.1)
    assert {size for _, size in spender.moves} == {READ_SIZE}


def test_the_lower_of_two_rates_counts() -> None:
    for own, total in ((1000, 5000), (5000, 1000)):
        spender = greedy(Gate(own, TokenBucket(total)))
        run([spender], 20)
        assert spender.moved - spender.moved_until(10) == pytest.approx(10_000, rel=0.03)


def test_what_little_a_connection_has_goes_through_at_once() -> None:
    spender = Spender(Gate(1000, TokenBucket(1000)), [(float(i), 50) for i in range(20)])
    run([spender], 30)
    assert spender.moved == 1000
    assert max(spender.delays) == 0


# Several connections


def test_fifty_greedy_connections_get_the_same() -> None:
    spenders = [greedy(gate) for gate in sharing(100_000, 50)]
    run(spenders, 21)
    got = [spender.moved - spender.moved_until(1) for spender in spenders]
    assert sum(got) == pytest.approx(2_000_000, rel=0.02)
    assert max(got) - min(got) < 0.1 * 2_000_000 / 50


def test_one_that_has_been_greedy_alone_shares_with_those_who_come() -> None:
    gates = sharing(100_000, 50)
    spenders = [greedy(gates[0])] + [greedy(gate, since=10) for gate in gates[1:]]
    run(spenders, 31)
    assert spenders[0].moved_until(10) == pytest.approx(11 * 100_000, rel=0.01)
    got = [spender.moved - spender.moved_until(11) for spender in spenders]
    assert max(got) - min(got) < 0.1 * 2_000_000 / 50


@pytest.mark.parametrize(("rivals", "delay"), [(1, 0.05), (50, 0.3), (1000, 1.5)])
def test_a_modest_connection_waits_briefly_beside_greedy_ones(rivals: int, delay: float) -> None:
    gates = sharing(1e6, rivals + 1)
    modest = Spender(gates[0], [(2 + 2 * i, 100) for i in range(5)])
    run([modest] + [greedy(gate) for gate in gates[1:]], 15)
    assert len(modest.delays) == 5
    assert max(modest.delays) < delay


def test_nobody_starves_even_at_a_byte_a_second() -> None:
    spenders = [greedy(gate) for gate in sharing(1, 10)]
    run(spenders, 100)
    assert {spender.moved for spender in spenders} <= {9, 10, 11}


def test_those_with_a_low_rate_of_their_own_leave_the_rest_to_others() -> None:
    total = TokenBucket(10_000)
    slow = [greedy(Gate(100, total)) for _ in range(10)]
    fast = greedy(Gate(None, total))
    run([*slow, fast], 20)
    for spender in slow:
        assert spender.moved - spender.moved_until(10) == pytest.approx(1000, rel=0.1)
    assert fast.moved - fast.moved_until(10) == pytest.approx(90_000, rel=0.03)


def test_one_that_ends_before_its_turn_delays_nobody() -> None:
    first, second = sharing(1000, 2)
    total = first._total
    total.spend(1000, 0.0)  # the burst
    assert first.ask(20, 0.0) == 0
    first.give_back()
    assert second.ask(20, 0.0) == 0
    assert second.due == 0.02


def test_one_that_needs_less_than_it_asked_for_leaves_the_rest_to_others() -> None:
    first, second = sharing(1000, 2)
    first._total.spend(980, 0.0)
    assert first.ask(20, 0.0) == 20
    first.moved(5, 0.0)
    assert second.ask(15, 0.0) == 15


def test_one_that_does_not_take_its_turn_delays_others_by_a_quantum_once() -> None:
    first, second = sharing(1000, 2)
    total = first._total
    total.spend(1000, 0.0)
    assert first.ask(20, 0.0) == 0
    rest = greedy(second)
    run([rest], 100)
    assert rest.moved == pytest.approx(100_000 - 20, abs=20)


def test_a_turn_that_was_not_taken_is_lost_after_a_while() -> None:
    total = TokenBucket(1000)
    gate = Gate(None, total)
    total.spend(1000, 0.0)
    assert gate.ask(20, 0.0) == 0
    total.spend(1000, 0.0)
    assert gate.ask(20, 1.0) == 20  # though others have spent all
    total.spend(2000, 5.0)
    assert gate.ask(20, 5.0) == 0
    assert gate.due == pytest.approx(6.02)


# Whatever happens


@st.composite
def crowds(draw: st.DrawFn) -> tuple[float, list[Spender]]:
    """A rate, and some connections: greedy ones, and such with arrivals of all sizes."""
    rate = draw(RATES)
    total = TokenBucket(rate)
    spenders = []
    for _ in range(draw(st.integers(1, 8))):
        own = draw(st.none() | st.floats(rate / 10, rate * 2))
        gate = Gate(own, total)
        since = draw(st.floats(0, 3))
        if draw(st.booleans()):
            spenders.append(greedy(gate, since))
        else:
            size = st.integers(1, max(1, int(rate)))
            arrival = st.tuples(st.floats(0, 5), size)
            spenders.append(Spender(gate, draw(st.lists(arrival, max_size=5))))
    return rate, spenders


def seconds_for(rate: float) -> float:
    """As long as a test has time for: a move is 64 KiB at most, and the burst comes on top."""
    return min(5.0, 1000 * READ_SIZE / rate)


@given(crowds())
def test_no_stretch_of_time_has_more_than_its_rate_and_a_burst(
    crowd: tuple[float, list[Spender]],
) -> None:
    rate, spenders = crowd
    moves = run(spenders, seconds_for(rate))
    assert worst_excess(moves, rate) <= max(1, rate) * (1 + 1e-6)


@given(RATES, st.integers(1, 8), st.integers(0, 8))
def test_those_who_cannot_ask_are_ahead_by_a_quantum_each_at_most(
    rate: float, asking: int, others: int
) -> None:
    gates = sharing(rate, asking + others)
    quantum = max(1, rate * TOTAL_SLICE)
    spenders = [greedy(gate, asks=index < asking) for index, gate in enumerate(gates)]
    moves = run(spenders, seconds_for(rate))
    assert worst_excess(moves, rate) <= (max(1, rate) + others * quantum) * (1 + 1e-6)


# The factory's


def test_totals_say_whether_settings_change_them() -> None:
    totals = Totals()
    assert not totals.limited
    assert not totals.change(Settings())
    assert totals.change(Settings(receive_rate_total=10))
    assert totals.limited
    assert not totals.change(Settings(receive_rate_total=10))
    assert totals.change(Settings(send_rate_total=10))
    assert (totals.receive.limited, totals.send.limited) == (False, True)
    assert totals.change(Settings())
    assert not totals.limited
