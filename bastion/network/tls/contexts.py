"""Which TLS do we speak to a backend?

As its profile says: verified against an authority, or unverified, as kube-apiserver's proxy does
(CreateProxyTransport).  A kubelet: with the kubelet client certificate and the kubelet authority, and that
certificate nowhere else (kubernetes#119270).
"""

from __future__ import annotations

import contextlib
import errno
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from bastion.kube.endpoint import BACKENDS, CONFIG_MAPS, KUBELET, TLSProfile
from bastion.runtime.follow import Followed
from bastion.runtime.trust import client_context, show
from bastion.runtime.validity import Generation
from bastion.settings.targets import BackendTLS, Kubelet

MOST = 1024  # contexts of backends


class Contexts(Protocol):
    async def context(self, profile: TLSProfile) -> ssl.SSLContext:
        """The one for new connections.  Raises ValueError where its authority is not known."""
        ...


class Bundles(Protocol):
    """Authorities that ConfigMaps hold."""

    async def bundle(self, namespace: str, name: str) -> bytes:
        """PEM.  Raises ValueError."""
        ...


class NoBundles:
    async def bundle(self, namespace: str, name: str) -> bytes:
        raise ValueError(f"ConfigMap {namespace}/{name}: ConfigMaps are not read here")


class BackendFiles(NamedTuple):
    """PEM; None where the flag was not given."""

    authority: bytes | None
    certificate: bytes | None
    key: bytes | None


class ClientTLS:
    """The SSL contexts for backends, by TLS profile; open connections keep theirs."""

    def __init__(
        self,
        kubelet: Kubelet,
        generation: Generation | None = None,
        backends: BackendTLS = BackendTLS(),  # noqa: B008 frozen
        bundles: Bundles | None = None,
    ) -> None:
        """Raises OSError or ssl.SSLError where a file cannot be read."""
        files = (kubelet.certificate_authority, kubelet.client_certificate, kubelet.client_key)
        self.kubelet = Followed(
            "the TLS to kubelets (--kubelet-…)", files, lambda: kubelet_context(kubelet), generation
        )
        own = (backends.certificate_authority, backends.client_certificate, backends.client_key)
        self.backends = Followed("the TLS to backends (--backend-…)", own, lambda: _files_of(backends))
        self._bundles = bundles or NoBundles()
        # by profile, and what it was made of
        self._made: dict[tuple[object, ...], tuple[BackendFiles, tuple[bytes, ...], ssl.SSLContext]] = {}

    async def context(self, profile: TLSProfile) -> ssl.SSLContext:
        if profile.authority == KUBELET.authority:
            return self.kubelet()
        files, pems = self.backends(), await self._authorities(profile.authority)
        key = (profile.authority, profile.identity, profile.alpn)
        made = self._made.get(key)
        if made is None or made[0] is not files or made[1] != pems:
            if len(self._made) >= MOST:
                self._made.clear()
            made = self._made[key] = files, pems, backend_context(profile, files, pems)
        return made[2]

    async def _authorities(self, authority: str) -> tuple[bytes, ...]:
        if authority == BACKENDS:
            return (self.backends().authority or b"",)
        if not authority.startswith(CONFIG_MAPS):
            return ()
        namespace, _, names = authority.removeprefix(CONFIG_MAPS).partition("/")
        if not names:
            raise ValueError("its BackendTLSPolicy asks for what cannot be verified here")
        return tuple([await self._bundles.bundle(namespace, name) for name in names.split(",")])


def backend_context(profile: TLSProfile, files: BackendFiles, pems: tuple[bytes, ...]) -> ssl.SSLContext:
    """Raises ValueError where what is trusted is no certificate."""
    trusted = b"\n".join(pems) if pems else None
    context = client_context(trusted, verify=profile.verified)
    context.set_alpn_protocols(list(profile.alpn))
    if profile.identity and files.certificate is not None:
        show(context, files.certificate, files.key or files.certificate)
    return context


def _files_of(backends: BackendTLS) -> BackendFiles:
    """Each can be used.  Raises OSError that names the file."""
    read = []
    for file in (backends.certificate_authority, backends.client_certificate, backends.client_key):
        with _naming(file):
            read.append(file.read_bytes() if file is not None else None)
    files = BackendFiles(*read)
    with _naming(backends.certificate_authority):
        backend_context(TLSProfile(BACKENDS), files, (files.authority,) if files.authority else ())
    with _naming(backends.client_certificate):
        backend_context(TLSProfile(identity="backends"), files, ())
    return files


def kubelet_context(kubelet: Kubelet) -> ssl.SSLContext:
    """Raises OSError that names the file."""
    authority, certificate, key = (
        kubelet.certificate_authority,
        kubelet.client_certificate,
        kubelet.client_key,
    )
    with _naming(authority):
        trusted = authority.read_bytes() if authority is not None else None
        context = client_context(trusted, verify=not kubelet.insecure_skip_tls_verify)
    context.set_alpn_protocols(list(KUBELET.alpn))
    if certificate is not None:
        with _naming(certificate):
            shown = certificate.read_bytes()
            show(context, shown, key.read_bytes() if key is not None else shown)
    return context


@contextlib.contextmanager
def _naming(file: Path | None) -> Iterator[None]:
    """OpenSSL does not say which file it could not use."""
    try:
        yield
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), str(file)) from error
