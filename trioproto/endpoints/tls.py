"""TLS around another endpoint."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import trio

from trioproto.endpoints.certificates import CertificateFiles, Certificates
from trioproto.endpoints.endpoint import Bound, ServerEndpoint
from trioproto.endpoints.words import Words, quote
from trioproto.layers.opening import PLAIN, Opening
from trioproto.layers.tls import TLSLayer
from trioproto.sansio.errors import EndpointError
from trioproto.sansio.tls_info import TLSContext

_KEYWORDS = ("port", "privateKey", "certKey", "extraCertChain", "clientCA", "alpn", "minVersion")
_OF_TCP = ("interface", "backlog", "reuse_port")
_VERSIONS = {
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
    "TLSv1_2": ssl.TLSVersion.TLSv1_2,
    "TLSv1_3": ssl.TLSVersion.TLSv1_3,
}


class TLSServerEndpoint(ServerEndpoint):
    """Another endpoint, whose connections begin with a TLS handshake.

    Args:
        inner: where to listen.
        tls: the certificates; or a context of your own, or what finds one for the
            name that a client asks for, which then is yours to keep fresh.
        text: the endpoint as the user wrote it, for messages.

    Raises:
        ValueError: the context is one for clients.
    """

    def __init__(self, inner: ServerEndpoint, tls: TLSContext, *, text: str | None = None) -> None:
        if isinstance(tls, ssl.SSLContext) and tls.protocol is ssl.PROTOCOL_TLS_CLIENT:
            raise ValueError("the context is for clients; make it with PROTOCOL_TLS_SERVER")
        self.inner = inner
        self.tls = tls
        self.text = text or f"tls:{quote(inner.text)}"

    async def bind(self) -> list[Bound]:
        """Load the certificates, then bind the inner endpoint.

        Raises:
            TypeError: what was given is no context.
            EndpointError: a file is not what it should be; the inner endpoint has
                TLS or a PROXY header of its own.
            ListenError: a file cannot be read, or an address not be bound. Nothing
                stays bound then.
        """
        tls = self.tls
        if isinstance(tls, Certificates):
            await trio.to_thread.run_sync(tls.load, abandon_on_cancel=True)
        self._layers()  # what is wrong with a context comes out here, and at no client
        bound = await self.inner.bind()
        await self._check_plain(bound)
        for each in bound:
            each.text = self.text
            each.opening = Opening(layers=self._layers)
        if isinstance(tls, Certificates) and tls.reload_interval is not None:
            bound[0].services.append(tls.keep_fresh)
        return bound

    def _layers(self) -> tuple[TLSLayer, ...]:
        return (TLSLayer(self.tls, server_side=True),)

    async def _check_plain(self, bound: list[Bound]) -> None:
        """Let go of what is bound if its connections do not begin with nothing."""
        if all(each.opening == PLAIN for each in bound):
            return
        for each in bound:
            each.close()
            if isinstance(each.source, trio.abc.Listener):
                await trio.aclose_forcefully(each.source)
        if any(each.opening.layers for each in bound):
            raise EndpointError(self.text, "there is TLS inside already; take one tls away")
        problem = r"the PROXY header comes before TLS; write haproxy:trusted=NETWORKS:tls\:..."
        raise EndpointError(self.text, problem)


def parse(words: Words, parse_inner: Callable[[str], ServerEndpoint]) -> TLSServerEndpoint:
    """Make an endpoint of ``tls:PORT:privateKey=...`` or ``tls:ENDPOINT:privateKey=...``.

    Args:
        words: the string without its kind.
        parse_inner: makes an endpoint of the inner string.

    Raises:
        EndpointError: something is missing, unknown or wrong.

    Origin: Twisted's endpoints documentation, "Servers": ``ssl``.
    """
    words.name_positional("port", "privateKey", "certKey")
    _mend_inner(words)
    known = (*_KEYWORDS, *_OF_TCP)
    unknown = {name: value for name, value in words.keywords.items() if name not in known}
    Words(words.text, keywords=unknown).check_all_taken(*known)
    inner = _inner(words)
    certificates = Certificates(
        _files(words),
        client_ca=words.take_text("clientCA"),
        alpn=_take_list(words, "alpn"),
        minimum_version=_version(words),
        text=words.text,
    )
    try:
        endpoint = parse_inner(inner)
    except EndpointError as exc:
        raise words.error(exc.problem) from exc
    endpoint.text = words.text  # what it cannot bind is to be found in the whole string
    return TLSServerEndpoint(endpoint, certificates, text=words.text)


def _mend_inner(words: Words) -> None:
    """Take as the inner endpoint what looks like a keyword, its own ``=`` not being escaped."""
    looks_so = [name for name in words.keywords if ":" in name]
    if looks_so and "port" not in words.keywords:
        words.keywords["port"] = f"{looks_so[0]}={words.keywords.pop(looks_so[0])}"


def _inner(words: Words) -> str:
    """Take what is to be bound: an endpoint string, or a port and what belongs to it."""
    port = words.keywords.pop("port", "")
    if not port:
        raise words.error("the port is missing, or in its place an escaped endpoint")
    of_tcp = {name: words.keywords.pop(name) for name in _OF_TCP if name in words.keywords}
    if ":" not in port:
        return ":".join(["tcp", quote(port), *(f"{k}={quote(v)}" for k, v in of_tcp.items())])
    for name in of_tcp:
        raise words.error(f"{name} goes into the inner endpoint, {port!r}, with its colon escaped")
    return port


def _files(words: Words) -> list[CertificateFiles]:
    """Take the certificates: lists of files, of one length."""
    keys = _take_list(words, "privateKey")
    if not keys:
        raise words.error("privateKey is missing: give a PEM file with the private key")
    certificates = _take_list(words, "certKey") or keys
    chains = _take_list(words, "extraCertChain") or [""] * len(keys)
    for name, values in (("certKey", certificates), ("extraCertChain", chains)):
        if len(values) != len(keys):
            problem = f"privateKey names {len(keys)} files, and {name} {len(values)}"
            raise words.error(f"{problem}: give one for each")
    if not all([*keys, *certificates]):
        raise words.error("a name in privateKey or certKey is empty: take the comma away")
    triples = zip(certificates, keys, chains, strict=True)
    return [CertificateFiles(cert, key, chain or None) for cert, key, chain in triples]


def _version(words: Words) -> ssl.TLSVersion:
    value = words.take_text("minVersion") or "1.2"
    if value not in _VERSIONS:
        raise words.error(f"minVersion must be 1.2 or 1.3, not {value!r}")
    return _VERSIONS[value]


def _take_list(words: Words, name: str) -> list[str]:
    value = words.take_text(name)
    return [] if value is None else value.split(",")
