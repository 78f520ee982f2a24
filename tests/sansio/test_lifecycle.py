"""The table of a connection's life, walked as a whole."""

from __future__ import annotations

from itertools import product

import pytest

from trioproto.sansio.lifecycle import (
    TRANSITIONS,
    Event,
    IllegalTransitionError,
    State,
    next_state,
)

EVERY_PAIR = list(product(State, Event))


def reachable(start: State) -> set[State]:
    """The states that some events lead to from *start*, and itself."""
    found = {start}
    to_look_at = [start]
    while to_look_at:
        state = to_look_at.pop()
        after = {later for (earlier, _), later in TRANSITIONS.items() if earlier is state}
        to_look_at += after - found
        found |= after
    return found


@pytest.mark.parametrize(("state", "event"), EVERY_PAIR)
def test_each_event_in_each_state_is_in_the_table_or_illegal(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransitionError, match=f"{event.name} in state {state.name}"):
            next_state(state, event)


def test_an_illegal_event_is_a_defect_of_ours_and_has_no_other_cause() -> None:
    with pytest.raises(AssertionError) as caught:
        next_state(State.LOST, Event.BREAK)
    assert caught.value.__suppress_context__


def test_a_connection_only_ever_moves_down_the_list() -> None:
    assert all(later > earlier for (earlier, _), later in TRANSITIONS.items())


def test_every_state_is_reached_from_the_first() -> None:
    assert reachable(State.OPENING) == set(State)


@pytest.mark.parametrize("state", [state for state in State if state < State.ENDED])
def test_whatever_the_state_the_end_is_reached(state: State) -> None:
    assert {State.ENDED, State.LOST} <= reachable(state)


@pytest.mark.parametrize("state", [state for state in State if state < State.ENDED])
def test_a_hard_end_is_possible_at_any_time_and_ends_at_once(state: State) -> None:
    assert next_state(state, Event.BREAK) is State.ENDED


@pytest.mark.parametrize("state", [state for state in State if state < State.FLUSHING])
def test_a_clean_close_is_possible_as_long_as_nobody_closes(state: State) -> None:
    assert next_state(state, Event.CLOSE) is State.FLUSHING


def test_nothing_follows_loss() -> None:
    assert reachable(State.LOST) == {State.LOST}


def test_only_the_last_callback_follows_the_end() -> None:
    after = [event for state, event in TRANSITIONS if state is State.ENDED]
    assert after == [Event.REPORT]


def test_no_event_and_no_state_is_without_use() -> None:
    assert {event for _, event in TRANSITIONS} == set(Event)
    assert {state for state, _ in TRANSITIONS} == set(State) - {State.LOST}
