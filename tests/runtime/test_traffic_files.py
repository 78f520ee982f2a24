"""Recordings as files: their names, their modes, how many there are."""

from __future__ import annotations

import logging
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.sansio.captures import read
from tests.sansio.test_pcapng import GET
from trioproto import TrafficFiles
from trioproto.errors import CallbackError, ConnectionAborted, ConnectionClosed, ConnectionLost
from trioproto.layers import Recording

ERROR = replace(GET, reason=CallbackError("Echo.data_received"))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "traffic"


@pytest.fixture
def old_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("old_umask")
def test_only_the_owner_may_read(folder: Path) -> None:
    path = TrafficFiles(folder).write(ERROR)
    assert mode(path) == 0o600
    assert mode(folder) == 0o700


def test_a_directory_that_is_there_is_left_as_it_is(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    TrafficFiles(folder)
    assert mode(folder) == 0o755


def test_a_file_holds_the_recording_in_the_form_that_was_asked_for(folder: Path) -> None:
    capture = TrafficFiles(folder).write(ERROR)
    text = TrafficFiles(folder, "text").write(ERROR)
    assert capture.suffix == ".pcapng"
    assert text.suffix == ".txt"
    assert len(read(capture.read_bytes()).segments) == 6
    assert text.read_text(encoding="utf-8") == ERROR.to_text()


def test_names_are_unique_and_in_order_and_tell_the_reason(folder: Path) -> None:
    write = TrafficFiles(folder).write
    paths = [write(ERROR) for _ in range(9)]
    assert len(set(paths)) == 9
    assert sorted(folder.iterdir()) == paths
    assert all(path.stem.endswith("-CallbackError") for path in paths)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "\0", "-rf", "é" * 300, "x" * 300, ""])
def test_no_name_of_a_class_leads_elsewhere(folder: Path, name: str) -> None:
    strange = type("Strange", (ConnectionClosed,), {})
    strange.__name__ = name.replace("\0", "\n")
    path = TrafficFiles(folder).write(replace(GET, reason=strange()))
    assert path.parent == folder
    assert list(folder.iterdir()) == [path]


def test_a_recording_of_an_open_connection_is_written_too(folder: Path) -> None:
    assert TrafficFiles(folder).write(GET).exists()


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_are_kept(folder: Path, keep: int) -> None:
    write = TrafficFiles(folder, keep=keep).write
    paths = [write(ERROR) for _ in range(keep + 1)]
    assert sorted(folder.iterdir()) == paths[1:]


def test_what_others_have_left_counts_and_what_is_no_recording_stays(folder: Path) -> None:
    folder.mkdir()
    for name in ("traffic.txt", "traffic-log.pcapng", "a.pcapng"):
        (folder / name).touch()
    old = TrafficFiles(folder, "text").write(ERROR)
    new = [TrafficFiles(folder, keep=2).write(ERROR) for _ in range(2)]
    assert not old.exists()
    assert len(list(folder.iterdir())) == 5
    assert all(path.exists() for path in new)


def test_a_file_that_is_the_oldest_by_its_name_stays_if_it_was_just_written(folder: Path) -> None:
    folder.mkdir()
    future = folder / "traffic-99990101T000000.000000Z-1-1-.pcapng"
    future.touch()
    path = TrafficFiles(folder, keep=1).write(ERROR)
    assert list(folder.iterdir()) == [path]


def test_a_link_is_not_followed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = TrafficFiles(folder)
    monkeypatch.setattr(TrafficFiles, "_name", lambda *_: "traffic")
    (folder / "traffic").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        files.write(ERROR)
    assert not (tmp_path / "elsewhere").exists()


# When called, as the setting's ``write``


def of(reason: ConnectionClosed) -> Recording:
    return replace(GET, reason=reason)


def test_ten_of_a_kind_are_written_in_a_minute(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    files = TrafficFiles(folder, clock=clock)
    for _ in range(11):
        files(ERROR)
    assert len(list(folder.iterdir())) == 10
    *_, before, last = (record.getMessage() for record in caplog.records)
    assert "no more" not in before
    assert last.endswith("; no more of CallbackError in this minute")
    files(of(ConnectionAborted()))
    assert len(list(folder.iterdir())) == 11
    clock.now = 59.9
    files(ERROR)
    assert len(list(folder.iterdir())) == 11
    clock.now = 60
    files(ERROR)
    assert len(list(folder.iterdir())) == 12


def test_it_is_logged_where_the_file_is(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    TrafficFiles(folder)(ERROR)
    (path,) = folder.iterdir()
    (record,) = caplog.records
    assert record.name == "trioproto"
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"traffic with tcp:198.51.100.7:50000 written to {path}"


def test_an_error_is_logged_and_not_raised(
    folder: Path, logged_errors: list[logging.LogRecord]
) -> None:
    files = TrafficFiles(folder)
    folder.rmdir()
    files(of(ConnectionLost("x")))
    (record,) = logged_errors
    where = f"traffic with tcp:198.51.100.7:50000 cannot be written to {folder}: "
    assert record.getMessage() == f"{where}No such file or directory"
    with pytest.raises(FileNotFoundError):
        files.write(ERROR)


@contextmanager
def no_large_files() -> Iterator[None]:
    """A limit of the kernel's, in place of a disk that is full; pytest's own output has it too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_could_not_be_written_whole_is_removed(folder: Path) -> None:
    with no_large_files(), pytest.raises(OSError, match="File too large"):
        TrafficFiles(folder).write(ERROR)
    assert list(folder.iterdir()) == []


def test_a_disk_that_is_full_is_named(folder: Path, logged_errors: list[logging.LogRecord]) -> None:
    files = TrafficFiles(folder)
    with no_large_files():
        files(ERROR)
    (record,) = logged_errors
    assert record.getMessage().endswith(f" cannot be written to {folder}: File too large")


@pytest.mark.parametrize("options", [{"form": "pcap"}, {"keep": 0}])
def test_a_bad_value_is_told_at_once(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must be "):
        TrafficFiles(folder, **options)
