"""A lock on a path, which ends with the process that holds it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress

_TRIES = 100
"""Files locked that were another's to remove, until it counts as taken."""


class LockFile:
    """Holds a lock on a path by an empty file, until released.

    The kernel lets go of the lock when the process ends, in whichever way; a file
    that was left over is locked again by the next who comes.

    Args:
        path: where the file is made; its directory must be there.

    Raises:
        BlockingIOError: somebody else holds it.
        FileExistsError: what is there is not empty, or no plain file: it is
            somebody's, and left alone.
        OSError: the file cannot be made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = self._acquire()

    def release(self) -> None:
        """Remove the file, and let go."""
        with suppress(OSError):
            if self._is_in_place(self._fd):
                os.unlink(self.path)
        os.close(self._fd)

    def _acquire(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        for _ in range(_TRIES):
            fd = os.open(self.path, flags, 0o600)
            try:
                self._check_ours(fd)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_in_place(fd):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            # Whoever held it before has removed it meanwhile: that lock guards nothing.
            os.close(fd)
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), self.path)

    def _check_ours(self, fd: int) -> None:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.path)
        if found.st_mode & 0o600 != 0o600:
            # The umask: not even we could open it another time.
            os.fchmod(fd, 0o600)

    def _is_in_place(self, fd: int) -> bool:
        """Whether the file that we have open is the one at the path."""
        try:
            return os.path.samestat(os.fstat(fd), os.lstat(self.path))
        except FileNotFoundError:
            return False
