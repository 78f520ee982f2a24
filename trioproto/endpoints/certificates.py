"""A server's certificates: loaded, chosen by the name asked for, and kept fresh."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import trio

from trioproto.endpoints.certificate_files import CertificateFiles, load_pair, set_rules
from trioproto.endpoints.certificate_names import names_of
from trioproto.endpoints.pem import FilePath, PEMFile, authorities, files_of
from trioproto.endpoints.reloading import Signature, Watch, signature_of
from trioproto.layers.server_name import ContextsByName
from trioproto.sansio.errors import ListenError

__all__ = ["CertificateFiles", "Certificates"]


class Certificates:
    """What a server shows to its clients, and what it asks of them.

    With one certificate every client gets that, whatever name it asks for. Of
    several each answers to its own names; a client that asks for none gets the
    first, one that asks for an unknown name is refused.

    Args:
        files: at least one certificate; of those with the same name the first
            is taken.
        client_ca: a PEM file, or a folder of such files (``.pem``, ``.crt``,
            ``.cer``), with authorities: clients must then have a certificate of
            one of them.
        alpn: application protocols, the preferred first; a client that knows
            none of them is served without.
        minimum_version: TLS 1.2 or 1.3.
        reload_interval: seconds between two looks at the files; ``None``: they
            are loaded once.
        text: the endpoint as the user wrote it, for messages.

    Attributes:
        signature: the state of the files at the time they were loaded.

    Raises:
        ValueError: there are no *files*, or *reload_interval* is not above 0.
    """

    def __init__(
        self,
        files: Sequence[CertificateFiles],
        *,
        client_ca: FilePath | None = None,
        alpn: Sequence[str] = (),
        minimum_version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2,
        reload_interval: float | None = 5.0,
        text: str | None = None,
    ) -> None:
        if not files:
            raise ValueError("at least one certificate is needed")
        if reload_interval is not None and reload_interval <= 0:
            raise ValueError(f"reload_interval must be above 0 s, not {reload_interval}")
        self.files = tuple(files)
        self.client_ca = client_ca
        self.alpn = alpn
        self.minimum_version = minimum_version
        self.reload_interval = reload_interval
        self.text = text or f"tls:privateKey={files[0].private_key}"
        self.signature: Signature = ()
        self._contexts: ContextsByName | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """That of the first certificate; another one after the files have changed.

        Raises:
            RuntimeError: nothing has been loaded yet.
        """
        return self._loaded().first

    def find(self, name: str | None) -> ssl.SSLContext | None:
        """Return the context of the certificate for a name that a client asks for.

        Args:
            name: as it was sent; ``None``: no name.

        Returns:
            ``None`` if there are several certificates, and none has the name.

        Raises:
            RuntimeError: nothing has been loaded yet.
        """
        return self._loaded().find(name)

    def _loaded(self) -> ContextsByName:
        if self._contexts is None:
            raise RuntimeError("the certificates have not been loaded: call load() first")
        return self._contexts

    def load(self) -> None:
        """Read all files, and use them from now on; blocks for as long as the disk does.

        Raises:
            ListenError: a file cannot be read.
            EndpointError: a file is not what it should be, a key does not match
                its certificate, or no client could use it. What was loaded before
                stays in use then.
        """
        # Before reading: what changes meanwhile is then seen at the next look.
        signature = signature_of(self.paths())
        try:
            self._contexts = self._build()
        except OSError as exc:
            raise ListenError(self.text, exc.errno, exc.strerror or str(exc)) from exc
        self.signature = signature

    def paths(self) -> list[FilePath]:
        """Return all files, those of a folder too, as it is now."""
        paths = [path for files in self.files for path in files.paths]
        if self.client_ca is None:
            return paths
        try:
            return [*paths, *files_of(self.client_ca)]
        except (OSError, ValueError):
            return [*paths, self.client_ca]

    async def keep_fresh(self) -> None:
        """Load the files anew when they have changed, until cancelled.

        Live connections keep what they have. What is wrong with new files is
        logged, and the last good ones stay in use.
        """
        if self.reload_interval is None:
            await trio.sleep_forever()
        watch = Watch(self)
        while True:
            await trio.sleep(self.reload_interval)
            try:
                # Left alone when cancelled: a file system that hangs holds up no shutdown.
                await trio.to_thread.run_sync(watch.look, abandon_on_cancel=True)
            except Exception as exc:
                watch.failed(exc)  # there is no thread to be had, say: no reason to end the server

    def _build(self) -> ContextsByName:
        """Make a context for each certificate."""
        made = [self._make(files) for files in self.files]
        if self.client_ca is not None:
            clients = authorities(self.client_ca, "clientCA", self.text)
            for context, _ in made:
                context.load_verify_locations(cadata=clients)
                context.verify_mode = ssl.CERT_REQUIRED
        contexts = ContextsByName(made[0][0])
        if len(made) > 1:
            for context, names in made:
                contexts.add(names, context)
        return contexts

    def _make(self, files: CertificateFiles) -> tuple[ssl.SSLContext, list[str]]:
        """Make the context of one certificate, and find its names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        set_rules(context, self.alpn, self.minimum_version, self.text)
        chain = load_pair(context, files, self.text)
        file = PEMFile(files.certificate, "certKey", self.text)
        names = names_of(context, chain, file)
        if not names and len(self.files) > 1:
            fix = "give one with a subjectAltName"
            raise file.error("has no name that clients could ask for", fix)
        return context, names
