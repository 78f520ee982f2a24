"""Watching certificates' files, and loading them anew.

Files are looked at again and again, through whatever links lead to them: that
works on every file system and for every way of renewing them, whether a file is
overwritten, replaced, or a link above it is turned to another folder, as
certbot and Kubernetes do. Nothing is loaded until two looks have seen the same:
by then the one who renews has got to the end, most often.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from trioproto.endpoints.certificates import Certificates
    from trioproto.endpoints.pem import FilePath

logger = logging.getLogger("trioproto")

Signature: TypeAlias = tuple[tuple[str, tuple[int | None, ...]], ...]
"""What tells one state of files from another: paths, and what ``stat`` says of each."""


def signature_of(paths: Iterable[FilePath]) -> Signature:
    """Look at files, through links; one that is not there has a signature too."""
    return tuple((os.fspath(path), _stat(path)) for path in paths)


def _stat(path: FilePath) -> tuple[int | None, ...]:
    try:
        found = os.stat(path)
    except OSError as exc:
        return (exc.errno,)
    except ValueError:
        return ()  # no file can have such a name
    return found.st_mtime_ns, found.st_ino, found.st_dev, found.st_size


class Watch:
    """Looks at the files of certificates, which have been loaded once."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._seen = certificates.signature
        self._told: tuple[Signature, str] | None = None

    def look(self) -> None:
        """Load the certificates anew if their files have changed and settled.

        What is wrong with them is logged, once for each state of the files; the
        certificates loaded before stay. Each look tries again, since it need
        not be the files' fault.
        """
        certificates = self._certificates
        now = signature_of(certificates.paths())
        settled, self._seen = now == self._seen, now
        if not settled or now == certificates.signature:
            return
        try:
            certificates.load()
        except (OSError, ValueError) as exc:
            self._tell(now, str(exc))
        else:
            self._told = None
            logger.info("endpoint %r: new certificates for new connections", certificates.text)

    def failed(self, exc: Exception) -> None:
        """Log that it was not possible to look; the next look may be."""
        problem = f"endpoint {self._certificates.text!r}: cannot look for new certificates: {exc}"
        self._tell(self._seen, problem)

    def _tell(self, now: Signature, problem: str) -> None:
        if self._told != (now, problem):
            self._told = (now, problem)
            logger.warning("%s. The certificates loaded before stay in use", problem)
