"""A certificate with its key, brought into a context; rules that all contexts share."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import NamedTemporaryFile
from typing import NoReturn

from trioproto.endpoints.pem import FilePath, PEMFile
from trioproto.sansio.errors import EndpointError

_MISMATCH = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}
_WEAK = ("_TOO_SMALL", "_TOO_WEAK")


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate and its key, as PEM files.

    Attributes:
        certificate: the certificate, and after it, if they are not elsewhere,
            those that lead from it to the authority.
        private_key: its key, not encrypted; may be the same file.
        extra_chain: further certificates of the chain.
    """

    certificate: FilePath
    private_key: FilePath
    extra_chain: FilePath | None = None

    @property
    def paths(self) -> list[FilePath]:
        """All of its files."""
        paths = [self.certificate, self.private_key]
        return paths if self.extra_chain is None else [*paths, self.extra_chain]


def load_pair(
    context: ssl.SSLContext, files: CertificateFiles, text: str, field: str = "certKey"
) -> str:
    """Give *context* a certificate with its key; return the chain, in PEM form.

    Args:
        context: a server's or a client's.
        files: where they are.
        text: the endpoint as the user wrote it, for messages.
        field: its keyword that names the certificate.

    Raises:
        OSError: a file cannot be read.
        EndpointError: a file is not what it should be, or the key is another's.
            The context is of no use then.
    """
    certificate = PEMFile(files.certificate, field, text)
    key = PEMFile(files.private_key, "privateKey", text)
    key.check_key()  # first, since its name is the one that a user always gives
    chain = certificate.certificates()
    if files.extra_chain is None:
        _load(context, certificate.path, certificate, key)
        return chain
    extra = PEMFile(files.extra_chain, "extraCertChain", text)
    chain += extra.certificates()
    with on_disk(chain, extra) as path:
        _load(context, path, certificate, key)
    return chain


def set_rules(
    context: ssl.SSLContext, alpn: Sequence[str], minimum_version: ssl.TLSVersion, text: str
) -> None:
    """Set what may be negotiated.

    Raises:
        EndpointError: a protocol's name cannot be one; the version is not 1.2 or 1.3.
        TypeError: *alpn* is one string.
    """
    if isinstance(alpn, str):
        raise TypeError(f"alpn is a sequence of names, not one string: {alpn!r}")
    if minimum_version not in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        problem = f"minVersion must be 1.2 or 1.3, not {minimum_version!r}"
        raise EndpointError(text, problem)
    context.minimum_version = minimum_version
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    for name in alpn:
        if not (name.isascii() and 1 <= len(name) <= 255):
            problem = f"alpn must name protocols with 1 to 255 ASCII characters each, not {name!r}"
            raise EndpointError(text, problem)
    if alpn:
        context.set_alpn_protocols(list(alpn))


class _EncryptedError(Exception):
    """OpenSSL asked for a password."""


def _load(context: ssl.SSLContext, chain: FilePath, certificate: PEMFile, key: PEMFile) -> None:
    """Load the chain from a file of its own, and the key from its file."""
    try:
        context.load_cert_chain(chain, key.path, password=_refuse_password)
    except _EncryptedError:
        fix = "decrypt it with: openssl pkey -in IN -out OUT"
        raise key.error("is encrypted, and nobody is there to ask for the password", fix) from None
    except ssl.SSLError as exc:
        raise _explained(exc, certificate, key) from exc
    except OSError as exc:
        # One has gone since it was read; OpenSSL does not say which.
        raise OSError(exc.errno, f"{certificate}, {key}: {exc.strerror}; try again") from exc


def _refuse_password() -> NoReturn:
    # Without this OpenSSL would ask on the terminal.
    raise _EncryptedError


def _explained(exc: ssl.SSLError, certificate: PEMFile, key: PEMFile) -> EndpointError:
    """Say which file OpenSSL does not like; the certificate has been read before."""
    reason = exc.reason or ""
    if reason in _MISMATCH:
        problem = f"does not match the first certificate of {certificate}"
        return key.error(problem, "give the key and the certificate that were made together")
    if reason.endswith(_WEAK):
        problem = f"is too weak for OpenSSL: {reason.lower().replace('_', ' ')}"
        return certificate.error(problem, "make a certificate with a longer key and SHA-256")
    return key.error("has a damaged private key, or one of an unknown kind")


@contextmanager
def on_disk(chain: str, extra: PEMFile) -> Iterator[str]:
    """Keep a chain in a file while the block runs, since OpenSSL reads only files.

    Raises:
        OSError: there is no room for it.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(NamedTemporaryFile("w", encoding="ascii", suffix=".pem"))
            file.write(chain)
            file.flush()
        except OSError as exc:
            problem = (
                f"{extra}: a temporary file is needed to join it to the certificate: {exc.strerror}"
            )
            raise OSError(exc.errno, f"{problem}; append it to that file yourself") from exc
        yield file.name
