"""New certificates are taken up without a restart, whichever way they come."""

from __future__ import annotations

import gc
import logging
import os
import ssl
import tempfile
import weakref
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import monotonic

import pytest
import trio
import trio.testing
import trustme

from tests.tls.handshakes import begin, shake, trusting, write
from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.endpoints.pem import FilePath
from trioproto.endpoints.reloading import Watch

TEXT = "tls:8443:privateKey=site.key"


class Site:
    """A server's certificates under watch, and what its clients see."""

    def __init__(self, ca: trustme.CA, *files: CertificateFiles, **options: Path) -> None:
        self.certificates = Certificates(files, text=TEXT, client_ca=options.get("client_ca"))
        self.certificates.load()
        self.watch = Watch(self.certificates)
        self.ca = ca

    def look(self, times: int = 2) -> None:
        for _ in range(times):
            self.watch.look()

    @property
    def shown(self) -> set[str]:
        return shake(self.certificates, trusting(self.ca)).names


class Disk:
    """Writes files whose times differ, however fast one is written after the other."""

    def __init__(self) -> None:
        self._times = count(10**9)

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        now = next(self._times)
        os.utime(path, (now, now))

    def overwrite(self, files: CertificateFiles, leaf: trustme.LeafCert) -> None:
        self.write(Path(files.certificate), chain_of(leaf))
        self.write(Path(files.private_key), leaf.private_key_pem.bytes())


def chain_of(leaf: trustme.LeafCert) -> bytes:
    return b"".join(each.bytes() for each in leaf.cert_chain_pems)


def turn(link: Path, target: Path | str) -> None:
    """Have a link lead elsewhere, at once."""
    new = link.with_name("..new")
    new.symlink_to(target)
    new.replace(link)


async def until(condition: Callable[[], bool]) -> None:
    """Let virtual time go on; the thread that looks at the files takes real time."""
    ends = monotonic() + 30
    while not condition():
        assert monotonic() < ends
        await trio.sleep(1)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def renewed(ca: trustme.CA) -> trustme.LeafCert:
    return ca.issue_cert("renewed.example.org")


@pytest.fixture
def site(ca: trustme.CA, files: CertificateFiles) -> Site:
    return Site(ca, files)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """Return what has been logged, and begin anew."""
    caplog.set_level(logging.INFO, "trioproto")

    def read() -> list[tuple[str, str]]:
        found = [(each.levelname, each.getMessage()) for each in caplog.records]
        assert not any(each.exc_info for each in caplog.records)
        caplog.clear()
        return found

    return read


Log = Callable[[], list[tuple[str, str]]]
OLD = {"www.example.org"}
NEW = {"renewed.example.org"}


class TestNewCertificatesAreTakenUp:
    def test_when_the_files_are_overwritten(
        self, site: Site, files: CertificateFiles, renewed: trustme.LeafCert, disk: Disk, log: Log
    ) -> None:
        disk.overwrite(files, renewed)
        site.look()
        assert site.shown == NEW
        assert log() == [("INFO", f"endpoint {TEXT!r}: new certificates for new connections")]
        site.look(10)
        assert log() == []

    def test_when_the_files_are_replaced(
        self, site: Site, files: CertificateFiles, renewed: trustme.LeafCert, tmp_path: Path
    ) -> None:
        fresh = write(tmp_path, "fresh", renewed)
        os.replace(fresh.certificate, files.certificate)
        os.replace(fresh.private_key, files.private_key)
        site.look()
        assert site.shown == NEW

    def test_when_kubernetes_turns_the_link_of_a_mounted_secret(
        self, ca: trustme.CA, leaf: trustme.LeafCert, renewed: trustme.LeafCert, tmp_path: Path
    ) -> None:
        for name, each in (("..2024_01", leaf), ("..2024_02", renewed)):
            (tmp_path / name).mkdir()
            write(tmp_path / name, "tls", each)
        (tmp_path / "..data").symlink_to("..2024_01")
        for name in ("tls.pem", "tls.key"):
            (tmp_path / name).symlink_to(f"..data/{name}")
        site = Site(ca, CertificateFiles(tmp_path / "tls.pem", tmp_path / "tls.key"))
        assert site.shown == OLD
        turn(tmp_path / "..data", "..2024_02")
        site.look()
        assert site.shown == NEW

    def test_when_certbot_turns_one_link_after_the_other(
        self, ca: trustme.CA, leaf: trustme.LeafCert, renewed: trustme.LeafCert, tmp_path: Path
    ) -> None:
        archive, live = tmp_path / "archive" / "site", tmp_path / "live" / "site"
        archive.mkdir(parents=True)
        live.mkdir(parents=True)
        write(archive, "1", leaf)
        write(archive, "2", renewed)
        (live / "fullchain.pem").symlink_to("../../archive/site/1.pem")
        (live / "privkey.pem").symlink_to("../../archive/site/1.key")
        site = Site(ca, CertificateFiles(live / "fullchain.pem", live / "privkey.pem"))
        turn(live / "privkey.pem", "../../archive/site/2.key")
        site.look(1)
        turn(live / "fullchain.pem", "../../archive/site/2.pem")
        site.look(1)
        assert site.shown == OLD
        site.look(1)
        assert site.shown == NEW

    def test_when_one_of_several_changes(
        self, ca: trustme.CA, files: CertificateFiles, disk: Disk, tmp_path: Path
    ) -> None:
        other = write(tmp_path, "other", ca.issue_cert("other.example.org"))
        site = Site(ca, files, other)
        disk.overwrite(other, ca.issue_cert("other.example.org", "another.example.org"))
        site.look()
        pair = shake(site.certificates, trusting(ca), "another.example.org")
        assert pair.names == {"other.example.org", "another.example.org"}
        assert site.shown == OLD

    def test_when_a_further_authority_of_clients_comes(
        self, ca: trustme.CA, files: CertificateFiles, tmp_path: Path
    ) -> None:
        clients, another = tmp_path / "clients", trustme.CA()
        clients.mkdir()
        ca.cert_pem.write_to_path(clients / "ca.pem")
        site = Site(ca, files, client_ca=clients)
        client = trusting(ca)
        another.issue_cert("client@example.org").configure_cert(client)
        assert shake(site.certificates, client).server_error is not None
        another.cert_pem.write_to_path(clients / "another.pem")
        site.look()
        assert shake(site.certificates, client).talk() == b"hello, you"

    def test_when_an_authority_of_clients_is_overwritten(
        self, ca: trustme.CA, files: CertificateFiles, disk: Disk, tmp_path: Path
    ) -> None:
        clients, another = tmp_path / "clients", trustme.CA()
        clients.mkdir()
        disk.write(clients / "ca.pem", ca.cert_pem.bytes())
        site = Site(ca, files, client_ca=clients)
        disk.write(clients / "ca.pem", another.cert_pem.bytes())
        site.look()
        client = trusting(ca)
        ca.issue_cert("client@example.org").configure_cert(client)
        assert shake(site.certificates, client).server_error is not None

    def test_when_they_came_between_loading_and_the_first_look(
        self, ca: trustme.CA, files: CertificateFiles, renewed: trustme.LeafCert, disk: Disk
    ) -> None:
        certificates = Certificates([files])
        certificates.load()
        disk.overwrite(files, renewed)
        watch = Watch(certificates)
        watch.look()
        watch.look()
        assert shake(certificates, trusting(ca)).names == NEW

    def test_only_when_they_have_settled(
        self, site: Site, files: CertificateFiles, renewed: trustme.LeafCert, disk: Disk, log: Log
    ) -> None:
        for _ in range(5):
            disk.overwrite(files, renewed)
            site.look(1)
        assert site.shown == OLD
        site.look(1)
        assert site.shown == NEW
        assert len(log()) == 1


def test_files_that_stay_as_they_are_are_not_loaded_again(site: Site, log: Log) -> None:
    context = site.certificates.context
    site.look(10)
    assert site.certificates.context is context
    assert log() == []


def test_live_connections_keep_what_they_have(
    site: Site, ca: trustme.CA, files: CertificateFiles, renewed: trustme.LeafCert, disk: Disk
) -> None:
    live = shake(site.certificates, trusting(ca))
    begun = begin(site.certificates, trusting(ca))
    begun.go_on()
    disk.overwrite(files, renewed)
    site.look()
    assert site.shown == NEW
    assert live.talk() == b"hello, you"
    assert live.names == OLD
    begun.go_on()
    assert begun.names == {"www.example.org"}


def test_what_is_no_longer_used_is_let_go(
    ca: trustme.CA, files: CertificateFiles, renewed: trustme.LeafCert, disk: Disk, tmp_path: Path
) -> None:
    site = Site(ca, files, write(tmp_path, "other", ca.issue_cert("other.example.org")))
    old = weakref.ref(site.certificates.context)
    disk.overwrite(files, renewed)
    site.look()
    gc.collect()
    assert old() is None


class TestTheLastGoodOnesStay:
    def test_when_the_new_pair_does_not_match_until_it_does(
        self, site: Site, files: CertificateFiles, renewed: trustme.LeafCert, disk: Disk, log: Log
    ) -> None:
        disk.write(Path(files.certificate), chain_of(renewed))
        site.look(10)
        assert site.shown == OLD
        ((level, said),) = log()
        assert level == "WARNING"
        assert f"endpoint {TEXT!r}: privateKey" in said
        assert "does not match" in said
        assert "loaded before stay in use" in said
        disk.write(Path(files.private_key), renewed.private_key_pem.bytes())
        site.look()
        assert site.shown == NEW
        assert [level for level, _ in log()] == ["INFO"]

    def test_and_each_new_state_of_broken_files_is_logged_once(
        self, site: Site, files: CertificateFiles, disk: Disk, log: Log
    ) -> None:
        for data in (b"garbage", b"", b"garbage of another kind"):
            disk.write(Path(files.certificate), data)
            site.look(5)
            assert [level for level, _ in log()] == ["WARNING"]
        assert site.shown == OLD

    def test_when_a_file_has_gone_for_a_moment(
        self, site: Site, files: CertificateFiles, tmp_path: Path, log: Log
    ) -> None:
        context = site.certificates.context
        os.rename(files.private_key, tmp_path / "away")
        site.look(1)
        os.rename(tmp_path / "away", files.private_key)
        site.look(5)
        assert log() == []
        assert site.certificates.context is context

    def test_when_a_file_has_gone_for_good(
        self, site: Site, files: CertificateFiles, log: Log
    ) -> None:
        os.unlink(files.private_key)
        site.look(5)
        ((level, said),) = log()
        assert level == "WARNING"
        assert "privateKey" in said
        assert "No such file" in said
        assert site.shown == OLD

    def test_when_the_folder_of_the_clients_authorities_has_gone(
        self, ca: trustme.CA, files: CertificateFiles, tmp_path: Path, log: Log
    ) -> None:
        clients = tmp_path / "clients"
        clients.mkdir()
        ca.cert_pem.write_to_path(clients / "ca.pem")
        site = Site(ca, files, client_ca=clients)
        clients.rename(tmp_path / "away")
        site.look(5)
        ((_, said),) = log()
        assert "clientCA" in said
        assert site.certificates.context.verify_mode is ssl.CERT_REQUIRED

    def test_until_what_was_no_fault_of_the_files_is_mended(
        self,
        ca: trustme.CA,
        files: CertificateFiles,
        renewed: trustme.LeafCert,
        disk: Disk,
        log: Log,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        chain = tmp_path / "chain.pem"
        ca.cert_pem.write_to_path(chain)
        site = Site(ca, CertificateFiles(files.certificate, files.private_key, chain))
        disk.overwrite(files, renewed)
        monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
        site.look(5)
        assert [level for level, _ in log()] == ["WARNING"]
        monkeypatch.undo()
        site.look(1)
        assert site.shown == NEW

    def test_when_they_come_back_and_nothing_is_said(
        self, site: Site, files: CertificateFiles, tmp_path: Path, log: Log
    ) -> None:
        os.rename(files.private_key, tmp_path / "away")
        site.look()
        assert [level for level, _ in log()] == ["WARNING"]
        os.rename(tmp_path / "away", files.private_key)
        site.look(5)
        assert log() == []
        assert site.shown == OLD


async def test_keep_fresh_looks_again_and_again(
    site: Site,
    files: CertificateFiles,
    leaf: trustme.LeafCert,
    renewed: trustme.LeafCert,
    disk: Disk,
    log: Log,
    autojump_clock: trio.testing.MockClock,
) -> None:
    certificates = site.certificates
    async with trio.open_nursery() as nursery:
        nursery.start_soon(certificates.keep_fresh)
        for new, names in ((renewed, NEW), (leaf, OLD)):
            context = certificates.context
            disk.overwrite(files, new)
            await until(lambda: certificates.context is not context)  # noqa: B023
            assert site.shown == names
        disk.write(Path(files.private_key), b"garbage")
        await until(lambda: any(level == "WARNING" for level, _ in log()))
        assert site.shown == OLD
        nursery.cancel_scope.cancel()


async def test_keep_fresh_waits_for_its_interval(
    files: CertificateFiles,
    renewed: trustme.LeafCert,
    disk: Disk,
    mock_clock: trio.testing.MockClock,
) -> None:
    certificates = Certificates([files], reload_interval=30)
    certificates.load()
    context = certificates.context
    disk.overwrite(files, renewed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(certificates.keep_fresh)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(29)
        await trio.testing.wait_all_tasks_blocked()
        assert certificates.context is context
        mock_clock.autojump_threshold = 0
        await until(lambda: certificates.context is not context)
        assert trio.current_time() >= 60
        nursery.cancel_scope.cancel()


async def test_without_an_interval_nothing_is_looked_at(
    files: CertificateFiles,
    renewed: trustme.LeafCert,
    disk: Disk,
    autojump_clock: trio.testing.MockClock,
) -> None:
    certificates = Certificates([files], reload_interval=None)
    certificates.load()
    context = certificates.context
    disk.overwrite(files, renewed)
    with trio.move_on_after(10**6) as scope:
        await certificates.keep_fresh()
    assert scope.cancelled_caught
    assert certificates.context is context


async def test_keep_fresh_goes_on_when_it_was_not_possible_to_look(
    files: CertificateFiles, autojump_clock: trio.testing.MockClock, log: Log
) -> None:
    """There was no thread to be had, say."""
    looks = count(1)
    looked = 0

    class Unlucky(Certificates):
        def paths(self) -> list[FilePath]:
            nonlocal looked
            looked = next(looks)
            if looked in (2, 3):
                raise RuntimeError("can't start new thread")
            return super().paths()

    certificates = Unlucky([files], text=TEXT)
    certificates.load()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(certificates.keep_fresh)
        await until(lambda: looked >= 4)
        nursery.cancel_scope.cancel()
    ((level, said),) = log()
    assert level == "WARNING"
    assert f"endpoint {TEXT!r}: cannot look for new certificates: can't start new thread" in said
