"""TLS as a module says it, made once for as long as its files do not change."""

from __future__ import annotations

import ssl
from pathlib import Path

from msgspec.structs import replace

from bastion.kube.endpoint import TLSProfile
from bastion.network.tls.contexts import ClientTLS
from bastion.probe.tlssettings import TLSConfig
from bastion.runtime.follow import Mark, mark
from bastion.runtime.trust import client_context, show

MOST = 1024
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


class Contexts:
    def __init__(self, backends: ClientTLS) -> None:
        self._backends = backends
        self._made: dict[tuple[TLSConfig, tuple[str, ...]], tuple[Mark, ssl.SSLContext]] = {}

    def kubelet(self) -> ssl.SSLContext:
        """A kubelet is spoken to with the bastion's own identity, whatever a module says."""
        return self._backends.kubelet()

    async def backend(self, profile: TLSProfile, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """As requests verify it.  Raises ValueError."""
        return await self._backends.context(replace(profile, alpn=alpn or profile.alpn))

    def of(self, settings: TLSConfig, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        """Raises OSError or ValueError where a file cannot be used."""
        files = (settings.ca_file, settings.cert_file, settings.key_file)
        now = mark(Path(file) for file in files if file)
        known = self._made.get((settings, alpn))
        if known is not None and known[0] == now:
            return known[1]
        if len(self._made) >= MOST:
            self._made.clear()
        context = _made(settings, alpn)
        self._made[(settings, alpn)] = now, context
        return context


def _made(settings: TLSConfig, alpn: tuple[str, ...]) -> ssl.SSLContext:
    authorities = Path(settings.ca_file).read_bytes() if settings.ca_file else settings.ca.encode() or None
    context = client_context(authorities, verify=not settings.insecure_skip_verify)
    if settings.min_version:
        context.minimum_version = _VERSIONS[settings.min_version]
    if settings.max_version:
        context.maximum_version = _VERSIONS[settings.max_version]
    certificate = Path(settings.cert_file).read_bytes() if settings.cert_file else settings.cert.encode()
    if certificate:
        key = Path(settings.key_file).read_bytes() if settings.key_file else settings.key.encode()
        show(context, certificate, key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
