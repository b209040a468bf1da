"""· The one table of annotations: what the owner of a Service or pod may say about it.

A component reads its own section (`read(EndpointPolicy, service.metadata.annotations)`).  A new annotation is
a row here, and `make reference` writes it into docs/reference/annotations.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from sys import intern

from bastion.kube.annotation import (
    DOMAIN,
    LONGEST,
    POD,
    SERVICE,
    Annotation,
    Mistake,
    annotation,
    mistakes_of,
    rows,
)
from bastion.kube.annotationvalues import (
    BOOLEAN,
    DURATION,
    HTTPS_LINK,
    INTERVAL,
    LINK_PATH,
    MAINTENANCE,
    NAME,
    NUMBER,
    PORT,
    POSITIVE_DURATION,
    SERVER_NAME,
    SIZE,
    TEXT,
    URL_PATH,
    Maintenance,
    set_of,
    text_of,
    word_of,
)
from bastion.kube.pathgroups import PATH_GROUPS, PathGroups

PREFIX = f"{DOMAIN}/"
MOST_UNKNOWN = 8  # keys that nothing knows, of one object

BOTH = (SERVICE, POD)
FLAG = "the flag"
ICONS = "cart box card chart bell data queue doc image code search ship pod node lock".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """How requests to a service go to its endpoints.  Durations in seconds; None: the flag's."""

    balance: str = annotation(
        "balance",
        word_of("least-requests", "round-robin", "random"),
        "least-requests",
        "which endpoint is next: the one with the fewest requests under way, each in turn, or any",
    )
    affinity: str = annotation(
        "affinity",
        word_of("cookie", "none"),
        "",
        "`cookie`: a browser stays with its endpoint; `none`: whatever `sessionAffinity` says",
        otherwise="the Service's `sessionAffinity`",
    )
    retry_on: frozenset[str] = annotation(
        "retry-on",
        set_of("connect", "reset", "timeout", "503"),
        frozenset(("connect", "reset")),
        "what makes an idempotent request try another endpoint; empty for nothing",
    )
    connect_timeout: float | None = annotation(
        "connect-timeout",
        POSITIVE_DURATION,
        None,
        "a connection to an endpoint; at most `--connect-timeout`",
        otherwise=FLAG,
    )
    response_timeout: float | None = annotation(
        "response-timeout",
        POSITIVE_DURATION,
        None,
        "the head of a response, once the request is sent; at most `--response-header-timeout`",
        otherwise=FLAG,
    )
    idle_timeout: float | None = annotation(
        "idle-timeout",
        POSITIVE_DURATION,
        None,
        "between two pieces of a response; at most `--response-idle-timeout`",
        otherwise=FLAG,
    )
    max_body_size: int | None = annotation(
        "max-body-size",
        SIZE,
        None,
        "of a request's body in bytes; at most `--max-body-size`",
        otherwise=FLAG,
    )
    drain_timeout: float | None = annotation(
        "drain-timeout",
        DURATION,
        None,
        "how long streams to an endpoint that terminates may go on",
        otherwise=FLAG,
    )
    slow_start: float = annotation(
        "slow-start", DURATION, 0.0, "how long an endpoint that is new or back gets less than its part"
    )
    health_path: str = annotation(
        "health-path", URL_PATH, "", "asked of each endpoint with GET; one that fails gets nothing"
    )
    health_interval: float = annotation("health-interval", INTERVAL, 5.0, "between two such requests")

    @property
    def has_timeouts(self) -> bool:
        """Of its own."""
        return (self.connect_timeout, self.response_timeout, self.idle_timeout) != (None, None, None)


@dataclass(frozen=True, slots=True)
class BackendProtocol:
    """What is spoken to the endpoints."""

    protocol: str = annotation(
        "backend-protocol",
        word_of("http1", "h2c", "h2"),
        "",
        "the version of HTTP; `h2c` without TLS, `h2` with it",
        on=BOTH,
        otherwise="the port's `appProtocol` or name",
    )
    ca_configmap: str = annotation(
        "ca-configmap",
        NAME,
        "",
        "a ConfigMap in the same namespace whose `ca.crt` signs the endpoints' certificates",
        otherwise="`--backend-certificate-authority`",
        on=BOTH,
    )
    tls_server_name: str = annotation(
        "tls-server-name",
        SERVER_NAME,
        "",
        "the name in the endpoints' certificates",
        otherwise="`<service>.<namespace>.svc`; of a pod its address",
        on=BOTH,
    )
    tls_verify: bool = annotation(
        "tls-verify",
        BOOLEAN,
        True,
        "`false`: certificates are not verified; only with `--allow-insecure-backends`",
        on=BOTH,
    )


@dataclass(frozen=True, slots=True)
class PathPolicy:
    """Which of its paths have rights of their own.  A value that is none grants nothing."""

    groups: PathGroups | None = annotation(
        "path-groups",
        PATH_GROUPS,
        None,
        "a right `services/proxy-<group>` of its own for some paths; `services/proxy` is the right to all of"
        " them; `/x` is that path alone, `/x/*` is `/x` and all below",
    )


@dataclass(frozen=True, slots=True)
class Card:
    """How the portal and the status page show it.  Text is cut and never markup."""

    title: str = annotation(
        "title", text_of(60), "", "its name, 60 characters", on=BOTH, otherwise="its object's name"
    )
    description: str = annotation("description", text_of(140), "", "the line below, 140 characters", on=BOTH)
    group: str = annotation("group", text_of(40), "", "the heading it is under, 40 characters", on=BOTH)
    icon: str = annotation("icon", word_of(*ICONS), "", "one of our icons", on=BOTH, otherwise="by kind")
    hidden: bool = annotation(
        "hidden", BOOLEAN, False, "not in the portal; its page and URL work: this protects nothing", on=BOTH
    )
    order: float = annotation("order", NUMBER, 0.0, "its place in its group, the lowest first", on=BOTH)
    port: str = annotation(
        "port",
        PORT,
        "",
        "the port that is opened, by name or number",
        on=BOTH,
        otherwise="`http`, `https`, `web`, the only one, the first",
    )
    path: str = annotation("path", LINK_PATH, "", "the path that is opened", on=BOTH, otherwise="`/`")
    owner: str = annotation("owner", text_of(60), "", "who looks after it", on=BOTH)
    runbook: str = annotation("runbook", HTTPS_LINK, "", "what to read when it fails", on=BOTH)
    maintenance: Maintenance | None = annotation(
        "maintenance", MAINTENANCE, None, "an announced window, which does not count against uptime", on=BOTH
    )
    status: str = annotation(
        "status", word_of("public"), "", "on the public status page, where there is one", on=BOTH
    )
    slow_above: float | None = annotation(
        "slow-above", POSITIVE_DURATION, None, "degraded where the 99th percentile is above this", on=BOTH
    )


@dataclass(frozen=True, slots=True)
class ProbeWish:
    """Whether and how it asks to be probed; the folk_ ones are a convention of many clusters."""

    probe: bool = annotation("probe", BOOLEAN, False, "it is probed", on=BOTH)
    path: str = annotation("probe-path", TEXT, "", "the path that is asked for", on=BOTH)
    port: str = annotation("probe-port", PORT, "", "the port, by name or number", on=BOTH)
    module: str = annotation("probe-module", TEXT, "", "the module", on=BOTH)
    interval: float = annotation(
        "probe-interval", DURATION, 0.0, "between two probes", on=BOTH, otherwise="`--probe-interval`"
    )
    folk_probe: str = annotation("prometheus.io/probe", TEXT, "", "`true`: it is probed", on=BOTH)
    folk_path: str = annotation("prometheus.io/path", TEXT, "", "as `probe-path`", on=BOTH)
    folk_port: str = annotation("prometheus.io/port", PORT, "", "as `probe-port`", on=BOTH)
    folk_scheme: str = annotation("prometheus.io/scheme", TEXT, "", "`http` or `https`", on=BOTH)


@dataclass(frozen=True, slots=True)
class LoadBalancerWish:
    """What a Service of type LoadBalancer asks for; annotations of other load balancers count, too."""

    own_addresses: str = annotation(
        "lb-addresses", TEXT, "", "the address that it wants, or one of each family with a comma between them"
    )
    pool: str = annotation("lb-pool", TEXT, "", "the pool that its address is from", otherwise="any")
    sharing_key: str = annotation(
        "lb-sharing-key",
        TEXT,
        "",
        "Services of a namespace with the same key share an address where their ports differ",
    )
    metallb_addresses: str = annotation("metallb.io/loadBalancerIPs", TEXT, "", "as `lb-addresses`")
    metallb_universe_addresses: str = annotation(
        "metallb.universe.tf/loadBalancerIPs", TEXT, "", "as `lb-addresses`"
    )
    kube_vip_addresses: str = annotation("kube-vip.io/loadbalancerIPs", TEXT, "", "as `lb-addresses`")
    cilium_addresses: str = annotation("lbipam.cilium.io/ips", TEXT, "", "as `lb-addresses`")
    metallb_pool: str = annotation("metallb.io/address-pool", TEXT, "", "as `lb-pool`")
    metallb_universe_pool: str = annotation("metallb.universe.tf/address-pool", TEXT, "", "as `lb-pool`")
    metallb_sharing: str = annotation("metallb.io/allow-shared-ip", TEXT, "", "as `lb-sharing-key`")
    metallb_universe_sharing: str = annotation(
        "metallb.universe.tf/allow-shared-ip", TEXT, "", "as `lb-sharing-key`"
    )
    cilium_sharing: str = annotation("lbipam.cilium.io/sharing-key", TEXT, "", "as `lb-sharing-key`")

    @property
    def sharing(self) -> str:
        others = (self.metallb_sharing, self.metallb_universe_sharing, self.cilium_sharing)
        return self.sharing_key or next(filter(None, others), "")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of each annotation that is there."""
        return (
            self.own_addresses,
            self.metallb_addresses,
            self.metallb_universe_addresses,
            self.kube_vip_addresses,
            self.cilium_addresses,
        )


SECTIONS: tuple[tuple[type, str], ...] = (
    (EndpointPolicy, "Endpoints"),
    (BackendProtocol, "Protocol and TLS of endpoints"),
    (PathPolicy, "Access"),
    (Card, "Portal and status page"),
    (ProbeWish, "Probing"),
    (LoadBalancerWish, "Load balancers"),
)
ANNOTATIONS: dict[str, Annotation] = {row.key: row for section, _ in SECTIONS for row in rows(section)}


def kept(all_of: Mapping[str, str] | None) -> dict[str, str] | None:
    """Of an object's annotations those that are kept; None for none, as nearly always.

    Of keys under our domain that nothing knows a few, so that they can be told.
    """
    if not all_of:
        return None
    found = {intern(key): all_of[key][: LONGEST + 1] for key in all_of if key in ANNOTATIONS}
    unknown = [key for key in all_of if key.startswith(PREFIX) and key not in ANNOTATIONS]
    return found | dict.fromkeys(unknown[:MOST_UNKNOWN], "") or None


def mistakes(kind: str, annotations: Mapping[str, str] | None) -> Iterator[Mistake]:
    """What an object of this kind says that changes nothing."""
    return mistakes_of(ANNOTATIONS, kind, annotations)
