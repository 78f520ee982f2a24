"""The pytest plugin: fixtures that serve, and see that nothing is left at the test's end.

pytest loads it wherever trioproto is installed. So it imports nothing of the test
kit before a test asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from trioproto.testing.serving import ServeFactory


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    """Take what comes out of a block of the kit's out of the groups around it."""
    __tracebackhide__ = True
    try:
        return (yield)
    except BaseExceptionGroup as group:
        if "trioproto.testing" not in sys.modules:
            raise
        from trioproto.testing.block_errors import without_groups

        error = without_groups(group)
        if error is group:
            raise
    raise error


@pytest.fixture
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test if it leaves a socket, a pipe or a poll open.

    What fixtures have opened that were set up before this one is theirs. A test that
    has failed is not told of this too: its traceback keeps much alive. Where there is
    no ``/proc``, nothing is looked at.
    """
    from trioproto.testing.leaks import LeftOverError, described, open_descriptors

    before = open_descriptors()
    failed = request.session.testsfailed
    yield
    after = open_descriptors()
    if before is None or after is None or request.session.testsfailed > failed:
        return
    left = sorted(after.items() - before.items())
    if left:
        error = LeftOverError({"descriptors": described(left)}, "when the test ended")
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def serve_factory(nothing_left: None) -> ServeFactory:
    """Return :func:`trioproto.testing.serving`; at the test's end nothing may be left."""
    from trioproto.testing.serving import serving

    return serving
