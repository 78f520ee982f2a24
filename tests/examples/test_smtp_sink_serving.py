"""The SMTP sink as a server: its files, its ends, and the program."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from examples._smtp_mail import Mail
from examples.smtp_sink import SMTP, SinkFactory
from tests.examples.running import example
from tests.examples.smtp_talk import (
    BEGIN,
    EHLO,
    HOST,
    MAIL,
    RCPT,
    Kept,
    call,
    certified,
    talking,
)
from trioproto.errors import IdleTimeout, ServerDraining
from trioproto.testing import MemoryServer, serving

TRY_LATER = b"421 this server is being stopped, try later\r\n"

# Files


def saving(folder: Path) -> SinkFactory:
    factory = SinkFactory(folder=folder)
    factory.host = HOST
    return factory


async def test_each_mail_gets_a_file(tmp_path: Path) -> None:
    """Numbered, with its envelope before it, and nothing else left in the folder."""
    folder = tmp_path / "not" / "there"
    async with talking(saving(folder)) as client:
        await client.ask(EHLO)
        assert await client.send_mail(b"Subject: hello\r\n\r\n..\r\n") == 250
        assert await client.ask(MAIL + RCPT + b"RCPT TO:<b@c>\r\nDATA\r\n") == [250, 250, 250, 354]
        assert await client.ask(b".\r\n") == [250]
    assert sorted(file.name for file in folder.iterdir()) == ["000001.eml", "000002.eml"]
    header, _, text = (folder / "000001.eml").read_bytes().partition(b"Subject")
    assert text == b": hello\r\n\r\n.\r\n"
    *lines, end = header.decode().split("\r\n")
    assert lines[:2] == ["Return-Path: <me@example.org>", "Delivered-To: you@example.org"]
    received = "Received: from client.example.org by mx.example.org with ESMTP; "
    assert lines[2].startswith(received)
    assert (len(lines), end) == (3, "")
    assert b"Delivered-To: you@example.org\r\nDelivered-To: b@c\r\n" in (
        (folder / "000002.eml").read_bytes()
    )


async def test_the_file_says_that_it_came_by_tls(tmp_path: Path) -> None:
    factory = certified(tmp_path)
    saves = saving(tmp_path / "mails")
    saves.certificates = factory.certificates
    async with talking(saves) as client:
        await client.ask(EHLO + b"STARTTLS\r\n")
        await client.start_tls()
        await client.ask(EHLO)
        assert await client.send_mail(b"") == 250
    assert b" with ESMTPS (TLSv1.3); " in (tmp_path / "mails" / "000001.eml").read_bytes()


async def test_numbers_go_on_after_those_that_are_there(tmp_path: Path) -> None:
    """No file is overwritten; what has another name, or was not finished, does not count."""
    for name in ("000007.eml", "letter.eml", "000012.part", "000013.txt"):
        (tmp_path / name).write_bytes(b"mine")
    async with talking(saving(tmp_path)) as client:
        await client.ask(EHLO)
        assert await client.send_mail(b"new\r\n") == 250
    assert (tmp_path / "000008.eml").read_bytes().endswith(b"new\r\n")
    assert (tmp_path / "000007.eml").read_bytes() == b"mine"


async def test_a_mail_that_cannot_be_kept_is_not_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client is asked to try again; the reason is told here, and the session goes on."""
    folder = tmp_path / "mails"
    async with talking(saving(folder)) as client:
        await client.ask(EHLO)
        folder.rmdir()
        assert await client.send_mail(b"hello\r\n") == 451
        folder.mkdir()
        assert await client.send_mail(b"hello\r\n") == 250
    assert [file.name for file in folder.iterdir()] == ["000002.eml"]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("a mail could not be kept: ")
    assert said.err.count("\n") == 1


async def test_a_file_that_is_not_finished_does_not_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here it cannot get its name, since a folder has it."""
    async with talking(saving(tmp_path)) as client:
        await client.ask(EHLO)
        (tmp_path / "000001.eml").mkdir()
        assert await client.send_mail(b"hello\r\n") == 451
    assert [file.name for file in tmp_path.iterdir()] == ["000001.eml"]
    assert "a mail could not be kept" in capsys.readouterr().err


async def test_mails_of_several_connections_have_each_a_file(tmp_path: Path) -> None:
    async with serving(saving(tmp_path)) as server, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(send_ten, server, number)
    texts = {file.read_bytes().rpartition(b"\r\n\r\n")[2] for file in tmp_path.iterdir()}
    assert texts == {b"%d of %d\r\n" % (i, number) for i in range(10) for number in range(20)}


async def send_ten(server: MemoryServer[Any], number: int) -> None:
    client = await call(server)
    await client.ask(EHLO)
    for i in range(10):
        assert await client.send_mail(b"\r\n%d of %d\r\n" % (i, number)) == 250


# Ends


@pytest.mark.parametrize("before", [b"", EHLO, BEGIN, BEGIN + b"hello\r\nwor"])
async def test_silence_ends_after_five_minutes(before: bytes, autojump_clock: MockClock) -> None:
    """With a last word, wherever it comes; half a mail is none."""
    factory = Kept()
    async with talking(factory, patience=1000) as client:
        await client.stream.send_all(before)
        start = trio.current_time()
        assert (await client.rest()).endswith(b"421 you were silent for too long\r\n")
        assert trio.current_time() - start == 300
        (session,) = factory.sessions
        assert type(session.transport.reason) is IdleTimeout
    assert factory.mails == []


@pytest.mark.parametrize("before", [b"", EHLO, b"NOOP\r\nMAI"])
async def test_a_drain_ends_who_has_begun_no_mail(before: bytes) -> None:
    """At once, and with a last word."""
    factory = Kept()
    async with serving(factory) as server:
        client = await call(server)
        await client.stream.send_all(before)
        await client.codes(before.count(b"\r\n"))
        server.server.stop()
        assert await client.rest() == TRY_LATER
        await client.stream.aclose()
        reason = await factory.sessions[0].transport.wait_closed()
        assert type(reason) is ServerDraining


@pytest.mark.parametrize("cut", range(1, 5))
async def test_a_drain_waits_for_a_mail_that_was_begun(cut: int) -> None:
    """Whether in its commands or in its text; no other is begun after it."""
    parts = [EHLO + MAIL, RCPT, b"DATA\r\n", b"hel", b"lo\r\n.\r\n" + MAIL]
    factory = Kept()
    async with serving(factory) as server:
        client = await call(server)
        before, after = b"".join(parts[:cut]), b"".join(parts[cut:])
        await client.stream.send_all(before)
        await client.codes(before.count(b"\r\n"))
        server.server.stop()
        await factory.sessions[0].transport.wait_draining()
        await client.stream.send_all(after)
        assert (await client.rest()).endswith(b"250 the mail is accepted\r\n" + TRY_LATER)
        await client.stream.aclose()
    assert factory.texts == [b"hello\r\n"]


@pytest.mark.parametrize("given_up", [b"RSET\r\n", EHLO])
async def test_a_drain_does_not_wait_for_a_mail_that_is_given_up(given_up: bytes) -> None:
    async with serving(Kept()) as server:
        client = await call(server)
        await client.ask(EHLO + MAIL)
        server.server.stop()
        assert await client.ask(RCPT) == [250]
        await client.stream.send_all(given_up)
        await client.codes(1)
        assert await client.rest() == TRY_LATER
        await client.stream.aclose()


async def test_a_mail_that_is_being_kept_is_accepted_in_a_drain() -> None:
    """The client must not believe that it has to send it again."""
    factory = Slow()
    async with serving(factory) as server:
        client = await call(server)
        await client.ask(BEGIN)
        await client.stream.send_all(b"hello\r\n.\r\n")
        await factory.begun.wait()
        server.server.stop()
        await factory.sessions[0].transport.wait_draining()
        factory.may_end.set()
        assert await client.rest() == b"250 the mail is accepted\r\n" + TRY_LATER
        await client.stream.aclose()
    assert factory.texts == [b"hello\r\n"]


class Slow(Kept):
    """Keeps a mail when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = trio.Event()
        self.may_end = trio.Event()

    async def keep(self, mail: Mail, session: SMTP) -> None:
        self.begun.set()
        await self.may_end.wait()
        await super().keep(mail, session)


async def test_a_drain_in_mid_handshake_is_told_of_in_tls(tmp_path: Path) -> None:
    """A client that waits for a handshake would not understand a word in plain."""
    factory = certified(tmp_path)
    async with serving(factory) as server:
        client = await call(server)
        await client.ask(EHLO + b"STARTTLS\r\n")
        server.server.stop()
        await factory.sessions[0].transport.wait_draining()
        await client.start_tls()
        assert await client.rest() == TRY_LATER
        await client.stream.aclose()


# The program


def test_the_program_tells_of_a_mail() -> None:
    with example("smtp_sink") as server, server.connect() as caller:
        assert caller.read_line().startswith(b"220 ")
        caller.send(BEGIN + b"hello\r\n.\r\nQUIT\r\n")
        assert caller.read_all().endswith(b"250 the mail is accepted\r\n221 goodbye\r\n")
        assert server.read_line() == ("from=<me@example.org> to=<you@example.org> bytes=7 tls=none")


def test_the_program_finishes_a_mail_when_it_is_stopped(tmp_path: Path) -> None:
    with example("smtp_sink", "--save", str(tmp_path)) as server, server.connect() as caller:
        caller.send(BEGIN)
        while not caller.read_line().startswith(b"354"):
            pass
        server.signal(signal.SIGTERM)
        caller.send(b"hello\r\n.\r\n")
        assert caller.read_all() == b"250 the mail is accepted\r\n" + TRY_LATER
    assert [file.name for file in tmp_path.iterdir()] == ["000001.eml"]
