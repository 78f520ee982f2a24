"""Sockets that another process has made: socket activation, and bare descriptors."""

from __future__ import annotations

import os
import socket
import stat

import trio

from trioproto.endpoints.endpoint import Bound, ServerEndpoint
from trioproto.endpoints.systemd import Activation
from trioproto.endpoints.words import Words, quote
from trioproto.sansio.addresses import Address, TCPAddress, UnixAddress, address_from_sockaddr
from trioproto.sansio.errors import EndpointError, ListenError

_DOMAINS = {"INET": socket.AF_INET, "INET6": socket.AF_INET6, "UNIX": socket.AF_UNIX}
_KINDS = [
    (stat.S_ISREG, "a file"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
]


class FDServerEndpoint(ServerEndpoint):
    """A socket that this process was started with.

    The server works on a duplicate, and leaves the descriptor open: it can be
    served again, and who connects meanwhile waits in the socket's queue. It is
    made close-on-exec and non-blocking. If it does not listen yet it is told to.

    Args:
        fd: the descriptor.
        text: the endpoint as the user wrote it, for messages.

    Raises:
        ValueError: the descriptor is negative.
    """

    def __init__(self, fd: int, *, text: str | None = None) -> None:
        if fd < 0:
            raise ValueError(f"a descriptor is 0 or more, not {fd}")
        self.fd = fd
        self.text = text or f"fd:{fd}"

    async def bind(self) -> list[Bound]:
        """Take over the socket.

        Raises:
            EndpointError: it is no bound stream socket.
            ListenError: there is no such descriptor, or it is no socket.
        """
        await trio.lowlevel.checkpoint()
        return [_take_over(self.fd, self.text)]


class SystemdServerEndpoint(ServerEndpoint):
    """Sockets that systemd, or who speaks its protocol, has started this process with.

    They are taken over as with :class:`FDServerEndpoint`.

    Args:
        index: which of the sockets, in the order of the .socket unit; from 0.
        name: its name instead, ``FileDescriptorName=`` there; of several with
            one name all are taken.
        domain: the family that is expected, ``INET``, ``INET6`` or ``UNIX``; by
            default any is taken.
        text: the endpoint as the user wrote it, for messages.

    Raises:
        ValueError: there is not exactly one of *index* and *name*, the index is
            negative, or there is no such *domain*.

    Origin: sd_listen_fds(3); Twisted's endpoints documentation, "Servers".
    """

    def __init__(
        self,
        *,
        index: int | None = None,
        name: str | None = None,
        domain: str | None = None,
        text: str | None = None,
    ) -> None:
        if (index is None) == (name is None):
            raise ValueError("give one of index and name, to say which of the sockets")
        if index is not None and index < 0:
            raise ValueError(f"index is 0 or more, not {index}")
        if domain is not None and domain not in _DOMAINS:
            raise ValueError(f"domain must be one of {', '.join(_DOMAINS)}, not {domain!r}")
        self.index = index
        self.name = name
        self.domain = domain
        which = f"index={index}" if name is None else f"name={quote(name)}"
        self.text = text or (f"systemd:domain={domain}:{which}" if domain else f"systemd:{which}")

    async def bind(self) -> list[Bound]:
        """Take over the sockets.

        Raises:
            EndpointError: the process was not started with them, or with others
                than stream sockets of the family.
            ListenError: one is closed, or is no socket.
        """
        await trio.lowlevel.checkpoint()
        bound: list[Bound] = []
        try:
            for fd in self._descriptors():
                bound.append(_take_over(fd, self.text))
                self._check_domain(fd, bound[-1])
        except BaseException:
            for each in bound:
                each.close()
            raise
        return bound

    def _descriptors(self) -> list[int]:
        try:
            activation = Activation.of_this_process()
            if self.name is not None:
                return activation.named(self.name)
            assert self.index is not None
            return [activation.numbered(self.index)]
        except LookupError as exc:
            raise EndpointError(self.text, exc.args[0]) from exc

    def _check_domain(self, fd: int, bound: Bound) -> None:
        assert isinstance(bound.source, socket.socket)
        found = bound.source.family
        if self.domain is None or found == _DOMAINS[self.domain]:
            return
        name = _name(found).removeprefix("AF_")
        problem = f"descriptor {fd}, {bound.address}, is of the domain {name}, not {self.domain}"
        raise EndpointError(
            self.text, f"{problem}: write domain={name}, or change the .socket unit"
        )


def parse_fd(words: Words) -> FDServerEndpoint:
    """Make an endpoint of ``fd:N``.

    Raises:
        EndpointError: something is missing, unknown or wrong.
    """
    words.name_positional("fd")
    fd = words.take_number("fd", 0, 2**31 - 1)
    if fd is None:
        raise words.error("the descriptor is missing: write fd:3, say")
    words.check_all_taken("fd")
    return FDServerEndpoint(fd, text=words.text)


def parse_systemd(words: Words) -> SystemdServerEndpoint:
    """Make an endpoint of ``systemd:domain=INET:index=0`` or ``systemd:name=NAME``.

    Raises:
        EndpointError: something is missing, unknown or wrong.
    """
    words.name_positional("domain", "index")
    domain = words.take_text("domain")
    index = words.take_number("index", 0, 2**31 - 1)
    name = words.take_text("name")
    words.check_all_taken("domain", "index", "name")
    try:
        return SystemdServerEndpoint(index=index, name=name, domain=domain, text=words.text)
    except ValueError as exc:
        raise words.error(str(exc)) from exc


def _take_over(fd: int, text: str) -> Bound:
    """Make our own of an inherited socket, and leave the descriptor open."""
    sock = _duplicate(fd, text)
    try:
        address = _checked_address(sock, fd, text)
        listens = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    if fd > 2:
        # The standard three have to be something in each child.
        os.set_inheritable(fd, False)
    return Bound(sock, address, text, listens=listens)


def _duplicate(fd: int, text: str) -> socket.socket:
    try:
        own = os.dup(fd)
    except OSError as exc:
        problem = f"there is no descriptor {fd}: start the program with the socket open as that"
        raise ListenError(text, exc.errno, problem) from exc
    try:
        return socket.socket(fileno=own)
    except OSError as exc:
        problem = f"descriptor {fd} is {_kind(own)}, and has to be a socket that listens"
        os.close(own)
        raise ListenError(text, exc.errno, problem) from exc


def _checked_address(sock: socket.socket, fd: int, text: str) -> Address:
    """See that connections could come in, and say where."""
    if sock.type != socket.SOCK_STREAM:
        kind = _name(sock.type).removeprefix("SOCK_").lower()
        problem = f"descriptor {fd} is a {kind} socket, and has to be a stream socket"
        raise EndpointError(text, f"{problem}: in a .socket unit that is ListenStream=")
    if _is_connected(sock):
        problem = f"descriptor {fd} is one connection, and has to be a socket that listens"
        raise EndpointError(text, f"{problem}: in a .socket unit that is Accept=no")
    address = address_from_sockaddr(sock.getsockname())
    if address == UnixAddress("") or (isinstance(address, TCPAddress) and address.port == 0):
        raise EndpointError(text, f"descriptor {fd} is a socket without an address: bind it first")
    return address


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _kind(fd: int) -> str:
    mode = os.fstat(fd).st_mode
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "something else")


def _name(value: int) -> str:
    """Name a constant of the socket module, which is a number where it knows no name."""
    return str(getattr(value, "name", value))
