"""A client's context verifies the server and its name, and has the same clear errors."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from tests.tls.handshakes import (
    TEXT,
    loaded,
    shake,
    write,
)
from trioproto.endpoints.certificates import CertificateFiles
from trioproto.endpoints.client_context import client_context
from trioproto.errors import EndpointError


class TestAClientsContext:
    """Verifies the server and its name, and has the same clear errors."""

    @pytest.mark.parametrize("where", ["roots", "roots/ca.pem"])
    def test_trusts_a_file_or_a_folder(
        self, files: CertificateFiles, ca: trustme.CA, tmp_path: Path, where: str
    ) -> None:
        (tmp_path / "roots").mkdir()
        ca.cert_pem.write_to_path(tmp_path / "roots" / "ca.pem")
        context = client_context(tmp_path / where)
        assert shake(loaded(files), context, "www.example.org").talk() == b"hello, you"
        error = shake(loaded(files), context, "elsewhere.example.org").client_error
        assert isinstance(error, ssl.SSLCertVerificationError)

    def test_trusts_the_systems_authorities_by_default(self, files: CertificateFiles) -> None:
        error = shake(loaded(files), client_context(), "www.example.org").client_error
        assert isinstance(error, ssl.SSLCertVerificationError)

    def test_shows_its_certificate_and_protocols(
        self, files: CertificateFiles, ca: trustme.CA, tmp_path: Path
    ) -> None:
        ca.cert_pem.write_to_path(tmp_path / "ca.pem")
        own = write(tmp_path, "client", ca.issue_cert("client@example.org"))
        context = client_context(tmp_path / "ca.pem", own, ("h2",), ssl.TLSVersion.TLSv1_3)
        certificates = loaded(files, client_ca=tmp_path / "ca.pem", alpn=("h2",))
        pair = shake(certificates, context, "www.example.org")
        assert pair.talk() == b"hello, you"
        assert pair.client.selected_alpn_protocol() == "h2"
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3

    def test_names_the_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError) as caught:
            client_context(tmp_path / "none.pem", text=TEXT)
        assert f"endpoint {TEXT!r}: trustRoots" in str(caught.value)
        assert "give a PEM file" in str(caught.value)

    def test_names_the_file_that_is_something_else(
        self, files: CertificateFiles, tmp_path: Path
    ) -> None:
        garbage = tmp_path / "garbage.pem"
        garbage.write_bytes(b"garbage")
        with pytest.raises(EndpointError, match=r"privateKey .* has no private key"):
            client_context(None, CertificateFiles(files.certificate, garbage), text=TEXT)
        with pytest.raises(EndpointError, match=r"certificate .* has no certificate"):
            client_context(None, CertificateFiles(garbage, files.private_key), text=TEXT)
        with pytest.raises(EndpointError, match=r"trustRoots .* has no certificate"):
            client_context(garbage, text=TEXT)
