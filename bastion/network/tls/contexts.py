"""Which TLS do we speak to a backend?

Pods and services: unverified, as kube-apiserver's proxy does (CreateProxyTransport).  A kubelet: with the
kubelet client certificate and the kubelet authority, and that certificate nowhere else (kubernetes#119270).
"""

from __future__ import annotations

import contextlib
import errno
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from bastion.kube.endpoint import EITHER, HTTP1, HTTP2, KUBELET, UNVERIFIED, TLSProfile
from bastion.runtime.follow import Followed
from bastion.runtime.trust import client_context, show
from bastion.runtime.validity import Generation
from bastion.settings.targets import Kubelet


class Contexts(Protocol):
    def context(self, profile: TLSProfile) -> ssl.SSLContext:
        """The one for new connections."""
        ...


class ClientTLS:
    """The SSL contexts for backends, by TLS profile."""

    def __init__(self, kubelet: Kubelet, generation: Generation | None = None) -> None:
        """Raises OSError or ssl.SSLError where a file cannot be read."""
        files = (kubelet.certificate_authority, kubelet.client_certificate, kubelet.client_key)
        self.kubelet = Followed(
            "the TLS to kubelets (--kubelet-…)", files, lambda: kubelet_context(kubelet), generation
        )
        self._contexts: dict[tuple[object, ...], Callable[[], ssl.SSLContext]] = {
            _key(replace(UNVERIFIED, alpn=alpn)): partial(_itself, _unverified(alpn))
            for alpn in (HTTP1, EITHER, (HTTP2,))
        }
        self._contexts[_key(KUBELET)] = self.kubelet

    def context(self, profile: TLSProfile) -> ssl.SSLContext:
        """The current one: open connections keep theirs."""
        return self._contexts[_key(profile)]()


def _key(profile: TLSProfile) -> tuple[object, ...]:
    """All but the server's name, which a context does not hold."""
    return profile.authority, profile.identity, profile.alpn


def _unverified(alpn: tuple[str, ...]) -> ssl.SSLContext:
    context = client_context(verify=False)
    context.set_alpn_protocols(list(alpn))
    return context


def _itself(context: ssl.SSLContext) -> ssl.SSLContext:
    return context


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
