"""What SMTP's commands say, and the mail that comes of them; RFC 5321 unless said otherwise."""

import os
import re
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

# Bytes without the CRLF (section 4.5.3.1).
COMMAND_LENGTH = 510
LINE_LENGTH = 998
MOST_RECIPIENTS = 100

ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
LOCAL_PART = rf'(?:{ATOM}(?:\.{ATOM})*|"(?:[^"\\]|\\.)*")'
DOMAIN = r"(?:[A-Za-z0-9._-]+|\[[^\s<>\[\]]+\])"
ROUTE = r"(?:@[^:>]*:)?"  # how it should travel, which has long been ignored
PATH = rf"<{ROUTE}(?P<address>|postmaster|{LOCAL_PART}@{DOMAIN})>"
PARAMETERS = r"(?P<parameters>(?: [A-Za-z0-9][A-Za-z0-9-]*(?:=[^\s=]+)?)*)"
CLIENT = re.compile(r"[!-~]+")


class Refused(Exception):
    """A command cannot be done; the argument is the reply."""


def client_name(argument: str) -> str:
    if not CLIENT.fullmatch(argument):
        raise Refused("501 say your name")
    return argument


def nothing(argument: str) -> None:
    if argument:
        raise Refused("501 this command has no argument")


def path(keyword: str, argument: str) -> tuple[str, dict[str, str]]:
    """Take `FROM:<me@example.org> SIZE=5` apart: the address, and what was said beside it."""
    found = re.fullmatch(f"{keyword}:{PATH}{PARAMETERS}", argument, re.IGNORECASE)
    if found is None:
        raise Refused(f"501 it must be {keyword}:<address>")
    if len(found["address"]) > 254:
        raise Refused("501 the address is too long")
    words = (word.partition("=") for word in found["parameters"].split())
    return found["address"], {name.upper(): value for name, _, value in words}


def sender(argument: str, limit: int) -> str:
    """Read what follows `MAIL`: `<>` is the sender of mails that nobody shall answer."""
    address, parameters = path("FROM", argument)
    size = parameters.pop("SIZE", "0")  # RFC 1870
    body = parameters.pop("BODY", "7BIT")  # RFC 6152
    if parameters:
        raise Refused(f"555 {', '.join(parameters)} is not known here")
    if not re.fullmatch("[0-9]{1,20}", size) or body.upper() not in ("7BIT", "8BITMIME"):
        raise Refused("501 SIZE is a number, BODY is 7BIT or 8BITMIME")
    if int(size) > limit:
        raise Refused(too_large(limit))
    return address


def recipient(argument: str) -> str:
    address, parameters = path("TO", argument)
    if not address:
        raise Refused("501 nobody has an empty address")
    if parameters:
        raise Refused(f"555 {', '.join(parameters)} is not known here")
    return address


def too_large(limit: int) -> str:
    return f"552 a mail has at most {limit} bytes here"


@dataclass
class Mail:
    """One mail, from `MAIL` on; once it is refused nothing of its text is kept."""

    sender: str
    limit: int
    recipients: list[str] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    refusal: str | None = None

    def add_recipient(self, address: str) -> None:
        if len(self.recipients) == MOST_RECIPIENTS:
            raise Refused(f"452 at most {MOST_RECIPIENTS} recipients at once")
        self.recipients.append(address)

    def add_line(self, line: bytes) -> None:
        """Take a line as it came, with the dot that protects a dot (section 4.5.2)."""
        line = line.removeprefix(b".")
        if len(line) > LINE_LENGTH:
            self.refuse_long_line()
        elif len(self.text) + len(line) + 2 > self.limit:
            self.refuse(too_large(self.limit))
        elif self.refusal is None:
            self.text += line + b"\r\n"

    def refuse_long_line(self) -> None:
        self.refuse(f"554 a line has at most {LINE_LENGTH} bytes")

    def refuse(self, reply: str) -> None:
        """Remember the first thing that is wrong, to be said when the whole mail has come."""
        self.refusal = self.refusal or reply
        self.text.clear()

    def summary(self, tls: str | None) -> str:
        to = ",".join(f"<{address}>" for address in self.recipients)
        return f"from=<{self.sender}> to={to} bytes={len(self.text)} tls={tls or 'none'}"

    def header(self, client: str, host: str, protocol: str, tls: str | None) -> bytes:
        """Return what the last server on a mail's way puts before it (section 4.4)."""
        if tls:
            protocol = f"{protocol}S ({tls})"
        lines = [
            f"Return-Path: <{self.sender}>",
            *(f"Delivered-To: {address}" for address in self.recipients),
            f"Received: from {client} by {host} with {protocol}; {formatdate()}",
        ]
        return "".join(line + "\r\n" for line in lines).encode()


def next_number(folder: Path) -> int:
    """Return the first number that no mail in *folder* has, nor any later one."""
    numbers = (int(file.stem) for file in folder.glob("*.eml") if file.stem.isdecimal())
    return max(numbers, default=0) + 1


def write(file: Path, header: bytes, text: bytes | bytearray) -> None:
    """Write a file that is there with its whole content, or not at all."""
    unfinished = file.with_suffix(".part")
    try:
        with open(unfinished, "wb") as stream:
            stream.write(header)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.rename(file)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
