"""The PROXY protocol in front of another endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

from trioproto.endpoints.endpoint import Bound, ServerEndpoint, close_all
from trioproto.endpoints.stdio import STDIO
from trioproto.endpoints.words import Words, quote
from trioproto.layers.networks import parse_networks
from trioproto.sansio.errors import EndpointError, ListenError


class ProxyServerEndpoint(ServerEndpoint):
    """Another endpoint, behind a proxy that says for whom it connects.

    Each connection has to begin with a PROXY header, and to come from a trusted
    network. From then on the client's address is the peer's.

    Args:
        inner: where to listen.
        trusted: the proxies' networks.
        text: the endpoint as the user wrote it, for messages.

    Raises:
        ValueError: nobody is trusted.

    Origin: HAProxy's PROXY protocol, versions 1 and 2.
    """

    def __init__(
        self,
        inner: ServerEndpoint,
        trusted: Iterable[IPv4Network | IPv6Network],
        *,
        text: str | None = None,
    ) -> None:
        self.inner = inner
        self.trusted = tuple(trusted)
        if not self.trusted:
            raise ValueError("trusted is empty: nobody could connect")
        networks = quote(",".join(map(str, self.trusted)))
        self.text = text or f"haproxy:trusted={networks}:{inner.text}"

    async def bind(self) -> list[Bound]:
        """Bind the inner endpoint.

        Raises:
            EndpointError: it has a PROXY header of its own, or no addresses; or
                what it raises itself.
            ListenError: it cannot be bound.
        """
        try:
            bound = await self.inner.bind()
        except EndpointError as exc:
            raise EndpointError(self.text, exc.problem) from exc
        except ListenError as exc:
            raise ListenError(self.text, exc.errno, exc.strerror or "") from exc
        problem = next(filter(None, map(_problem, bound)), None)
        if problem is not None:
            await close_all(bound)
            raise EndpointError(self.text, problem)
        for each in bound:
            each.text = self.text
            each.opening = replace(each.opening, trusted=self.trusted)
        return bound


def parse(words: Words, parse_inner: Callable[[str], ServerEndpoint]) -> ProxyServerEndpoint:
    r"""Make an endpoint of ``haproxy:trusted=NETWORK,...:ENDPOINT``.

    The endpoint inside is written as it is, or as one argument, with its colons
    escaped: ``haproxy:trusted=10.0.0.0/8,\:\:1:tcp\:8007``.

    Args:
        words: the string without its kind.
        parse_inner: makes an endpoint of the inner string.

    Raises:
        EndpointError: something is missing, unknown or wrong.

    Origin: Twisted's endpoints documentation, "Servers"; it trusts anybody.
    """
    inner = words.inner
    form = f"write haproxy:trusted=10.0.0.0/8:{inner or 'tcp:8007'} with your proxies' networks"
    trusted = words.keywords.pop("trusted", None)
    words.check_all_taken("trusted")
    if trusted is None:
        problem = "trusted is missing, without which anybody could claim any address"
        raise words.error(f"{problem}: {form}")
    if not inner:
        raise words.error(f"the endpoint behind trusted is missing: {form}")
    try:
        networks = parse_networks(trusted)
    except ValueError as exc:
        raise words.error(f"trusted: {exc}; a colon inside of it is written \\:") from exc
    try:
        endpoint = parse_inner(inner)
    except EndpointError as exc:
        raise words.error(f"inside of it, {inner!r}: {exc.problem}") from exc
    return ProxyServerEndpoint(endpoint, networks, text=words.text)


def _problem(bound: Bound) -> str | None:
    """Say why a header cannot come first, if it cannot."""
    if bound.opening.trusted is not None:
        return "there is a PROXY header inside already: take one haproxy away"
    if bound.address == STDIO:
        return "standard input has no address that could be trusted: take haproxy away"
    return None
