"""The examples, talked to by the programs that people have at hand."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.examples.running import REPOSITORY, Example, Program, example, running


def needs(client: str) -> pytest.MarkDecorator:
    reason = f"{client} is not installed (Debian: apt-get install netcat-openbsd telnet socat)"
    return pytest.mark.skipif(shutil.which(client) is None, reason=reason)


def chat_with(client: Program, name: str) -> None:
    client.read_until("What is your name?")
    client.write_line(name)
    client.read_until(f"Welcome, {name}!")


def call(client: str, server: Example) -> tuple[str, str, str]:
    return client, "127.0.0.1", str(server.port)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("nc", "nc", marks=needs("nc")),
        pytest.param("telnet", "telnet", marks=needs("telnet")),
        pytest.param("nc", "telnet", marks=[needs("nc"), needs("telnet")]),
    ],
)
def test_two_windows_in_the_chat(one: str, other: str) -> None:
    """Two people see each other come, talk, and go."""
    with (
        example("chat") as server,
        running(*call(one, server)) as anna,
        running(*call(other, server)) as ben,
    ):
        chat_with(anna, "Anna")
        chat_with(ben, "Ben")
        assert anna.read_line() == "* Ben has come"
        anna.write_line("Hello, Ben")
        assert ben.read_line() == "<Anna> Hello, Ben"
        ben.write_line("Hello, Anna")
        assert anna.read_line() == "<Ben> Hello, Anna"
        ben.process.kill()
        assert anna.read_line() == "* Ben has left"


@pytest.mark.parametrize("client", [pytest.param(c, marks=needs(c)) for c in ("nc", "telnet")])
def test_questions(client: str) -> None:
    """The howto's question and another are answered."""
    with example("answer") as server, running(*call(client, server)) as asker:
        asker.write_line("How are you?")
        asker.read_until("Fine")
        asker.write_line("Who are you?")
        assert asker.read_line() == "I don't know what you mean"


@pytest.mark.parametrize("client", [pytest.param(c, marks=needs(c)) for c in ("nc", "telnet")])
def test_quote(client: str) -> None:
    """The quote comes, and the server's closing ends the client."""
    with example("qotd") as server, running(*call(client, server)) as visitor:
        visitor.read_until("An apple a day keeps the doctor away")
        status, out, _ = visitor.finish()
    assert out == ""
    assert status in (0, 1)  # telnet: 1 if it sees the server's end before its input's


@needs("socat")
def test_socat_gets_all_back_after_its_eof() -> None:
    """A megabyte through a client that half-closes when its input ends."""
    data = bytes(range(256)) * 4096
    with (
        example("echo") as server,
        running("socat", "-t", "20", "-", f"TCP:127.0.0.1:{server.port}") as socat,
    ):
        out, err = socat.process.communicate(data)
    assert (out == data, err) == (True, b"")


@needs("bash")
def test_bash_alone() -> None:
    """Without any client program, as the README shows."""
    script = """
        exec 3<>/dev/tcp/127.0.0.1/"$0"
        printf 'How are you?\\n' >&3
        read -r line <&3
        echo "$line"
    """
    with example("answer") as server, running("bash", "-c", script, str(server.port)) as bash:
        assert bash.finish() == (0, "Fine\r\n", "")


def twisted_client(what: str, server: Example) -> tuple[str, ...]:
    script = REPOSITORY / "tests" / "integration" / "twisted_client.py"
    return sys.executable, str(script), what, str(server.port)


def test_twisted_gets_all_back_after_its_eof() -> None:
    """Many writes, then a half-close: all of it comes back."""
    with example("echo") as server, running(*twisted_client("echo", server)) as client:
        assert client.finish() == (0, "199000 bytes unchanged\n", "")


def test_twisted_asks() -> None:
    """Twisted's LineReceiver understands the answers, and its close is a clean one."""
    with example("answer") as server, running(*twisted_client("answer", server)) as client:
        out, err = client.process.communicate(b"How are you?\nWho are you?\nHow are you?\n")
    assert out.decode().splitlines() == [
        "Fine",
        "I don't know what you mean",
        "Fine",
        "ConnectionDone",
    ]
    assert err == b""
