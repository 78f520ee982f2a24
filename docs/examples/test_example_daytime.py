"""Daytime: one line in the RFC's form, by whatever clock the factory is given."""

from datetime import UTC, datetime, timedelta, timezone

from examples.daytime import DaytimeFactory, utc_now
from trioproto.errors import ConnectionDone
from trioproto.testing import Harness


def test_it_says_one_line_and_closes() -> None:
    harness = Harness(DaytimeFactory(lambda: datetime(1982, 2, 2, 17, 37, 43, tzinfo=UTC)))
    harness.connect()
    harness.exchange(b"What time is it?\r\n", b"Tuesday, February 02, 1982 17:37:43-UTC\r\n")
    assert harness.write_closed
    harness.feed_eof()
    harness.expect_lost(ConnectionDone)


def test_the_zone_is_that_of_the_clock() -> None:
    pacific = timezone(timedelta(hours=-8), "PST")
    harness = Harness(DaytimeFactory(lambda: datetime(1982, 2, 22, 17, 37, 43, tzinfo=pacific)))
    harness.connect()
    harness.expect(b"Monday, February 22, 1982 17:37:43-PST\r\n")


def test_the_clock_is_asked_for_each_visitor() -> None:
    times = [datetime(2024, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)]
    factory = DaytimeFactory(iter(times).__next__)
    for said in (b"Tuesday, December 31, 2024 23:59:59", b"Wednesday, January 01, 2025 00:00:00"):
        harness = Harness(factory)
        harness.connect()
        harness.expect(said + b"-UTC\r\n")


def test_without_a_clock_it_is_now() -> None:
    assert DaytimeFactory().clock is utc_now
    assert abs(datetime.now(UTC) - utc_now()) < timedelta(minutes=1)
