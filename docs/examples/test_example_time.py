"""Time: the RFC's number, for each moment that it names, and beyond the end of its era."""

import time

import pytest

from examples.time import TimeFactory
from trioproto.errors import ConnectionDone
from trioproto.testing import Harness


@pytest.mark.parametrize(
    ("unix", "number"),
    [
        pytest.param(0, 2_208_988_800, id="1 Jan 1970"),
        pytest.param(189_302_400, 2_398_291_200, id="1 Jan 1976"),
        pytest.param(315_532_800, 2_524_521_600, id="1 Jan 1980"),
        pytest.param(420_595_200, 2_629_584_000, id="1 May 1983"),
        pytest.param(-3_506_716_800, 2**32 - 1_297_728_000, id="17 Nov 1858"),
        pytest.param(-0.001, 2_208_988_799, id="part of a second before 1970"),
        pytest.param(0.999, 2_208_988_800, id="part of a second after it"),
        pytest.param(2_085_978_495.999, 2**32 - 1, id="the era's last second"),
        pytest.param(2_085_978_496, 0, id="7 Feb 2036"),
    ],
)
def test_it_counts_the_seconds_since_1900(unix: float, number: int) -> None:
    harness = Harness(TimeFactory(lambda: unix))
    harness.connect()
    harness.exchange(b"What time is it?\r\n", number.to_bytes(4, "big"))
    assert harness.write_closed
    harness.feed_eof()
    harness.expect_lost(ConnectionDone)


def test_the_clock_is_asked_for_each_visitor() -> None:
    factory = TimeFactory(iter([2_085_978_495.0, 2_085_978_496.0]).__next__)
    for number in (b"\xff\xff\xff\xff", b"\0\0\0\0"):
        harness = Harness(factory)
        harness.connect()
        harness.expect(number)


def test_without_a_clock_it_is_now() -> None:
    assert TimeFactory().clock is time.time
