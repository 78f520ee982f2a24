"""A bad file is named, with its field, what is wrong and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import PrivateFormat

from tests.tls.handshakes import (
    encrypted,
    loaded,
    problem_of,
    without_servers_usage,
    write,
)
from trioproto.endpoints.certificates import CertificateFiles
from trioproto.errors import EndpointError, ListenError

Spoil = Callable[[Path], object]


def gone(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def unreadable(path: Path) -> None:
    # For root too: its first page is not mapped.
    path.unlink()
    path.symlink_to("/proc/self/mem")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def garbage(path: Path) -> None:
    path.write_bytes(b"\x30\x82\x00garbage\xff" * 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def damaged(path: Path) -> None:
    """Keep the first and the last line, and break what is between."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"MIIBabcd\n" + lines[-1])


UNREADABLE = [
    (gone, errno.ENOENT, "No such file"),
    (unreadable, errno.EIO, "Input/output error"),
]
USELESS = [
    (folder, "no regular file"),
    (pipe, "no regular file"),
    (garbage, "in PEM form"),
    (empty, "in PEM form"),
    (damaged, "damaged"),
]
FIELDS = {
    "privateKey": "with the private key, not encrypted",
    "certKey": "with the certificate, and after it the chain",
    "extraCertChain": "with the intermediate certificates",
    "clientCA": "with certificates of authorities, or a folder of them",
}


class TestABadFile:
    """Is named, with its field, what is wrong and what to do."""

    @pytest.fixture(params=FIELDS)
    def field(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def load(self, field: str, files: CertificateFiles, tmp_path: Path) -> Callable[..., str]:
        """Spoil one of four files, and load them."""
        chain, clients = tmp_path / "chain.pem", tmp_path / "clients.pem"
        for path in (chain, clients):
            path.write_bytes(Path(files.certificate).read_bytes())
        four = CertificateFiles(files.certificate, files.private_key, chain)
        paths = dict(zip(FIELDS, (four.private_key, four.certificate, chain, clients), strict=True))

        def load(kind: type[Exception], spoil: Spoil) -> str:
            spoil(Path(paths[field]))
            said = problem_of(kind, four, client_ca=clients)
            assert f"{field} {str(paths[field])!r}" in said
            return said

        return load

    @pytest.mark.parametrize(("spoil", "number", "problem"), UNREADABLE)
    def test_that_cannot_be_read_is_a_listen_error(
        self, field: str, load: Callable[..., str], spoil: Spoil, number: int, problem: str
    ) -> None:
        said = load(ListenError, spoil)
        assert problem in said
        assert FIELDS[field] in said

    @pytest.mark.parametrize(("spoil", "problem"), USELESS)
    def test_that_is_something_else_is_an_endpoint_error(
        self, field: str, load: Callable[..., str], spoil: Spoil, problem: str
    ) -> None:
        if field == "clientCA" and spoil is folder:
            problem = "no file (.pem, .crt, .cer) with a certificate"
        said = load(EndpointError, spoil)
        assert problem in said
        assert FIELDS[field] in said

    def test_keeps_the_systems_error(self, files: CertificateFiles) -> None:
        gone(Path(files.private_key))
        with pytest.raises(ListenError) as caught:
            loaded(files)
        assert caught.value.errno == errno.ENOENT
        assert isinstance(caught.value.__cause__, FileNotFoundError)

    def test_with_an_impossible_name_is_an_endpoint_error(self, files: CertificateFiles) -> None:
        said = problem_of(EndpointError, CertificateFiles("a\0b", files.private_key))
        assert "certKey 'a\\x00b'" in said

    @pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
    def test_with_an_encrypted_key_does_not_ask_on_the_terminal(
        self, files: CertificateFiles, leaf: trustme.LeafCert, form: PrivateFormat
    ) -> None:
        Path(files.private_key).write_bytes(encrypted(leaf, form))
        said = problem_of(EndpointError, files)
        assert f"privateKey {os.fspath(files.private_key)!r} is encrypted" in said
        assert "openssl pkey" in said

    @pytest.mark.parametrize("kind", trustme.KeyType)
    def test_with_the_key_of_another_certificate_is_told_apart(
        self, files: CertificateFiles, ca: trustme.CA, tmp_path: Path, kind: trustme.KeyType
    ) -> None:
        other = write(tmp_path, "other", ca.issue_cert("www.example.org", key_type=kind))
        said = problem_of(EndpointError, CertificateFiles(files.certificate, other.private_key))
        assert f"privateKey {os.fspath(other.private_key)!r} does not match" in said
        assert f"certKey {os.fspath(files.certificate)!r}" in said

    def test_for_clients_only_is_found_before_a_client_finds_it(
        self, files: CertificateFiles, leaf: trustme.LeafCert, ca: trustme.CA
    ) -> None:
        Path(files.certificate).write_bytes(without_servers_usage(ca, leaf))
        said = problem_of(EndpointError, files)
        assert "certKey" in said
        assert "purpose" in said

    def test_leaves_what_was_loaded_before(self, files: CertificateFiles, ca: trustme.CA) -> None:
        certificates = loaded(files)
        context, signature = certificates.context, certificates.signature
        damaged(Path(files.certificate))
        with pytest.raises(EndpointError):
            certificates.load()
        assert certificates.context is context
        assert certificates.signature == signature
