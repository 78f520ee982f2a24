"""The SMTP sink: its commands, in order and out of it, and the texts of mails."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
import trio
import trio.testing

from examples._smtp_mail import COMMAND_LENGTH, LINE_LENGTH, MOST_RECIPIENTS
from examples.smtp_sink import MAX_SIZE, SinkFactory
from tests.examples.smtp_talk import (
    BEGIN,
    EHLO,
    HOST,
    MAIL,
    RCPT,
    Kept,
    certified,
    talking,
)
from trioproto.testing import Faults

MIB = 1024 * 1024

# Commands in each state

STATES = {
    "connected": b"",
    "greeted": EHLO,
    "sender": EHLO + MAIL,
    "recipients": EHLO + MAIL + RCPT,
}
REPLIES: dict[bytes, tuple[int, int, int, int]] = {
    EHLO: (250, 250, 250, 250),
    b"HELO client\r\n": (250, 250, 250, 250),
    MAIL: (503, 250, 503, 503),
    RCPT: (503, 503, 250, 250),
    b"DATA\r\n": (503, 503, 503, 354),
    b"STARTTLS\r\n": (503, 220, 220, 220),
    b"RSET\r\n": (250, 250, 250, 250),
    b"NOOP\r\n": (250, 250, 250, 250),
    b"NOOP and more\r\n": (250, 250, 250, 250),
    b"HELP\r\n": (214, 214, 214, 214),
    b"VRFY you\r\n": (252, 252, 252, 252),
    b"QUIT\r\n": (221, 221, 221, 221),
    b"EXPN list\r\n": (500, 500, 500, 500),
    b"received now\r\n": (500, 500, 500, 500),
    b"\r\n": (500, 500, 500, 500),
    b".\r\n": (500, 500, 500, 500),
    # What is wrong in itself, wherever it comes
    b"EHLO\r\n": (501, 501, 501, 501),
    b"HELO\r\n": (501, 501, 501, 501),
    b"HELO two words\r\n": (501, 501, 501, 501),
    b"VRFY\r\n": (501, 501, 501, 501),
    b"QUIT now\r\n": (501, 501, 501, 501),
    b"RSET now\r\n": (501, 501, 501, 501),
    b"DATA now\r\n": (503, 503, 503, 501),
    b"STARTTLS now\r\n": (503, 501, 501, 501),
    b"MAIL\r\n": (503, 501, 503, 503),
    b"NOOP \xe4\r\n": (501, 501, 501, 501),
    b"NOOP\tthen\r\n": (501, 501, 501, 501),
    b"NOOP\nQUIT\r\n": (501, 501, 501, 501),
    b"NOOP\0\r\n": (501, 501, 501, 501),
    # Large or small letters, and spaces at the end, are the same
    b"ehlo client\r\n": (250, 250, 250, 250),
    b"mail from:<me@example.org>\r\n": (503, 250, 503, 503),
    b"Rcpt To:<you@example.org>  \r\n": (503, 503, 250, 250),
    b"DATA \r\n": (503, 503, 503, 354),
}


@pytest.mark.parametrize("command", REPLIES, ids=[repr(command)[2:-5] for command in REPLIES])
async def test_each_command_in_each_state(command: bytes, tmp_path: Path) -> None:
    """The code is the table's, and after a refusal the state is what it was."""
    for before, expected in zip(STATES.values(), REPLIES[command], strict=True):
        async with talking(certified(tmp_path)) as client:
            await client.ask(before)
            assert await client.ask(command) == [expected]
            if expected >= 500:
                nexts = (EHLO, MAIL, RCPT, b"DATA\r\n")[before.count(b"\r\n")]
                assert await client.ask(nexts) == [354 if nexts == b"DATA\r\n" else 250]


async def test_ehlo_tells_what_there_is() -> None:
    async with talking() as client:
        await client.stream.send_all(EHLO)
        assert await client.reply() == [
            f"250-{HOST}",
            "250-PIPELINING",
            "250-8BITMIME",
            f"250-SIZE {MAX_SIZE}",
            "250 HELP",
        ]


async def test_helo_tells_nothing() -> None:
    async with talking() as client:
        await client.stream.send_all(b"HELO client\r\n")
        assert await client.reply() == [f"250 {HOST}"]


@pytest.mark.parametrize("again", [b"RSET\r\n", EHLO, b"HELO client\r\n"])
async def test_a_mail_that_was_begun_is_forgotten(again: bytes) -> None:
    """And its recipients with it."""
    factory = Kept()
    async with talking(factory) as client:
        await client.ask(EHLO + MAIL + b"RCPT TO:<other@example.org>\r\n" + again)
        assert await client.ask(RCPT + b"DATA\r\n") == [503, 503]
        assert await client.send_mail(b"") == 250
    (mail,) = factory.mails
    assert mail.recipients == ["you@example.org"]


async def test_rset_does_not_stand_for_ehlo() -> None:
    async with talking() as client:
        assert await client.ask(b"RSET\r\n" + MAIL) == [250, 503]


async def test_after_quit_nothing_is_done() -> None:
    """The server ends the connection itself, and what came with QUIT is thrown away."""
    factory = Kept()
    async with talking(factory) as client:
        await client.stream.send_all(b"QUIT\r\n" + BEGIN + b".\r\n")
        assert await client.rest() == b"221 goodbye\r\n"
    assert factory.mails == []


async def test_a_mail_that_is_cut_off_is_not_kept() -> None:
    factory = Kept()
    async with talking(factory) as client:
        await client.ask(BEGIN)
        await client.stream.send_all(b"hello\r\n.")
        await trio.testing.wait_all_tasks_blocked()
    assert factory.mails == []


# Addresses and parameters


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("<>", ""),
        ("<a@b>", "a@b"),
        ("<a.b+c=d@x-y.example.org>", "a.b+c=d@x-y.example.org"),
        ('<"two words"@b>', '"two words"@b'),
        (r'<"\"<@>\\"@b>', r'"\"<@>\\"@b'),
        ("<a@[127.0.0.1]>", "a@[127.0.0.1]"),
        ("<a@[IPv6:::1]>", "a@[IPv6:::1]"),
        ("<@x.org,@y.org:a@b>", "a@b"),
        ("<Postmaster>", "Postmaster"),
        ("<a@b> SIZE=5", "a@b"),
        ("<a@b> BODY=8bitmime size=0", "a@b"),
        ("<a@b> body=7BIT", "a@b"),
        (f"<{'a' * 64}@{'b' * 189}>", f"{'a' * 64}@{'b' * 189}"),
    ],
)
async def test_a_sender_is_taken_as_it_was_said(said: str, address: str) -> None:
    factory = Kept()
    async with talking(factory) as client:
        assert await client.ask(EHLO + b"MAIL FROM:%b\r\n" % said.encode()) == [250, 250]
        assert await client.ask(RCPT + b"DATA\r\n") == [250, 354]
        assert await client.ask(b".\r\n") == [250]
    assert factory.mails[0].sender == address


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("FROM", 501),
        ("TO:<a@b>", 501),
        ("FROM:", 501),
        ("FROM:a@b", 501),
        ("FROM: <a@b>", 501),
        ("FROM :<a@b>", 501),
        ("FROM:<a@b", 501),
        ("FROM:<a@b>>", 501),
        ("FROM:<a>", 501),
        ("FROM:<@b>", 501),
        ("FROM:<a@>", 501),
        ("FROM:<a b@c>", 501),
        ("FROM:<a..b@c>", 501),
        ("FROM:<.a@c>", 501),
        ('FROM:<"a@c>', 501),
        ("FROM:<a@b@c>", 501),
        ("FROM:<a@b>SIZE=5", 501),
        ("FROM:<a@b> SIZE", 501),
        ("FROM:<a@b> SIZE=", 501),
        ("FROM:<a@b> SIZE=-1", 501),
        ("FROM:<a@b> SIZE=five", 501),
        (f"FROM:<a@b> SIZE={'9' * 21}", 501),
        ("FROM:<a@b> BODY=BINARYMIME", 501),
        (f"FROM:<a@{'b' * 253}>", 501),
        ("FROM:<a@b> SMTPUTF8", 555),
        ("FROM:<a@b> AUTH=<>", 555),
        (f"FROM:<a@b> SIZE={MAX_SIZE}", 250),
        (f"FROM:<a@b> SIZE={MAX_SIZE + 1}", 552),
        (f"FROM:<a@b> SIZE={'9' * 20}", 552),
    ],
)
async def test_what_mail_may_say(said: str, code: int) -> None:
    """After a refusal another sender may be named."""
    async with talking() as client:
        assert await client.ask(EHLO + b"MAIL %b\r\n" % said.encode()) == [250, code]
        assert await client.ask(MAIL) == [503 if code == 250 else 250]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("TO:<a@b>", 250),
        ("TO:<postmaster>", 250),
        ("TO:<>", 501),
        ("FROM:<a@b>", 501),
        ("TO:<a@b> NOTIFY=NEVER", 555),
    ],
)
async def test_what_rcpt_may_say(said: str, code: int) -> None:
    """A recipient that was refused is none."""
    async with talking() as client:
        assert await client.ask(EHLO + MAIL + b"RCPT %b\r\n" % said.encode()) == [250, 250, code]
        assert await client.ask(b"DATA\r\n") == [354 if code == 250 else 503]


async def test_a_hundred_recipients_and_no_more() -> None:
    """The others are refused for now; the mail goes to the hundred."""
    factory = Kept()
    async with talking(factory) as client:
        codes = await client.ask(EHLO + MAIL + RCPT * 103)
        assert codes == [250, 250] + [250] * MOST_RECIPIENTS + [452] * 3
        assert await client.ask(b"DATA\r\n") == [354]
        assert await client.ask(b".\r\n") == [250]
    assert len(factory.mails[0].recipients) == 100


# Texts


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"", b""),
        (b"\r\n", b"\r\n"),
        (b"hello\r\n", b"hello\r\n"),
        (b"..\r\n", b".\r\n"),
        (b"...\r\n..a\r\na.b.\r\n", b"..\r\n.a\r\na.b.\r\n"),
        (b".a\r\n", b"a\r\n"),  # who has forgotten to protect it loses the dot
        (b"QUIT\r\nRSET\r\n", b"QUIT\r\nRSET\r\n"),
        (bytes(range(256)).replace(b"\r", b"") + b"\r\n",) * 2,
        # Only a CRLF ends a line, so only CRLF, dot, CRLF ends a mail.
        (b"a\n.\nb\r\n",) * 2,
        (b"a\r.\rb\r\n",) * 2,
        (b"a\n.\r\nb\r\n",) * 2,
        (b"a\r\n.\nb\r\n", b"a\r\n\nb\r\n"),
        (b"a\r\n.\rb\r\n", b"a\r\n\rb\r\n"),
        (b"a\r\n. \r\nb\r\n", b"a\r\n \r\nb\r\n"),
        (b"a\r\r\n.b\r\n", b"a\r\r\nb\r\n"),
    ],
)
async def test_a_text_comes_as_it_was_meant(sent: bytes, text: bytes) -> None:
    factory = Kept()
    async with talking(factory) as client:
        await client.ask(EHLO)
        assert await client.send_mail(sent) == 250
    assert factory.texts == [text]


async def test_mails_follow_each_other_on_one_connection() -> None:
    factory = Kept()
    async with talking(factory) as client:
        await client.ask(EHLO)
        for number in range(200):
            assert await client.send_mail(b"%d\r\n" % number) == 250
    assert factory.texts == [b"%d\r\n" % number for number in range(200)]


GROUP = (
    EHLO + MAIL + RCPT + b"RCPT TO:<>\r\nDATA\r\n",
    b"hello\r\n..\r\n.\r\n",
    MAIL + RCPT + b"DATA\r\n",
    b"again\r\n.\r\n",
    b"bogus\r\nQUIT\r\n",
)
GROUP_CODES = [250, 250, 250, 501, 354, 250, 250, 250, 354, 250, 500, 221]


async def test_a_group_is_answered_in_order_however_it_is_cut() -> None:
    """Whole, byte by byte, and in two at every place; with two mails in it."""
    said = b"".join(GROUP)
    in_two = [(place, len(said)) for place in range(1, len(said))]
    for reads in [(), (1,), *in_two]:
        factory = Kept()
        async with talking(factory, to_server=Faults(reads=reads)) as client:
            await client.stream.send_all(said)
            assert await client.codes(len(GROUP_CODES)) == GROUP_CODES
            assert await client.rest() == b""
        assert factory.texts == [b"hello\r\n.\r\n", b"again\r\n"]


async def test_many_groups_at_once() -> None:
    """From a client that reads none of the answers before it has said all."""
    factory = Kept()
    group = MAIL + RCPT + b"DATA\r\nhello\r\n.\r\n" + b"HELP\r\n" * 50
    async with talking(factory) as client:
        await client.ask(EHLO)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.stream.send_all, group * 300)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(300):
                assert await client.codes(54) == [250, 250, 354, 250] + [214] * 50
    assert len(factory.mails) == 300


# Limits


@pytest.mark.parametrize(
    ("length", "code"), [(COMMAND_LENGTH, 250), (COMMAND_LENGTH + 1, 500), (1000, 500)]
)
async def test_a_command_has_512_bytes_with_its_end(length: int, code: int) -> None:
    """A longer one is refused, and the next is heard."""
    async with talking() as client:
        command = b"NOOP ".ljust(length, b"x") + b"\r\n"
        assert await client.ask(command) == [code]
        assert await client.ask(EHLO) == [250]


async def test_a_command_without_an_end_is_refused_once() -> None:
    """However long it becomes; what follows its end is a command again."""
    async with talking() as client:
        for _ in range(100):
            await client.stream.send_all(b"MAIL " * 2000)
        assert await client.ask(b"\r\n") == [500]
        assert await client.ask(b"NOOP\r\n") == [250]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"x" * LINE_LENGTH, 250),
        (b".." + b"x" * (LINE_LENGTH - 1), 250),
        (b"x" * (LINE_LENGTH + 1), 554),
        (b".." + b"x" * LINE_LENGTH, 554),
        (b"x" * 100_000, 554),
    ],
    ids=["longest", "longest with a dot", "too long", "too long with a dot", "far too long"],
)
async def test_a_line_of_a_text_has_1000_bytes_with_its_end(line: bytes, code: int) -> None:
    """A mail with a longer one is refused at its end; the next is none the worse."""
    factory = Kept()
    async with talking(factory) as client:
        await client.ask(EHLO)
        text = b"before\r\n" + line + b"\r\nafter\r\n"
        assert await client.send_mail(text) == code
        assert await client.send_mail(b"good\r\n") == 250
    assert factory.texts[-1] == b"good\r\n"
    assert factory.texts[:-1] == ([text.replace(b"\r\n..", b"\r\n.")] if code == 250 else [])


@pytest.mark.parametrize("said", [b"", b" SIZE=1"])
async def test_a_text_may_have_max_size_bytes(said: bytes) -> None:
    """Counted as they are kept, whatever was announced; one more is refused at its end."""
    factory = Kept(max_size=1000)
    fits = b"..23456\r\n" + b"x" * 90 + b"\r\n"
    fits += (b"y" * 98 + b"\r\n") * 9
    async with talking(factory) as client:
        await client.ask(EHLO)
        for text, code in [(fits, 250), (b"!" + fits, 552), (fits + b"\r\n", 552)]:
            command = MAIL.replace(b"\r\n", said + b"\r\n")
            assert await client.ask(command + RCPT + b"DATA\r\n") == [250, 250, 354]
            await client.stream.send_all(text + b".\r\n")
            assert await client.codes(1) == [code]
        assert await client.send_mail(b"good\r\n") == 250
    assert [len(text) for text in factory.texts] == [1000, 6]


async def test_of_several_things_that_are_wrong_the_first_is_told() -> None:
    long, large = b"x" * (LINE_LENGTH + 1) + b"\r\n", (b"x" * 100 + b"\r\n") * 20
    async with talking(Kept(max_size=1000)) as client:
        await client.ask(EHLO)
        assert await client.send_mail(long + large) == 554
        assert await client.send_mail(large + long) == 552


@pytest.mark.parametrize("line", [b"x" * 76 + b"\r\n", b"\r\n", b"x" * 10_000], ids=range(3))
async def test_a_text_without_an_end_takes_no_memory(line: bytes) -> None:
    """Two megabytes in lines of any kind, at a limit of ten thousand bytes."""
    factory = Kept(max_size=10_000)
    chunk = line * (50_000 // len(line))
    async with talking(factory) as client:
        await client.ask(BEGIN)
        tracemalloc.start()
        try:
            for _ in range(40):
                await client.stream.send_all(chunk)
                await trio.testing.wait_all_tasks_blocked()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        (session,) = factory.sessions
        assert session.mail is not None
        assert len(session.mail.text) == 0
        await client.stream.send_all(b"\r\n.\r\n")
        code = 554 if len(line) == 10_000 else 552
        assert await client.codes(1) == [code]
    assert peak < MIB


# What is said of them


async def test_each_mail_is_told_of_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with talking(SinkFactory()) as client:
        await client.ask(EHLO)
        assert await client.send_mail(b"hello\r\n") == 250
        assert await client.ask(b"MAIL FROM:<>\r\n" + RCPT + b'RCPT TO:<"a b"@c>\r\n') == [250] * 3
        assert await client.ask(b"DATA\r\n") == [354]
        assert await client.ask(b".\r\n") == [250]
    assert capsys.readouterr().out.splitlines() == [
        "from=<me@example.org> to=<you@example.org> bytes=7 tls=none",
        'from=<> to=<you@example.org>,<"a b"@c> bytes=0 tls=none',
    ]
