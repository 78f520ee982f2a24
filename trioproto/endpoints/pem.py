"""Files of certificates and keys, read with errors that say what to do."""

from __future__ import annotations

import os
import re
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from trioproto.sansio.errors import EndpointError

FilePath: TypeAlias = str | os.PathLike[str]

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----")
_IN_FOLDER = (".pem", ".crt", ".cer")
"""How the files end that are taken from a folder: no backups of certificates trusted no more."""
_FIXES = {
    "privateKey": "give a PEM file with the private key, not encrypted",
    "certKey": "give a PEM file with the certificate, and after it the chain",
    "certificate": "give a PEM file with the certificate, and after it the chain",
    "extraCertChain": "give a PEM file with the intermediate certificates",
}
_FIX_OF_AUTHORITIES = "give a PEM file with certificates of authorities, or a folder of them"


@dataclass(frozen=True, slots=True)
class PEMFile:
    """A file that an endpoint names.

    Attributes:
        path: where it is.
        field: the endpoint's keyword that names it.
        text: the endpoint.
    """

    path: FilePath
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field} {os.fspath(self.path)!r}"

    def error(self, problem: str, fix: str | None = None) -> EndpointError:
        """Say what is wrong with it and what to do, to be raised."""
        return EndpointError(self.text, f"{self} {problem}; {fix or self._fix}")

    def unreadable(self, exc: OSError) -> OSError:
        """Say of *exc* which file it befell, to be raised."""
        return OSError(exc.errno, f"{self}: {exc.strerror}; {self._fix}")

    def read(self) -> bytes:
        """Return what it holds.

        Raises:
            OSError: it cannot be read.
            EndpointError: it is no regular file: reading it twice, or at once, is
                not possible then.
        """
        if "\0" in os.fspath(self.path):
            raise self.error("cannot be the name of a file")
        try:
            regular = stat.S_ISREG(os.stat(self.path).st_mode)
            data = Path(self.path).read_bytes() if regular else b""
        except OSError as exc:
            raise self.unreadable(exc) from exc
        if not regular:
            raise self.error("is no regular file")
        return data

    def certificates(self) -> str:
        """Return its certificates, in PEM form, and nothing else of it.

        Raises:
            OSError: it cannot be read.
            EndpointError: it has none, or a damaged one.
        """
        found = self.any_certificates()
        if not found:
            raise self.error("has no certificate in PEM form")
        return found

    def any_certificates(self) -> str:
        """Return its certificates as :meth:`certificates` does, perhaps none."""
        found = _CERTIFICATE.findall(self.read())
        if not found:
            return ""
        try:
            pem = b"\n".join([*found, b""]).decode("ascii")
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
        except (ssl.SSLError, ValueError) as exc:
            raise self.error("has a damaged certificate") from exc
        return pem

    def check_key(self) -> None:
        """See that it has a private key.

        Raises:
            OSError: it cannot be read.
            EndpointError: it has none.
        """
        if not _KEY.search(self.read()):
            raise self.error("has no private key in PEM form")

    @property
    def _fix(self) -> str:
        return _FIXES.get(self.field, _FIX_OF_AUTHORITIES)


def authorities(path: FilePath, field: str, text: str) -> str:
    """Return the certificates of a file, or of all files of a folder, in PEM form.

    Raises:
        OSError: something cannot be read.
        EndpointError: there is no certificate, or a damaged one.
    """
    whole = PEMFile(path, field, text)
    if not os.path.isdir(path):
        return whole.certificates()
    try:
        files = files_of(path)
    except OSError as exc:
        raise whole.unreadable(exc) from exc
    found = "".join(PEMFile(each, field, text).any_certificates() for each in files)
    if not found:
        raise whole.error(f"has no file ({', '.join(_IN_FOLDER)}) with a certificate in PEM form")
    return found


def files_of(path: FilePath) -> list[str]:
    """Return the files of a folder that may hold certificates.

    Raises:
        OSError: it is no folder, or cannot be read.
    """
    names = (each.path for each in os.scandir(path) if each.is_file())
    return sorted(each for each in names if each.lower().endswith(_IN_FOLDER))
