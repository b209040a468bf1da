"""Where does `bastion serve` listen, and with which certificate?"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bastion.cli.starting import cause
from bastion.runtime.certificates import Authority, CertificatePair
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Followed
from bastion.runtime.listening import listen
from bastion.runtime.trust import server_context
from bastion.server.negotiated import ALPN
from bastion.server.tls import ask_for_certificates, own_names, serving_context
from bastion.settings.config import Config
from bastion.settings.sections import INSECURE_ADDRESS, Serving

_log = logging.getLogger("bastion.server")
_start_log = logging.getLogger("bastion.start")


@dataclass(frozen=True, slots=True)
class Sockets:
    """With TLS, in plain HTTP, and for metrics alone."""

    tls: list[socket.socket]
    plain: list[socket.socket]
    metrics: list[socket.socket]

    @property
    def all(self) -> tuple[socket.socket, ...]:
        return (*self.tls, *self.plain, *self.metrics)


def open_sockets(config: Config) -> Sockets:
    """Raises StartError."""
    serving, metrics = config.serving, config.observing.metrics_bind_address
    return Sockets(
        [_bind(serving.bind_address, serving.port)],
        [_bind(INSECURE_ADDRESS, serving.insecure_port)] if serving.insecure_port else [],
        [_bind(*metrics)] if metrics is not None else [],
    )


def inherited(descriptor: int) -> socket.socket:
    """The supervisor's socket, for this process and none that it starts."""
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)


def _bind(address: str, port: int) -> socket.socket:
    try:
        return listen((address, port), both=address == "::")
    except OSError as error:
        raise StartError(f"cannot listen on {address}:{port}: {cause(error)}") from error


def announce(serving: Serving, sockets: Sockets) -> None:
    host = f"[{serving.bind_address}]" if ":" in serving.bind_address else serving.bind_address
    for sock in sockets.tls:
        _log.info("serving https://%s:%d", host, sock.getsockname()[1])
    for sock in sockets.metrics:
        _log.info(
            "serving /metrics in plain HTTP, without authorization, at %s port %d", *sock.getsockname()[:2]
        )
    if serving.self_signed:
        _start_log.warning("no --tls-cert-file: the certificate was made just now, and no client trusts it")


# --- the certificate


def serving_tls(config: Config) -> Followed[ssl.SSLContext]:
    """Raises StartError; a mistake in a file later on goes to the log."""
    authorities = config.authentication.authorities
    files = config.serving.tls_cert_file, config.serving.tls_private_key_file
    certificate, key = files
    make: Callable[[], ssl.SSLContext]
    if certificate is None or key is None:
        what, make = "the certificate", partial(server_context, self_signed(config))
    else:
        what, make = f"the certificate {certificate} with its key", partial(serving_context, certificate, key)
        _try(certificate, key)

    def read() -> ssl.SSLContext:
        context = make()
        if config.serving.http2:
            context.set_alpn_protocols(ALPN)
        ask_for_certificates(context, authorities)
        return context

    try:
        return Followed(what, (*files, *authorities), read)
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"cannot use the clients' authorities {', '.join(map(str, authorities))}: {cause(error)}"
        ) from error


def _try(certificate: Path, key: Path) -> None:
    try:
        serving_context(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"cannot use the certificate {certificate} with the key {key}: {cause(error)}"
        ) from error


def self_signed(config: Config) -> CertificatePair:
    names = [*own_names(config.serving.bind_address), *config.browsers.names()]
    return Authority("bastion").issue(names, common_name="bastion")
