"""Each example, run as a user runs it and talked to over plain sockets."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.examples.running import REPOSITORY, Caller, Example, example, help_of, running

NAMES = [
    "echo", "qotd", "limited_echo", "answer", "logfile", "chat",
    "discard", "chargen", "daytime", "time", "calculator", "memcached",
    "smtp_sink", "portforward",
]  # fmt: skip


def test_every_example_is_tested() -> None:
    """The list above names all that stand in the folder."""
    files = {path.stem for path in (REPOSITORY / "examples").glob("[!_]*.py")}
    assert files == set(NAMES)


def test_echo_sends_back_what_comes() -> None:
    """All bytes come back, also the last ones, after the caller's EOF."""
    data = bytes(range(256)) * 4096
    with example("echo") as server, server.connect() as caller, server.connect() as other:
        other.send(b"\0")
        caller.send(data[:1000])
        assert caller.read(1000) == data[:1000]
        caller.send(data[1000:100_000])
        caller.send_eof()
        assert caller.read_all() == data[1000:100_000]
        assert other.read(1) == b"\0"


def test_qotd_says_the_howtos_quote_and_closes() -> None:
    """The default quote comes as one line, then EOF."""
    with example("qotd") as server, server.connect() as caller:
        assert caller.read_all() == b"An apple a day keeps the doctor away\r\n"


def test_qotd_says_another_quote() -> None:
    """`--quote` sets it, in UTF-8."""
    with example("qotd", "--quote", "Über den Wolken") as server, server.connect() as caller:
        assert caller.read_all() == "Über den Wolken\r\n".encode()


@pytest.mark.parametrize("way", [[], ["--howto"]], ids=["at_limit", "howto"])
def test_limited_echo_refuses_the_one_too_many(way: list[str]) -> None:
    """It is told and closed, the others are not touched, and a freed place is given again."""
    refusal = b"Too many connections, try later\r\n"
    with ExitStack() as stack:
        server = stack.enter_context(example("limited_echo", "--max-connections", "2", *way))
        first, second = (stack.enter_context(server.connect()) for _ in range(2))
        for caller in (first, second):
            assert_echo(caller)
        with server.connect() as third:
            third.send(b"let me in")
            assert third.read_all() == refusal
        for caller in (first, second):
            assert_echo(caller)
        second.send_eof()
        assert second.read_all() == b""
        # The place is free once the server has closed; that may come just after our EOF.
        assert any(was_let_in(server) for _ in range(1000))


def assert_echo(caller: Caller) -> None:
    caller.send(b"hello")
    assert caller.read(5) == b"hello"


def was_let_in(server: Example) -> bool:
    with server.connect() as caller:
        caller.send(b"?")
        return caller.read(1) == b"?"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_answer_knows_one_question(end: bytes) -> None:
    """The howto's question, any other, and several lines at once, with either end of line."""
    with example("answer") as server, server.connect() as caller:
        caller.send(b"How are you?" + end)
        assert caller.read_line() == b"Fine\r\n"
        caller.send(b"How old are you?" + end + end + b"How are you?" + end)
        assert caller.read_line() == b"I don't know what you mean\r\n"
        assert caller.read_line() == b"I don't know what you mean\r\n"
        assert caller.read_line() == b"Fine\r\n"


def test_logfile_keeps_each_line(tmp_path: Path) -> None:
    """Lines of several callers, and one that nobody ended, each on its own line."""
    path = tmp_path / "lines.log"
    path.write_bytes(b"older\n")
    with example("logfile", "--file", str(path)) as server:
        with server.connect() as one, server.connect() as two:
            one.send(b"a\r\nb\n")
            two.send(b"c\n\nd")
            for caller in (one, two):
                caller.send_eof()
                assert caller.read_all() == b""
        lines = path.read_bytes().split(b"\n")  # while the server still runs: it has flushed
    assert lines[0] == b"older"
    assert lines[-1] == b""
    assert sorted(lines[1:-1]) == [b"", b"a", b"b", b"c", b"d"]


def test_logfile_keeps_what_came_before_a_drain(tmp_path: Path) -> None:
    """A line that the kernel has when the signal comes is in the file when the server has ended."""
    path = tmp_path / "lines.log"
    with example("logfile", "--file", str(path)) as server, server.connect() as caller:
        caller.send(b"first\n")
        caller.send(b"last\n")
        server.signal(signal.SIGTERM)
        assert caller.read_all() == b""
    assert path.read_bytes() == b"first\nlast\n"


def test_logfile_that_cannot_be_opened(tmp_path: Path) -> None:
    """One line says so, status 1."""
    path = str(tmp_path / "no such folder" / "lines.log")
    command = [sys.executable, "-m", "examples.logfile", "--file", path]
    with running(*command, "--listen", "tcp:0:interface=127.0.0.1") as program:
        status, out, err = program.finish()
    assert (status, out) == (1, "")
    assert path in err
    assert err.count("\n") == 1


def enter(server: Example, stack: ExitStack, name: str) -> Caller:
    """Come into the chat; returns when the welcome has been said."""
    caller = stack.enter_context(server.connect())
    assert caller.read_line() == b"What is your name?\r\n"
    caller.send(name.encode() + b"\n")
    assert caller.read_line().startswith(f"Welcome, {name}!".encode())
    return caller


def test_chat_tells_the_others() -> None:
    """Coming, talking and leaving is heard by all others, and by nobody who has no name yet."""
    with example("chat") as server, ExitStack() as stack:
        nameless = stack.enter_context(server.connect())
        assert nameless.read_line() == b"What is your name?\r\n"
        anna = enter(server, stack, "Anna")
        ben = enter(server, stack, "Ben")
        assert anna.read_line() == b"* Ben has come\r\n"
        carl = enter(server, stack, "Carl")
        assert anna.read_line() == ben.read_line() == b"* Carl has come\r\n"

        anna.send(b"Hello\r\n\r\nAll well?\n")
        for caller in (ben, carl):
            assert caller.read_line() == b"<Anna> Hello\r\n"
            assert caller.read_line() == b"<Anna> All well?\r\n"
        ben.send("Grüße \x1b[31m\n".encode())
        assert anna.read_line() == carl.read_line() == "<Ben> Grüße [31m\r\n".encode()

        ben.send_eof()
        assert ben.read_all() == b""
        assert anna.read_line() == carl.read_line() == b"* Ben has left\r\n"
        nameless.send_eof()
        assert nameless.read_all() == b""


def test_chat_gives_a_name_once() -> None:
    """A name that is taken, or empty, is asked for again; it is free when its owner has left."""
    with example("chat") as server, ExitStack() as stack:
        anna = enter(server, stack, "Anna")
        other = stack.enter_context(server.connect())
        other.send(b"Anna\n \nBen\n")
        assert other.read_line() == b"What is your name?\r\n"
        assert other.read_line() == b"That name is taken. What is your name?\r\n"
        assert other.read_line().startswith(b"Welcome, Ben!")
        anna.send_eof()
        assert anna.read_all() == b"* Ben has come\r\n"
        assert other.read_line() == b"* Anna has left\r\n"
        enter(server, stack, "Anna")


def test_chat_does_not_wait_for_someone_slow() -> None:
    """One member reads nothing: the others hear every line, and it is dropped in the end."""
    count, line = 10_000, b"x" * 900
    with example("chat") as server, ExitStack() as stack:
        slow = stack.enter_context(server.connect())
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.send(b"Slow\n")
        for _ in range(2):  # the question, the welcome; from then on it does not read
            slow.read_line()
        anna = enter(server, stack, "Anna")
        ben = enter(server, stack, "Ben")
        assert anna.read_line() == b"* Ben has come\r\n"
        heard = []
        for _ in range(0, count, 100):
            anna.send((line + b"\n") * 100)
            heard += [ben.read_line() for _ in range(100)]
        heard.append(ben.read_line())
        assert anna.read_line() == b"* Slow has left\r\n"
        heard.remove(b"* Slow has left\r\n")
        assert heard == [b"<Anna> " + line + b"\r\n"] * count


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
# The forwarder needs something behind it: test_portforward.py has the same for it.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "portforward"])
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


@pytest.mark.parametrize("name", NAMES)
def test_help_says_what_it_does(name: str) -> None:
    """`--help` shows the module's own words, `--listen` and its default."""
    status, out, err = help_of(name)
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: python -m examples.{name}")
    words = (REPOSITORY / "examples" / f"{name}.py").read_text(encoding="utf-8").split('"""')[1]
    assert words.strip() in out
    assert "--listen ENDPOINT" in out
    assert "tcp:8007:interface=127.0.0.1" in " ".join(out.split())


def fails_to_start(*arguments: str) -> str:
    """Run the echo, which must end with status 1; returns the one line that it says."""
    with running(sys.executable, "-X", "dev", "-m", "examples.echo", *arguments) as program:
        status, out, err = program.finish()
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    return err


def test_port_in_use() -> None:
    """One line names the endpoint, status 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        message = fails_to_start("--listen", endpoint)
    assert endpoint in message
    assert "in use" in message


@pytest.mark.parametrize(
    "endpoint",
    ["", "8007", "tcp", "tcp:", "tcp:eighty", "tcp:70000", "tcp:0:colour=red", "tcp:0\\"],
)
def test_bad_endpoint(endpoint: str) -> None:
    """One line shows the string, status 1."""
    assert repr(endpoint) in fails_to_start("--listen", endpoint)


def test_bad_host() -> None:
    """A name that nobody has, one line, status 1."""
    endpoint = "tcp:0:interface=no-such-host.invalid"
    assert endpoint in fails_to_start("--listen", endpoint)


def test_one_bad_endpoint_of_two_binds_none() -> None:
    """Nothing is printed of the good one: the server does not start by halves."""
    assert "tcp:x" in fails_to_start("--listen", "tcp:0:interface=127.0.0.1", "--listen", "tcp:x")


def test_several_endpoints() -> None:
    """Each bound address has its own line, and each is served."""
    both = ["--listen", "tcp:0:interface=127.0.0.1", "--listen", "tcp:0:interface=127.0.0.2"]
    with running(sys.executable, "-X", "dev", "-m", "examples.qotd", *both) as program:
        lines = [program.read_line() for _ in range(2)]
        for line, host in zip(lines, ["127.0.0.1", "127.0.0.2"], strict=True):
            assert line.startswith(f"listening on tcp:{host}:")
            with Caller(host, int(line.rpartition(":")[2])) as caller:
                assert caller.read_line() == b"An apple a day keeps the doctor away\r\n"
        program.signal(signal.SIGINT)
        assert program.finish() == (0, "", "")


def test_limited_echo_refuses_a_limit_of_none() -> None:
    """`--max-connections 0` is a mistake in the command, not a traceback."""
    command = [sys.executable, "-m", "examples.limited_echo", "--max-connections", "0"]
    with running(*command) as program:
        status, _, err = program.finish()
    assert status == 2
    assert err.endswith("error: --max-connections must be at least 1\n")
