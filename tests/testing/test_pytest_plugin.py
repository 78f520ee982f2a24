"""The plugin in another process, with pytest-trio and without it, judged by what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

USER_TESTS = Path(__file__).parent / "user_tests.py"
INSTALLED = any(each.name == "trioproto" for each in entry_points(group="pytest11"))
OPTIONS = ("-p", "no:cacheprovider", "-p", "no:anyio", "--color=no", "-rA", "-W", "error")
CALLBACK_FAILS = (
    "test_callback_fails_while_the_test_receives",
    "test_callback_fails_while_the_test_waits",
    "test_callback_fails_on_sockets",
    "test_callback_fails_without_the_fixture",
    "test_callback_fails_over_tls",
    "test_callback_and_test_fail",
)


class Output:
    """What pytest has printed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = re.split(r"^_{3,} (.*?) _{3,}$", text, flags=re.MULTILINE)
        found = re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\w+)", text, re.MULTILINE)
        self.outcomes: dict[str, list[str]] = {}
        for outcome, name in found:
            self.outcomes.setdefault(name, []).append(outcome)

    def of(self, heading: str) -> str:
        """What stands under a heading."""
        return self._parts[self._parts.index(heading) + 1]


def run_pytest(path: Path, *options: str, **environment: str) -> Output:
    loaded = () if INSTALLED else ("-p", "trioproto.pytest_plugin")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *loaded, *options, path],
        check=False,
        capture_output=True,
        text=True,
        cwd=path.parent,
        env={**os.environ, **environment},
        timeout=120,
    )
    return Output(done.stdout + done.stderr)


@pytest.fixture(scope="module", params=["pytest-trio", "trio_test"])
def output(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Output:
    """Run the user's tests under pytest-trio, and as one does who has not installed it."""
    path = tmp_path_factory.mktemp("user") / "test_it.py"
    path.write_text(USER_TESTS.read_text(encoding="utf-8"), encoding="utf-8")
    if request.param == "pytest-trio":
        return run_pytest(path)
    return run_pytest(path, "-p", "no:trio", NO_PYTEST_TRIO="1")


@pytest.fixture(scope="module")
def of_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Output:
    """Run tests that are served by a fixture of theirs, which takes pytest-trio."""
    path = tmp_path_factory.mktemp("fixtures") / "test_it.py"
    tests = USER_TESTS.with_name("fixture_tests.py")
    path.write_text(tests.read_text(encoding="utf-8"), encoding="utf-8")
    return run_pytest(path)


@pytest.mark.parametrize("name", ["test_serves_in_memory", "test_serves_on_sockets"])
def test_a_test_that_serves_passes(output: Output, name: str) -> None:
    assert output.outcomes[name] == ["PASSED"], output.text


@pytest.mark.parametrize("name", CALLBACK_FAILS)
def test_an_error_in_a_callback_is_what_is_shown_first(output: Output, name: str) -> None:
    """The test's own line, the callback's, and the error: nothing of trio, and no group."""
    assert output.outcomes[name] == ["FAILED"], output.text
    shown = output.of(name)
    first = shown[: shown.index("\nE ")]
    error = re.findall("^E .*", shown, re.MULTILINE)[0]
    assert error == "E       ValueError: cannot look at b'x'"
    assert ">       raise ValueError(" in first
    assert "self.look_at(data)\n" in first
    assert "site-packages" not in first
    assert "trioproto/" not in first
    assert "Exception Group" not in shown
    assert "During handling" not in first


@pytest.mark.parametrize(
    ("name", "consequence"),
    [
        ("test_receives", "BrokenResourceError"),
        ("test_expects", "TranscriptError: a reset came instead"),
        ("test_waits", ""),
    ],
)
def test_an_error_in_a_callback_is_shown_first_if_a_fixture_serves(
    of_fixtures: Output, name: str, consequence: str
) -> None:
    assert of_fixtures.outcomes[name] == ["FAILED"], of_fixtures.text
    shown = of_fixtures.of(name)
    assert re.findall("^E .*", shown, re.MULTILINE)[0] == "E       ValueError: cannot look at b'x'"
    assert "Exception Group" not in shown
    told = re.findall(r"and so the test failed at \S+: (.*)", shown)
    assert [each.startswith(consequence) for each in told] == [True] * bool(consequence), shown


def test_if_two_fixtures_serve_errors_in_callbacks_are_one_flat_group(of_fixtures: Output) -> None:
    shown = of_fixtures.of("test_callbacks_of_two_fail")
    assert re.findall("ExceptionGroup: (.*)", shown) == ["errors in callbacks (2 sub-exceptions)"]


def test_if_a_fixture_serves_and_the_test_fails_as_well_both_are_shown(of_fixtures: Output) -> None:
    shown = of_fixtures.of("test_fails_otherwise")
    assert "Exception Group" not in shown
    assert shown.index("ValueError: cannot look at") < shown.index("assert (1 + 1) == 3")


def test_if_a_fixture_serves_a_scripted_peers_error_is_shown_alone(of_fixtures: Output) -> None:
    shown = of_fixtures.of("test_only_the_test_fails")
    assert "Exception Group" not in shown
    assert re.search(r'^> +await p.expect\(b"x"\)$', shown, re.MULTILINE)


def test_errors_in_several_callbacks_are_shown_as_one_flat_group(output: Output) -> None:
    name = "test_callbacks_of_two_fail"
    assert output.outcomes[name] == ["FAILED"], output.text
    shown = output.of(name)
    assert shown.count("ValueError: cannot look at b'x'") == 2
    assert re.findall("ExceptionGroup: (.*)", shown) == ["errors in callbacks (2 sub-exceptions)"]


def test_the_docs_show_what_is_shown(output: Output) -> None:
    """But for the places and addresses, which are others each time, and later Pythons' marks."""
    changing = r"/\S*/(?=test_it.py)|(?<=test_it.py:)\d+|0x[0-9a-f]+|[ ]+$|^ +\^+\n"
    example = (USER_TESTS.parent / "callback_error.txt").read_text(encoding="utf-8")
    shown = output.of("test_callback_fails_while_the_test_receives")
    stripped = [re.sub(changing, "", text, flags=re.MULTILINE) for text in (example, shown)]
    assert stripped[0] in stripped[1]


def test_where_the_test_has_stopped_is_told_too(output: Output) -> None:
    shown = output.of("test_callback_fails_while_the_test_receives")
    line = USER_TESTS.read_text().splitlines().index("        await stream.receive_some()") + 1
    assert re.search(rf"and so the block failed at .*/test_it.py:{line}: BrokenRes", shown)
    assert "and so" not in output.of("test_callback_fails_while_the_test_waits")


def test_if_the_test_fails_as_well_both_are_shown(output: Output) -> None:
    shown = output.of("test_callback_and_test_fail")
    assert "assert (1 + 1) == 3" in shown
    assert shown.index("ValueError: cannot look at") < shown.index("assert (1 + 1) == 3")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("test_only_the_test_fails", "AssertionError: assert b'x' == b'y'"),
        ("test_is_reset", "trio.BrokenResourceError: memory stream: connection reset by peer"),
    ],
)
def test_what_only_the_test_gets_wrong_is_shown_alone(
    output: Output, name: str, error: str
) -> None:
    assert output.outcomes[name] == ["FAILED"]
    shown = output.of(name)
    assert re.search(f"^E +{re.escape(error)}", shown, re.MULTILINE)
    assert "During handling" not in shown
    assert "Exception Group" not in shown


@pytest.mark.parametrize("name", ["test_leaves_a_socket", "test_leaves_a_socket_beside_a_server"])
def test_a_socket_that_is_left_is_an_error_and_named(output: Output, name: str) -> None:
    assert sorted(output.outcomes[name]) == ["ERROR", "PASSED"]
    left = output.of(f"ERROR at teardown of {name}")
    named = r"left over when the test ended: descriptors: \d+ \(socket:\[\d+\] AF_INET at .*127"
    assert re.search(named, left)
    assert "Traceback" not in left


def test_a_pipe_and_a_poll_that_are_left_are_named(output: Output) -> None:
    left = output.of("ERROR at teardown of test_leaves_a_pipe_and_a_poll")
    assert left.count("pipe:[") == 2
    assert left.count("eventpoll") == 1


@pytest.mark.parametrize("name", ["test_leaves_a_file", "test_has_what_an_earlier_fixture_opened"])
def test_files_and_what_was_there_before_are_not_left(output: Output, name: str) -> None:
    assert output.outcomes[name] == ["PASSED"]


def test_a_test_that_has_failed_is_not_told_of_its_sockets(output: Output) -> None:
    assert output.outcomes["test_fails_with_a_socket_open"] == ["FAILED"]


def test_a_task_that_is_left_fails_the_test_and_is_named(output: Output) -> None:
    name = "test_leaves_a_task"
    assert output.outcomes[name] == ["FAILED"]
    last = re.findall("^E .*", output.of(name), re.MULTILINE)[-1]
    assert last.endswith("LeftOverError: left over when serving ended: tasks: forgotten (system)")


def test_there_are_no_warnings(output: Output) -> None:
    assert "warning" not in output.text.lower()


def test_who_does_not_use_it_imports_no_more_than_the_library() -> None:
    """The kit, hypothesis and trustme are imported when a test asks for them."""
    program = (
        "import sys, pytest, trioproto; before = set(sys.modules);"
        "import trioproto.pytest_plugin; print(set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.stdout == "{'trioproto.pytest_plugin'}\n"


def test_pytest_does_not_complain_if_the_library_was_imported_before(tmp_path: Path) -> None:
    """pytest would rewrite the assertions of whatever brings a plugin, and say that it cannot."""
    (tmp_path / "test_it.py").write_text("def test_it(): pass")
    program = "import sys, trioproto, pytest; sys.exit(pytest.main(['-W', 'error']))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
