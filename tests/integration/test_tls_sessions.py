"""How openssl takes up a session again, and how a connection with it ends."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.integration.programs import (
    LINGER,
    NAME,
    Files,
    Tell,
    ask,
    endpoint,
    needs,
    run,
    s_client,
    talking,
)
from trioproto import Factory, Server, open_server
from trioproto.errors import ConnectionAborted, ConnectionDone, ConnectionLost

pytestmark = needs("openssl", "openssl")
VERSIONS = ["-tls1_2", "-tls1_3"]


# Sessions


class TellSession(Tell):
    def known(self) -> str:
        assert self.transport.tls is not None
        return f"{super().known()} resumed={self.transport.tls.resumed}"


def sessions() -> Factory[TellSession]:
    return Factory(TellSession, linger=LINGER)


async def told(server: Server[Any], files: Files, *options: str, name: str = NAME) -> str:
    _, out, err = await run(s_client(server, files, *options, name=name), b"who\nquit\n")
    assert out.startswith("who: "), err
    return out.strip()


@pytest.mark.parametrize(
    "options",
    [["-tls1_3"], ["-tls1_2"], ["-tls1_2", "-no_ticket"]],
    ids=["1.3", "1.2 by ticket", "1.2 by the server's memory"],
)
async def test_openssl_takes_up_its_session_again(
    files: Files, tmp_path: Path, options: list[str]
) -> None:
    kept = str(tmp_path / "session.pem")
    async with open_server(sessions(), endpoint(files)) as server:
        first = await told(server, files, *options, "-sess_out", kept)
        again = await told(server, files, *options, "-sess_in", kept)
    assert first.endswith("resumed=False")
    assert again == first.replace("resumed=False", "resumed=True")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_can_be_that_of_one_of_several_names(
    files: Files, tmp_path: Path, version: str
) -> None:
    """Its certificate is not the first one; each name has a session of its own."""
    names = ("one.example", "two.example")
    async with open_server(sessions(), endpoint(files, names=names)) as server:
        for option, resumed in (("-sess_out", False), ("-sess_in", True)):
            for name in names:
                kept = str(tmp_path / name)
                wanted = [version, option, kept, "-verify_hostname", name]
                known = await told(server, files, *wanted, name=name)
                assert known.endswith(f"name={name} client=None resumed={resumed}")


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_comes_back_with_a_session_is_known_by_its_certificate(
    files: Files, tmp_path: Path, version: str
) -> None:
    kept = str(tmp_path / "session.pem")
    key, certificate = files.make("client.example", organization_unit_name="us")
    shown = [version, "-key", key, "-cert", certificate]
    async with open_server(sessions(), endpoint(files, f"clientCA={files.trust}")) as server:
        await told(server, files, *shown, "-sess_out", kept)
        known = await told(server, files, version, "-sess_in", kept)
    assert known.endswith("client=us resumed=True")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_of_a_server_that_was_started_anew_is_a_new_one(
    files: Files, tmp_path: Path, version: str
) -> None:
    kept = str(tmp_path / "session.pem")
    served = endpoint(files)
    for option in ("-sess_out", "-sess_in"):
        async with open_server(sessions(), served) as server:
            assert (await told(server, files, version, option, kept)).endswith("resumed=False")


# Endings


class Ends(Tell):
    """Answers ``abort``, too."""

    def line_received(self, line: bytes) -> None:
        if line == b"abort":
            self.transport.abort()
        else:
            super().line_received(line)


class Talk:
    """A conversation with s_client: the program, its pipes, and our end of its connection."""

    def __init__(self, process: trio.Process, pipes: Any, ours: Ends) -> None:
        self.process = process
        self.pipes = pipes
        self.ours = ours

    async def status(self) -> int:
        """Wait for the program's end; what it wrote before that may not be more."""
        assert await self.pipes.receive_some() == b""
        return await self.process.wait()


@asynccontextmanager
async def talk(files: Files, *options: str) -> AsyncIterator[Talk]:
    factory = Factory(Ends, linger=LINGER)
    async with (
        open_server(factory, endpoint(files)) as server,
        talking(s_client(server, files, *options)) as (process, pipes),
    ):
        assert re.match(r"who: TLS", await ask(pipes))
        (ours,) = factory.connections
        yield Talk(process, pipes, ours)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_program_that_is_killed_while_nothing_is_said_is_a_loss(
    files: Files, version: str
) -> None:
    """Its kernel ends the stream in good order, but nobody has said that it is whole."""
    async with talk(files, version) as it:
        it.process.kill()
        reason = await it.ours.transport.wait_closed()
    assert type(reason) is ConnectionLost
    assert "close_notify" in str(reason)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("last", [b"Q\n", None], ids=["by Q", "by the end of its input"])
async def test_a_program_that_quits_is_done(files: Files, version: str, last: bytes | None) -> None:
    async with talk(files, version, "-no_ign_eof") as it:
        if last is None:
            await it.pipes.send_stream.aclose()
        else:
            await it.pipes.send_all(last)
        reason = await it.ours.transport.wait_closed()
        assert await it.status() == 0
    assert type(reason) is ConnectionDone


@pytest.mark.parametrize("version", VERSIONS)
async def test_our_close_is_a_clean_end_for_the_program(files: Files, version: str) -> None:
    async with talk(files, version) as it:
        await it.pipes.send_all(b"quit\n")
        assert await it.status() == 0
        reason = await it.ours.transport.wait_closed()
    assert type(reason) is ConnectionDone


@pytest.mark.parametrize("version", VERSIONS)
async def test_our_abort_is_an_error_for_the_program(files: Files, version: str) -> None:
    async with talk(files, version) as it:
        await it.pipes.send_all(b"abort\n")
        assert await it.status() != 0
        reason = await it.ours.transport.wait_closed()
    assert type(reason) is ConnectionAborted
