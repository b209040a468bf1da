"""· The options of targets: which are served, and how they are connected to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.settings.kinds import BOOLEAN, NETWORKS, PATH, TEXT, Network
from bastion.settings.option import option


@dataclass(frozen=True, slots=True)
class Targets:
    """Which targets are served, and how."""

    allow_cidrs: tuple[Network, ...] = option(
        "allow-target-cidr", NETWORKS, (), "addresses that may be dialled although refused by default"
    )
    decode_generated_client_paths: bool = option(
        "decode-generated-client-paths",
        BOOLEAN,
        True,
        "where a generated client (OpenAPI-Generator/…, Swagger-Codegen/…) sends the path as one segment, its"
        " %2F is a slash",
    )
    zone: str = option(
        "zone", TEXT, "", "the zone this runs in: endpoints there are preferred where a Service asks for it"
    )
    node_name: str = option(
        "node-name", TEXT, "", "the node this runs on, whose label says the zone where --zone does not"
    )
    node_proxy: bool = option("enable-node-proxy", BOOLEAN, False, "serve /api/v1/nodes/<name>/proxy")
    tunnels: bool = option(
        "enable-tunnels",
        BOOLEAN,
        False,
        "on the TLS port, be a proxy for the names of services and pods: CONNECT, and URLs that begin with"
        " http:",
    )


@dataclass(frozen=True, slots=True)
class BackendTLS:
    """How pods and services are connected to that speak TLS."""

    certificate_authority: Path | None = option(
        "backend-certificate-authority",
        PATH,
        None,
        "signs the certificates of backends, for <service>.<namespace>.svc; without it, and without an"
        " annotation that names one, they are not verified",
    )
    client_certificate: Path | None = option(
        "backend-client-certificate", PATH, None, "shown to backends that are verified"
    )
    client_key: Path | None = option("backend-client-key", PATH, None, "its private key")
    allow_insecure: bool = option(
        "allow-insecure-backends",
        BOOLEAN,
        False,
        'the annotation tls-verify: "false" on a Service or pod counts, and its certificate is not verified',
    )


@dataclass(frozen=True, slots=True)
class Kubelet:
    """How kubelets are connected to."""

    certificate_authority: Path | None = option(
        "kubelet-certificate-authority", PATH, None, "signs the kubelets' serving certificates"
    )
    client_certificate: Path | None = option(
        "kubelet-client-certificate", PATH, None, "shown to kubelets and to nothing else"
    )
    client_key: Path | None = option("kubelet-client-key", PATH, None, "its private key")
    insecure_skip_tls_verify: bool = option(
        "kubelet-insecure-skip-tls-verify", BOOLEAN, False, "accept any certificate of a kubelet"
    )
