"""Unix sockets: files, and abstract names.

The file of a socket outlives its server, and cannot tell whether it is stale: a
server that is bound and does not listen yet refuses connections like a dead one.
So each server of ours holds a lock beside the socket for as long as it has the
path. Who has the lock may look at what is there; a server of another make holds
none, but answers.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import sys
from contextlib import ExitStack, suppress

import trio

from trioproto.endpoints.endpoint import MAX_BACKLOG, Bound, ServerEndpoint, listen_error
from trioproto.endpoints.lock_file import LockFile
from trioproto.endpoints.words import Words, quote
from trioproto.sansio.addresses import UnixAddress
from trioproto.sansio.errors import EndpointError, ListenError

_LONGEST = 107 if sys.platform == "linux" else 103
"""Bytes that a path may have, or an abstract name."""
_FIXES = {
    errno.ENOENT: "make its directory first",
    errno.EACCES: "its directory must be ours to write in",
    errno.ELOOP: "a link is in the way; remove it, or choose another path",
    errno.EEXIST: "it is somebody else's file; remove it, or choose another path",
}


class UnixServerEndpoint(ServerEndpoint):
    """A Unix socket.

    What a server has left over that did not end well is replaced; a socket on
    which somebody listens, and a file that is none, never are. The lock is on
    ``PATH.lock``, an empty file. Both files are removed when accepting ends.

    Args:
        path: where to listen. ``@name`` is an abstract name (Linux), which is no
            file: anybody on the machine, or in its network namespace, may
            connect. (A file of such a name is ``./@name``.)
        mode: the permissions of the file, whatever the umask; write permission
            is what it takes to connect.
        backlog: connections that the kernel keeps; by default the factory's.
        text: the endpoint as the user wrote it, for messages.

    Raises:
        EndpointError: the path is empty, too long or has a zero in it; the mode is
            out of range, or this system has no abstract names.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        mode: int = 0o600,
        backlog: int | None = None,
        text: str | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.mode = mode
        self.backlog = backlog
        self.text = text or f"unix:{quote(self.path)}"
        self._check()

    @property
    def abstract(self) -> bool:
        """Whether it has a name only, and no file."""
        return self.path.startswith("@")

    async def bind(self) -> list[Bound]:
        """Take the path, and bind a socket to it.

        Raises:
            ListenError: somebody listens there (``EADDRINUSE``), something that is
                no socket is in the way (``EEXIST``), or the files cannot be
                made; what was there is as it was.
        """
        await trio.lowlevel.checkpoint()
        try:
            return [self._bind_name() if self.abstract else self._bind_file()]
        except ListenError:
            raise
        except OSError as exc:
            raise self._explained(exc) from exc

    def _check(self) -> None:
        name = self.path[1:] if self.abstract else self.path
        size = len(os.fsencode(name))
        if not name:
            raise EndpointError(self.text, "the path is empty: write unix:/run/echo.sock, say")
        if "\0" in name:
            raise EndpointError(self.text, "the path has a zero byte in it: take it away")
        if size > _LONGEST:
            problem = f"the path has {size} bytes, a Unix socket's at most {_LONGEST}"
            fix = "use a shorter one, or one relative to the working directory"
            raise EndpointError(self.text, f"{problem}: {fix}")
        if not 0 <= self.mode <= 0o777:
            raise EndpointError(self.text, f"mode must be from 0 to 777, not {self.mode:o}")
        if self.abstract and sys.platform != "linux":
            raise EndpointError(self.text, "abstract names are Linux's: give a path")

    def _bind_name(self) -> Bound:
        with ExitStack() as undo:
            sock = undo.enter_context(_new_socket())
            sock.bind(b"\0" + os.fsencode(self.path[1:]))
            undo.pop_all()
        return Bound(sock, UnixAddress(self.path), self.text, self.backlog)

    def _bind_file(self) -> Bound:
        # Not relative: the working directory may be another one when they are removed.
        path = os.path.join(os.getcwd(), self.path)
        with ExitStack() as undo:
            undo.callback(self._lock(path).release)
            self._make_room(path)
            sock = undo.enter_context(_new_socket())
            self._bind_at(path, sock, undo)
            release = undo.pop_all().close
        return Bound(sock, UnixAddress(self.path), self.text, self.backlog, release=release)

    def _lock(self, path: str) -> LockFile:
        try:
            return LockFile(f"{path}.lock")
        except BlockingIOError as exc:
            raise self._in_use() from exc

    def _make_room(self, path: str) -> None:
        """Remove a socket that nobody listens on; complain of what else is there."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            problem = f"{path!r} is there, and is no socket: remove it, or choose another path"
            raise ListenError(self.text, errno.EEXIST, problem)
        if self._is_answered():
            raise self._in_use()
        _remove(path, found)

    def _is_answered(self) -> bool:
        """Whether somebody has the socket that is there."""
        with _new_socket() as probe:
            try:
                probe.connect(self.path)
            except (ConnectionRefusedError, FileNotFoundError):
                return False
            except OSError as exc:
                # Its queue is full, or it is of another type.
                if exc.errno not in (errno.EAGAIN, errno.EPROTOTYPE):
                    raise
        return True

    def _bind_at(self, path: str, sock: socket.socket, undo: ExitStack) -> None:
        """Bind, and give the file its mode; nobody can connect before we listen."""
        with suppress(OSError):
            # Linux makes the file with the mode of the socket, less the umask.
            os.fchmod(sock.fileno(), self.mode)
        sock.bind(self.path)
        found = os.lstat(path)
        undo.callback(_remove, path, found)
        if stat.S_IMODE(found.st_mode) != self.mode:
            os.chmod(path, self.mode)

    def _in_use(self) -> ListenError:
        problem = f"{os.strerror(errno.EADDRINUSE)}: another server has it; stop that one first"
        return ListenError(self.text, errno.EADDRINUSE, problem)

    def _explained(self, exc: OSError) -> ListenError:
        problem = listen_error(self.text, exc).strerror or ""
        if exc.filename is not None:
            problem += f": {exc.filename!r}"
        if exc.errno in _FIXES:
            problem += f": {_FIXES[exc.errno]}"
        return ListenError(self.text, exc.errno, problem)


def parse(words: Words) -> UnixServerEndpoint:
    """Make an endpoint of ``unix:PATH[:mode=600][:backlog=]`` or ``unix:@NAME``.

    Raises:
        EndpointError: something is missing, unknown or wrong.

    Origin: Twisted's endpoints documentation, "Servers"; its mode is 666.
    """
    words.name_positional("path", "mode", "backlog")
    path = words.take_text("path")
    if path is None:
        raise words.error("the path is missing: write unix:/run/echo.sock, say")
    mode = words.take_text("mode")
    if mode is not None and path.startswith("@"):
        raise words.error("mode is for files, and an abstract name is none: take it away")
    if mode is not None and not re.fullmatch("0*[0-7]{1,3}", mode):
        raise words.error(f"mode must be octal digits from 0 to 777, not {mode!r}")
    backlog = words.take_number("backlog", 1, MAX_BACKLOG)
    words.check_all_taken("path", "mode", "backlog")
    return UnixServerEndpoint(path, mode=int(mode or "600", 8), backlog=backlog, text=words.text)


def _new_socket() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def _remove(path: str, found: os.stat_result) -> None:
    """Remove what was found there, unless it is gone or another; or is not ours to remove."""
    with suppress(OSError):
        if os.path.samestat(os.lstat(path), found):
            os.unlink(path)
