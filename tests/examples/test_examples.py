"""The examples as programs: what they are told on the command line, and how they end.

What each of them says to its callers is shown in docs/examples, with no process.
"""

from __future__ import annotations

import signal
import socket
import sys
from itertools import cycle
from pathlib import Path

import pytest

from tests.examples.running import REPOSITORY, Caller, called, example, running

NAMES = [
    "echo", "qotd", "limited_echo", "answer", "logfile", "chat",
    "discard", "chargen", "daytime", "time", "calculator", "memcached",
    "smtp_sink", "portforward",
]  # fmt: skip
QUOTE = b"An apple a day keeps the doctor away\r\n"


def test_every_example_is_tested() -> None:
    """The list above names all that stand in the folder."""
    files = {path.stem for path in (REPOSITORY / "examples").glob("[!_]*.py")}
    assert files == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_example_has_its_module_in_the_docs(name: str) -> None:
    """It is printed, and uses the kit alone: no socket, no process, nothing of these tests."""
    module = f"examples/test_example_{name}.py"
    page = (REPOSITORY / "docs" / "testing-examples.md").read_text(encoding="utf-8")
    assert f"{{literalinclude}} {module}\n" in page
    code = (REPOSITORY / "docs" / module).read_text(encoding="utf-8")
    imported = {line.split()[1] for line in code.splitlines() if line.startswith(IMPORTS)}
    packages = {each.partition(".")[0] for each in imported}
    assert f"from examples.{name} import " in code
    assert "trioproto.testing" in imported
    assert not packages & {"tests", "socket", "subprocess", "threading", "signal", "os"}


IMPORTS = ("import ", "from ")


def test_qotd_says_another_quote() -> None:
    """`--quote` sets it, in UTF-8."""
    with example("qotd", "--quote", "Über den Wolken") as server, server.connect() as caller:
        assert caller.read_all() == "Über den Wolken\r\n".encode()


@pytest.mark.parametrize("way", [[], ["--howto"]], ids=["at_limit", "howto"])
def test_limited_echo_has_the_limit_that_it_is_given(way: list[str]) -> None:
    """Whoever counts."""
    with (
        example("limited_echo", "--max-connections", "1", *way) as server,
        server.connect() as first,
    ):
        first.send(b"hello")
        assert first.read(5) == b"hello"
        with server.connect() as second:
            assert second.read_all() == b"Too many connections, try later\r\n"


def test_logfile_keeps_what_came_before_a_drain(tmp_path: Path) -> None:
    """A line that the kernel has when the signal comes is in the file when the server has ended."""
    path = tmp_path / "lines.log"
    with example("logfile", "--file", str(path)) as server, server.connect() as caller:
        caller.send(b"first\n")
        caller.send(b"last\n")
        server.signal(signal.SIGTERM)
        assert caller.read_all() == b""
    assert path.read_bytes() == b"first\nlast\n"


# The forwarder needs something behind it: test_portforward.py has the same for it.
ALONE = [name for name in NAMES if name != "portforward"]


@pytest.mark.parametrize(
    ("name", "number"), list(zip(ALONE, cycle([signal.SIGINT, signal.SIGTERM]), strict=False))
)
def test_a_signal_ends_it_well(name: str, number: int, tmp_path: Path) -> None:
    """A caller who is connected sees EOF; the status is 0, and nothing is complained of."""
    options = ["--file", str(tmp_path / "lines.log")] if name == "logfile" else []
    with example(name, *options) as server, server.connect() as caller:
        if name in ("qotd", "chat"):
            caller.read_line()
        else:
            caller.send(b"hello")
        server.signal(number)
        caller.read_all()


# What cannot start


def test_port_in_use() -> None:
    """One line names the endpoint, status 1, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        command = [sys.executable, "-X", "dev", "-m", "examples.echo", "--listen", endpoint]
        with running(*command) as program:
            status, out, err = program.finish()
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert endpoint in err
    assert "in use" in err


@pytest.mark.parametrize(
    "endpoint",
    ["", "8007", "tcp", "tcp:", "tcp:eighty", "tcp:70000", "tcp:0:colour=red", "tcp:0\\"],
)
def test_bad_endpoint(endpoint: str) -> None:
    """One line shows the string, status 1."""
    status, out, said = called("echo", "--listen", endpoint)
    assert (status, out, said.count("\n")) == (1, "", 1)
    assert repr(endpoint) in said


def test_bad_host() -> None:
    """A name that nobody has, one line, status 1."""
    endpoint = "tcp:0:interface=no-such-host.invalid"
    status, out, said = called("echo", "--listen", endpoint)
    assert (status, out, said.count("\n")) == (1, "", 1)
    assert endpoint in said


def test_one_bad_endpoint_of_two_binds_none() -> None:
    """Nothing is printed of the good one: the server does not start by halves."""
    where = ["--listen", "tcp:0:interface=127.0.0.1", "--listen", "tcp:x"]
    status, out, said = called("echo", *where)
    assert (status, out) == (1, "")
    assert "tcp:x" in said


def test_several_endpoints() -> None:
    """Each bound address has its own line, and each is served."""
    both = ["--listen", "tcp:0:interface=127.0.0.1", "--listen", "tcp:0:interface=127.0.0.2"]
    with running(sys.executable, "-X", "dev", "-m", "examples.qotd", *both) as program:
        lines = [program.read_line() for _ in range(2)]
        for line, host in zip(lines, ["127.0.0.1", "127.0.0.2"], strict=True):
            assert line.startswith(f"listening on tcp:{host}:")
            with Caller(host, int(line.rpartition(":")[2])) as caller:
                assert caller.read_line() == QUOTE
        program.signal(signal.SIGINT)
        assert program.finish() == (0, "", "")


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("limited_echo", ["--max-connections", "0"], "--max-connections must be at least 1"),
        ("memcached", ["--memory", "0"], "--memory must be at least 1"),
        ("smtp_sink", ["--max-size", "0"], "--max-size must be at least 1"),
        ("smtp_sink", ["--private-key", "key.pem"], "--private-key needs --certificate"),
    ],
)
def test_options_that_make_no_sense(name: str, arguments: list[str], problem: str) -> None:
    """A mistake in the command, not a traceback: status 2, as of all that parse options."""
    status, out, said = called(name, *arguments)
    assert (status, out) == (2, "")
    assert said.endswith(f"error: {problem}\n")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    """One line names the file, or the folder that cannot be made, status 1."""
    (tmp_path / "file").touch()
    missing, taken = str(tmp_path / "no such folder" / "lines.log"), str(tmp_path / "file")
    for name, option, path in [
        ("logfile", "--file", missing),
        ("smtp_sink", "--save", taken),
        ("smtp_sink", "--certificate", missing),
    ]:
        status, out, said = called(name, "--listen", "tcp:0:interface=127.0.0.1", option, path)
        assert (status, out, said.count("\n")) == (1, "", 1)
        assert path in said


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("tcp:8008", "the port is missing"),
        ("nosuch:1", "unknown kind"),
        ("tls:a:1:trustRoots=/nosuch.pem", "No such file"),
    ],
)
def test_a_bad_target_is_one_clear_line(target: str, shown: str) -> None:
    """Before anything is served."""
    where = ["--listen", "tcp:0:interface=127.0.0.1"]
    status, out, said = called("portforward", *where, "--to", target)
    assert (status, out, said.count("\n")) == (1, "", 1)
    assert said.startswith("error: ")
    assert shown in said
