"""Who reads a failure sees the test's own line, and not those of the kit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("failing_tests.py")


@pytest.fixture(scope="module")
def shown() -> str:
    command = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", str(TESTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", re.findall(r"def (test_\w+)", TESTS.read_text(encoding="utf-8")))
def test_the_last_line_that_is_shown_is_the_tests(shown: str, name: str) -> None:
    failure = re.split(r"\n_{5,} (?:test_\w+) _{5,}\n", shown.partition(f" {name} _")[2])[0]
    assert "# the line" in failure
    assert "raise " not in failure
    assert "trioproto/testing/" not in failure
    assert "contextlib" not in failure
