"""Which TLS do we speak to an API server, on whose connections?

Those of users' own credentials show no certificate; those of the bastion's own show the kubeconfig's, where
it has one; a front proxy's show that and carry nobody's token.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Protocol

from bastion.kube.endpoint import TLSProfile
from bastion.runtime.certificates import CertificatePair
from bastion.runtime.follow import Followed
from bastion.runtime.trust import show


class Trust(Protocol):
    """`plain` makes a context without a certificate; `context` has the bastion's own."""

    @property
    def context(self) -> ssl.SSLContext: ...

    @property
    def plain(self) -> Callable[[], ssl.SSLContext]: ...


class ApiServerTLS:
    """`trust` is asked each time, so that a renewed authority counts for new connections; `own` and
    `front_proxy` are the identities that show a certificate.
    """

    def __init__(
        self, trust: Callable[[], Trust], own: str, front_proxy: str, pair: Followed[CertificatePair] | None
    ) -> None:
        self._trust = trust
        self._own = own
        self._front_proxy = front_proxy
        self._pair = pair
        self._made: dict[Hashable, ssl.SSLContext] = {}
        self._made_of: tuple[object, ...] = ()

    async def context(self, profile: TLSProfile) -> ssl.SSLContext:
        trust, pair = self._trust(), self._pair() if self._pair is not None else None
        if self._made_of != (trust, pair):
            self._made_of = (trust, pair)
            self._made.clear()
        made = self._made.get(profile.identity)
        if made is None:
            made = self._made[profile.identity] = self._make(profile, trust, pair)
        return made

    def _make(self, profile: TLSProfile, trust: Trust, pair: CertificatePair | None) -> ssl.SSLContext:
        if profile.identity == self._own:
            context = trust.context
        else:
            context = trust.plain()
            if profile.identity == self._front_proxy and pair is not None:
                show(context, pair.certificate, pair.key)
        # an upgrade needs HTTP/1.1, and a connection of its own for each call costs little here
        context.set_alpn_protocols(list(profile.alpn))
        return context


def pair_of(certificate: Path, key: Path) -> CertificatePair:
    """Raises OSError, or ValueError where they are no pair."""
    pair = CertificatePair(certificate.read_bytes(), key.read_bytes())
    show(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), pair.certificate, pair.key)
    return pair
