"""The code that the page on the traffic log shows does what it says."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from tests.examples.running import REPOSITORY
from tests.examples.snippets_traffic import (
    discreet_mailbox,
    hide_passwords,
    puzzled_factory,
    recorded_mailbox,
)
from tests.sansio.captures import read
from trioproto import Factory
from trioproto.layers import Direction
from trioproto.testing import Harness

PAGE = (REPOSITORY / "docs" / "traffic-log.md").read_text(encoding="utf-8")
SAID = (b"USER me\r\n", b"PASS open sesame\r\n", b"QUIT\r\n")


def talk(factory: Factory[Any]) -> Harness[Any]:
    harness = Harness(factory, callback_errors="log")
    harness.connect()
    for line in SAID:
        if not harness.lost:
            harness.feed(line)
    return harness


def test_a_connection_that_fails_leaves_a_file(
    tmp_path: Path, logged_errors: list[logging.LogRecord]
) -> None:
    talk(recorded_mailbox(tmp_path))
    (path,) = tmp_path.iterdir()
    data = [each.data for each in read(path.read_bytes()).segments if each.data]
    assert data == [SAID[0], b"+OK\r\n", SAID[1], b"+OK welcome\r\n", SAID[2]]
    assert len(logged_errors) == 1


def test_the_text_is_the_one_that_the_page_shows(
    tmp_path: Path, logged_errors: list[logging.LogRecord]
) -> None:
    talk(discreet_mailbox(tmp_path))
    (path,) = tmp_path.iterdir()
    (shown,) = re.findall(r"^```text\n(# .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    def same(text: str) -> str:
        """Without addresses and times."""
        text = re.sub(r"connection with .* at .*", "connection", text)
        text = re.sub(r"began .* UTC", "began", text)
        return re.sub(r"^\+\d+\.\d{6} ", "", text, flags=re.MULTILINE)

    assert same(path.read_text(encoding="utf-8")) == same(shown)


@pytest.mark.parametrize(
    ("data", "cut", "shown"),
    [
        (b"PASS open\r\nNOOP\r\n", False, b"PASS ****\r\nNOOP\r\n"),
        (b"sesame\r\nNOOP\r\n", True, b"*******\nNOOP\r\n"),
        (b"sesame\r\nPASS x", True, b"*******\nPASS *"),
        (b"sesa", True, b"****"),
        (b"pass x\r\nPASS y\r\n", False, b"pass *\r\nPASS *\r\n"),
    ],
)
def test_passwords_are_hidden(data: bytes, cut: bool, shown: bytes) -> None:
    assert hide_passwords(data, Direction.RECEIVED, cut) == shown
    assert hide_passwords(data, Direction.SENT, cut) == data


def test_a_protocol_shows_what_went_before(caplog: pytest.LogCaptureFixture) -> None:
    harness = talk(puzzled_factory())
    assert harness.take() == b"-ERR\r\n" * 3
    *_, last = caplog.records
    assert "< b'USER me\\r\\n'" in last.getMessage()
    assert "< b'QUIT\\r\\n'" in last.getMessage()
