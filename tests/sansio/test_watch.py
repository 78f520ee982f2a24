"""The watch over first byte, rate and age, in pure time: whatever the peer's partition."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil, floor, inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioproto import Factory, Protocol
from trioproto.errors import AgeTimeout, ConnectionClosed, FirstByteTimeout, PeerTooSlow
from trioproto.framing import LineReceiver
from trioproto.sansio.settings import Settings
from trioproto.sansio.watch import Watch
from trioproto.testing import Harness

RATE = 1000
WINDOW = 5
LONGEST = 0.5  # seconds between two chunks
MEASURED: dict[str, Any] = {"min_receive_rate": RATE, "receive_window": WINDOW}


class Lines(LineReceiver):
    max_length = 1 << 20


class Raw(Lines):
    def connection_made(self) -> None:
        self.set_raw_mode()


KINDS = [Lines, Raw, Protocol]
gaps = st.lists(st.floats(0.01, LONGEST), min_size=10, max_size=60)


def connected(kind: type[Protocol], **settings: Any) -> Harness[Any]:
    harness: Harness[Any] = Harness(Factory(kind, idle_timeout=None, **settings))
    harness.connect()
    return harness


def send(harness: Harness[Any], size: int, after: float) -> None:
    harness.advance(after)
    if size and not harness.transport.closing:
        harness.feed(b"x" * size)


@given(st.sampled_from(KINDS), st.floats(0, 3 * WINDOW), gaps)
def test_who_always_sends_at_the_rate_is_never_too_slow(
    kind: type[Protocol], silence: float, gaps: list[float]
) -> None:
    factor = WINDOW / (WINDOW - LONGEST)  # in each window, wherever it begins, comes enough
    harness = connected(kind, **MEASURED)
    send(harness, 1, silence)
    for gap in gaps * 3:
        send(harness, ceil(factor * RATE * gap), gap)
    assert harness.reason is None


@given(st.sampled_from(KINDS), st.floats(0, 3 * WINDOW), gaps)
def test_who_sends_a_frame_below_the_rate_is_too_slow_after_at_most_three_windows(
    kind: type[Protocol], silence: float, gaps: list[float]
) -> None:
    factor = 0.99 * WINDOW / (WINDOW + LONGEST)
    harness = connected(kind, **MEASURED)
    send(harness, 1, silence)
    passed = 0.0
    while passed <= 3 * WINDOW:
        for gap in gaps:
            send(harness, floor(factor * RATE * gap), gap)
            passed += gap
    assert type(harness.reason) is PeerTooSlow
    assert harness.reason.received < RATE * harness.reason.seconds


@given(
    st.floats(0, 3 * WINDOW),
    st.lists(st.tuples(st.floats(0, 3 * WINDOW), st.floats(0, WINDOW * 0.99)), max_size=20),
)
def test_who_ends_his_frame_before_a_window_has_passed_and_then_waits_is_kept(
    silence: float, frames: list[tuple[float, float]]
) -> None:
    harness = connected(Lines, **MEASURED)
    send(harness, 0, silence)
    for pause, takes in frames:
        harness.feed(b"x")
        harness.advance(takes)
        harness.feed(b"\r\n")
        harness.advance(WINDOW + pause)
    assert harness.reason is None


@pytest.mark.parametrize("beat", [Fraction(2), Fraction(1), Fraction(1, 2), Fraction(1, 3)])
@pytest.mark.parametrize("phase", range(20))
def test_short_frames_at_a_beat_are_not_met_in_the_middle_each_time(
    beat: Fraction, phase: int
) -> None:
    period = float(beat * WINDOW)
    harness = connected(Lines, **MEASURED)
    harness.advance(phase / 20 * period)
    for _ in range(60):
        harness.feed(b"x")
        harness.advance(period * 0.1)
        harness.feed(b"\r\n")
        harness.advance(period * 0.9)
    assert harness.reason is None


# The watch alone


def watch(**settings: Any) -> Watch:
    return Watch(Settings(**settings), 0.0, 0.0, 0)


def look(
    watch: Watch, now: float, received: int, *, since: float = 0, in_frame: bool | None = True
) -> ConnectionClosed | None:
    return watch.look(now, since, received, received > 0, lambda: in_frame)


def in_second_window(**settings: Any) -> Watch:
    made = watch(**MEASURED | settings)
    assert look(made, WINDOW, 1) is None
    return made


@pytest.mark.parametrize("in_frame", [True, None])
@pytest.mark.parametrize(
    ("came", "slow"),
    [(RATE * WINDOW - 1, True), (RATE * WINDOW, False), (RATE * WINDOW + 1, False)],
)
def test_a_window_needs_as_many_bytes_as_the_rate_says(
    came: int, slow: bool, in_frame: bool | None
) -> None:
    watch = in_second_window()
    reason = look(watch, 2 * WINDOW, 1 + came, in_frame=in_frame)
    if in_frame is not None:
        assert reason is None
        due = watch.due(0)
        assert 2 * WINDOW < due <= 3 * WINDOW
        reason = look(watch, due, 1 + came)
    assert (reason is not None) is slow
    if reason is not None:
        assert type(reason) is PeerTooSlow
        assert (reason.received, reason.seconds, reason.rate) == (came, WINDOW, RATE)


def test_a_window_that_was_not_all_waiting_does_not_count() -> None:
    watch = in_second_window()
    assert watch.due(inf) == inf
    assert watch.due(WINDOW + 0.1) == 2 * WINDOW + 0.1
    assert look(watch, 2 * WINDOW + 0.1, 1, since=WINDOW + 0.1) is None
    assert watch.due(WINDOW + 0.1) == 3 * WINDOW + 0.1


def test_nor_does_the_third_look_after_something_else_was_done() -> None:
    watch = in_second_window()
    assert look(watch, 2 * WINDOW, 1) is None
    since = 2 * WINDOW + 1.0
    due = watch.due(since)
    assert look(watch, due, 1, since=since) is None
    assert watch.due(since) == due + WINDOW


def test_output_that_waited_makes_a_window_longer() -> None:
    watch = in_second_window()
    watch.stand_still(3, now=WINDOW + 4)
    assert watch.due(3) == 2 * WINDOW + 3
    watch.stand_still(100, now=WINDOW + 4)
    assert watch.due(3) == 2 * WINDOW + 4


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({"receive_window": 7}, 6 + 7),
        ({"min_receive_rate": 7}, 6 + WINDOW),
        ({"min_receive_rate": None}, inf),
        ({"linger": 7}, 2 * WINDOW),
    ],
)
def test_another_rate_counts_from_now_on(changes: dict[str, Any], due: float) -> None:
    watch = in_second_window()
    watch.change(replace(Settings(**MEASURED), **changes), 6, 1)
    assert watch.due(0) == due


def test_a_rate_is_not_measured_over_the_time_in_which_it_was_off() -> None:
    watch = in_second_window()
    watch.change(Settings(receive_window=WINDOW), 6, 1)
    watch.change(Settings(**MEASURED), 100, 1)
    assert look(watch, 100, 1) is None
    assert watch.due(0) == 100 + WINDOW


@pytest.mark.parametrize("received", [0, 1])
def test_the_first_byte_is_looked_for_once(received: int) -> None:
    made = watch(first_byte_timeout=10)
    assert made.due(0) == 10
    assert made.due(4) == 14
    assert made.due(inf) == inf
    reason = look(made, 10, received)
    if received:
        assert reason is None
        assert made.due(0) == inf
    else:
        assert type(reason) is FirstByteTimeout


def test_an_age_comes_softly_first_and_hard_after_the_grace_of_a_drain() -> None:
    made = watch(max_age=10, drain_grace=3)
    assert made.due(inf) == 10
    assert not made.aged
    assert type(look(made, 12, 0, since=inf)) is AgeTimeout
    assert made.aged
    assert made.due(inf) == 15
    made.change(Settings(max_age=None, drain_grace=3), 13, 0)
    assert made.due(inf) == 15
    assert type(look(made, 15, 0, since=inf)) is AgeTimeout


def test_where_none_is_set_there_is_no_watch() -> None:
    harness = connected(Lines)
    harness.feed(b"x" * 10)
    harness.transport.set_timeout(5, "linger")
    assert harness.transport.watch is None
    assert harness.transport.deadline == inf  # type: ignore[attr-defined]
