"""Which TLS do we speak to a backend?

Pods and services: unverified, as kube-apiserver's proxy does today (spec L-40).  A kubelet: with the kubelet
client certificate and the kubelet authority, and that certificate nowhere else (kubernetes#119270).
"""

from __future__ import annotations

import contextlib
import errno
import ssl
from collections.abc import Iterator
from pathlib import Path

from bastion.kube.endpoint import KUBELET
from bastion.runtime.follow import Followed
from bastion.runtime.trust import client_context, show
from bastion.settings.config import Kubelet

ALPN = ["http/1.1"]


class ClientTLS:
    """The SSL contexts for backends, by TLS identity."""

    def __init__(self, kubelet: Kubelet) -> None:
        """Raises OSError or ssl.SSLError where a file cannot be read."""
        files = (kubelet.certificate_authority, kubelet.client_certificate, kubelet.client_key)
        self.kubelet = Followed("the TLS to kubelets (--kubelet-…)", files, lambda: kubelet_context(kubelet))
        self._unverified = _unverified()

    def context(self, identity: str) -> ssl.SSLContext:
        """Of the moment: connections that are open keep theirs."""
        return self.kubelet() if identity == KUBELET else self._unverified


def _unverified() -> ssl.SSLContext:
    context = client_context(verify=False)
    context.set_alpn_protocols(ALPN)
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
    context.set_alpn_protocols(ALPN)
    if certificate is not None:
        with _naming(certificate):
            shown = certificate.read_bytes()
            show(context, shown, key.read_bytes() if key is not None else shown)
    return context


@contextlib.contextmanager
def _naming(file: Path | None) -> Iterator[None]:
    """OpenSSL does not say in which file it was that it found nothing."""
    try:
        yield
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), str(file)) from error
