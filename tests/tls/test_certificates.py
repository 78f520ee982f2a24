"""A server's certificates, loaded from good files."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.tls.handshakes import (
    TEXT,
    loaded,
    problem_of,
    shake,
    trusting,
    write,
)
from trioproto.endpoints.certificate_files import load_pair, on_disk
from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.endpoints.pem import PEMFile
from trioproto.errors import ListenError
from trioproto.layers.tls import TLSLayer


def test_a_loaded_certificate_serves_a_client(files: CertificateFiles, ca: trustme.CA) -> None:
    pair = shake(loaded(files), trusting(ca, check_hostname=True), "www.example.org")
    assert pair.seen.version == "TLSv1.3"
    assert pair.talk() == b"hello, you"


def test_key_and_certificate_may_share_a_file(
    leaf: trustme.LeafCert, ca: trustme.CA, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
    assert shake(loaded(CertificateFiles(both, both)), trusting(ca)).names == {"www.example.org"}


def test_words_around_the_certificates_do_not_matter(
    files: CertificateFiles, ca: trustme.CA
) -> None:
    path = Path(files.certificate)
    path.write_bytes("Für uns:\r\n".encode("latin-1") + path.read_bytes() + b"\xff\x00")
    assert shake(loaded(files), trusting(ca)).talk() == b"hello, you"


def test_nothing_is_to_be_had_before_loading(files: CertificateFiles) -> None:
    with pytest.raises(RuntimeError, match=r"load\(\)"):
        Certificates([files]).find(None)
    with pytest.raises(RuntimeError, match=r"load\(\)"):
        _ = Certificates([files]).context


def test_one_certificate_is_found_for_any_name(files: CertificateFiles) -> None:
    certificates = loaded(files)
    for name in (None, "", "www.example.org", "elsewhere.example.org", "\\xff"):
        assert certificates.find(name) is certificates.context


def test_they_are_none_for_a_client(files: CertificateFiles) -> None:
    with pytest.raises(TypeError, match="a client needs an SSLContext"):
        TLSLayer(loaded(files), server_side=False)


def test_the_rules_are_set(files: CertificateFiles) -> None:
    context = loaded(files).context
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not context.options & ssl.OP_NO_TICKET
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("options", [{"files": []}, {"reload_interval": 0}])
def test_what_makes_no_sense_is_refused_at_once(
    files: CertificateFiles, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"at least one|reload_interval"):
        Certificates(**{"files": [files], **options})


class TestTheChain:
    @pytest.fixture
    def deep(self, ca: trustme.CA) -> trustme.LeafCert:
        """A certificate with two authorities between it and the root."""
        return ca.create_child_ca().create_child_ca().issue_cert("deep.example.org")

    def test_follows_the_certificate_in_its_file(
        self, deep: trustme.LeafCert, ca: trustme.CA, tmp_path: Path
    ) -> None:
        pair = shake(loaded(write(tmp_path, "deep", deep)), trusting(ca))
        assert pair.names == {"deep.example.org"}

    def test_may_come_from_a_file_of_its_own(
        self, deep: trustme.LeafCert, ca: trustme.CA, tmp_path: Path
    ) -> None:
        own, *chain = deep.cert_chain_pems
        files = write(tmp_path, "deep", deep)
        Path(files.certificate).write_bytes(own.bytes())
        extra = tmp_path / "chain.pem"
        extra.write_bytes(b"".join(each.bytes() for each in chain))
        refused = shake(loaded(files), trusting(ca))
        assert isinstance(refused.client_error, ssl.SSLCertVerificationError)
        joined = CertificateFiles(files.certificate, files.private_key, extra)
        assert shake(loaded(joined), trusting(ca)).names == {"deep.example.org"}

    def test_is_joined_without_the_key_and_without_leaving_anything_behind(
        self, deep: trustme.LeafCert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        both = tmp_path / "both.pem"
        both.write_bytes(deep.private_key_and_cert_chain_pem.bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chain = load_pair(context, CertificateFiles(both, both, both), TEXT)
        assert chain.count("BEGIN") == chain.count("BEGIN CERTIFICATE") == 6
        assert list(temporary.iterdir()) == []

    def test_is_on_disk_for_as_long_as_it_takes(self, tmp_path: Path) -> None:
        extra = PEMFile(tmp_path, "extraCertChain", TEXT)
        with on_disk("chain", extra) as path:
            assert Path(path).read_text() == "chain"
            assert os.stat(path).st_mode & 0o077 == 0
        assert not Path(path).exists()

    def test_says_so_if_there_is_no_room_for_joining(
        self, files: CertificateFiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
        joined = CertificateFiles(files.certificate, files.private_key, files.certificate)
        said = problem_of(ListenError, joined)
        assert "extraCertChain" in said
        assert "append it to that file" in said
