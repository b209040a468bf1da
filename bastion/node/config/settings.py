"""· What was configured, checked and completed: what the program is started with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from bastion.node.addresses import IPV4, IPV6, network_of, of_family
from bastion.node.config.values import socket_address
from bastion.runtime.errors import ConfigError

NFTABLES, IPTABLES, USERSPACE, IPVS = MODES = ("nftables", "iptables", "userspace", "ipvs")
LOCAL_MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
PRIMARY = "primary"
HEALTHZ_PORT, METRICS_PORT = 10256, 10249
LOG_FORMATS = ("text", "json")

Values = Mapping[str, Any]
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Conntrack:
    """Seconds and numbers for /proc/sys/net/netfilter; 0 leaves one as it is."""

    max_per_core: int
    min: int
    tcp_established: float
    tcp_close_wait: float
    udp: float
    udp_stream: float
    liberal: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """`healthz` and `metrics` are None where they are off."""

    mode: str
    node: str
    bind_address: str
    healthz: Address | None
    metrics: Address | None
    bind_hard_fail: bool
    profiling: bool
    kubeconfig: str
    qps: float
    burst: int
    cluster_cidrs: tuple[str, ...]
    local_mode: str
    bridge: str
    prefix: str
    node_port_addresses: tuple[str, ...]
    oom_score: int
    masquerade_bit: int
    masquerade_all: bool
    localhost_node_ports: bool
    sync_period: float
    min_sync_period: float
    conntrack: Conntrack
    log_format: str
    verbosity: int
    scheduler: str
    ipvs_excluded: tuple[str, ...]

    @property
    def primary_family(self) -> str:
        return IPV6 if ":" in self.bind_address else IPV4


def settings(values: Values, hostname: str) -> Settings:
    """Raises ConfigError with everything that is wrong."""
    mistakes = [*mistakes_of(values)]
    node = (values["hostnameOverride"] or hostname).strip().lower()
    if not node:
        mistakes.append("hostnameOverride: must not be empty")
    if mistakes:
        raise ConfigError(mistakes)
    mode = values["mode"] or IPTABLES
    own = mode if mode in (NFTABLES, IPVS) else IPTABLES
    v6 = ":" in values["bindAddress"]
    addresses = values["nodePortAddresses"]
    return Settings(
        mode=mode,
        node=node,
        bind_address=values["bindAddress"],
        healthz=_listen(values["healthzBindAddress"], "[::]" if v6 else "0.0.0.0", HEALTHZ_PORT),  # noqa: S104
        metrics=_listen(values["metricsBindAddress"], "[::1]" if v6 else "127.0.0.1", METRICS_PORT),
        bind_hard_fail=values["bindAddressHardFail"],
        profiling=values["enableProfiling"],
        kubeconfig=values["clientConnection.kubeconfig"],
        qps=values["clientConnection.qps"],
        burst=values["clientConnection.burst"],
        cluster_cidrs=_cidrs(values["clusterCIDR"]),
        local_mode=values["detectLocalMode"] or LOCAL_MODES[0],
        bridge=values["detectLocal.bridgeInterface"],
        prefix=values["detectLocal.interfaceNamePrefix"],
        node_port_addresses=tuple(addresses) if addresses else (PRIMARY,) if mode == NFTABLES else (),
        oom_score=values["oomScoreAdj"],
        masquerade_bit=values[f"{NFTABLES if mode == NFTABLES else IPTABLES}.masqueradeBit"],
        masquerade_all=values[f"{NFTABLES if mode == NFTABLES else IPTABLES}.masqueradeAll"],
        localhost_node_ports=values["iptables.localhostNodePorts"] is not False,
        sync_period=values[f"{own}.syncPeriod"],
        min_sync_period=values[f"{own}.minSyncPeriod"],
        conntrack=Conntrack(
            max_per_core=values["conntrack.maxPerCore"],
            min=values["conntrack.min"],
            tcp_established=values["conntrack.tcpEstablishedTimeout"],
            tcp_close_wait=values["conntrack.tcpCloseWaitTimeout"],
            udp=values["conntrack.udpTimeout"],
            udp_stream=values["conntrack.udpStreamTimeout"],
            liberal=values["conntrack.tcpBeLiberal"],
        ),
        log_format=values["logging.format"],
        verbosity=values["logging.verbosity"],
        scheduler=values["ipvs.scheduler"] or "rr",
        ipvs_excluded=tuple(values["ipvs.excludeCIDRs"]),
    )


def _listen(text: str | None, host: str, port: int) -> Address | None:
    if text == "":
        return None
    return socket_address(text if text is not None else f"{host}:{port}", port)


def _cidrs(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


# --- what is wrong


def mistakes_of(values: Values) -> Iterator[str]:
    """Of the sections nftables and ipvs that of the mode counts, iptables always, as in kube-proxy."""
    others = tuple(f"{mode}." for mode in (NFTABLES, IPVS) if mode != values["mode"])
    for path, check in _CHECKS:
        said = "" if path.startswith(others) else check(values[path], values)
        if said:
            yield f"{path}: {said}"
    for mode in (IPTABLES, NFTABLES, IPVS):
        if f"{mode}." in others:
            continue
        period, least = values[f"{mode}.syncPeriod"], values[f"{mode}.minSyncPeriod"]
        if period > 0 and least > period:
            yield f"{mode}.syncPeriod: must not be shorter than {mode}.minSyncPeriod"


def _one_of(*words: str) -> Callable[[Any, Values], str]:
    return lambda value, _: "" if value in ("", *words) else f"{value!r} is none of {', '.join(words)}"


def _between(least: int, most: int) -> Callable[[Any, Values], str]:
    return lambda value, _: "" if least <= value <= most else f"must be {least} to {most}, and is {value}"


def _least(least: float, *, above: bool = False) -> Callable[[Any, Values], str]:
    words = f"must be greater than {least:g}" if above else f"must be {least:g} or more"
    return lambda value, _: "" if value > least or (value == least and not above) else words


def _address(value: Any, _: Values) -> str:
    try:
        ip_address(value)
    except ValueError:
        return f"{value!r} is not an IP address"
    return ""


def _socket(port: int) -> Callable[[Any, Values], str]:
    def check(value: Any, _: Values) -> str:
        try:
            _listen(value, "0.0.0.0", port)  # noqa: S104
        except ValueError as error:
            return str(error)
        return ""

    return check


def _pods(value: str, _: Values) -> str:
    ranges = _cidrs(value)
    wrong = [text for text in ranges if network_of(text) is None]
    if wrong:
        return f"{', '.join(map(repr, wrong))}: not a range such as 10.244.0.0/16"
    if len(ranges) > 2 or any(len([*of_family(ranges, family)]) > 1 for family in (IPV4, IPV6)):
        return "must be one range, or two of different families"
    return ""


def _node_ports(value: Any, _: Values) -> str:
    if not value or tuple(value) == (PRIMARY,):
        return ""
    if PRIMARY in value:
        return "primary cannot be combined with ranges"
    wrong = [text for text in value if network_of(text) is None]
    return f"{', '.join(map(repr, wrong))}: not a range such as 192.0.2.0/24" if wrong else ""


def _port_range(value: Any, _: Values) -> str:
    """As `first-last`, `first+more` or one port; nothing uses it, and kube-proxy reads it."""
    found = re.fullmatch(r"([0-9]{1,5})(?:([-+])([0-9]{1,5}))?", value.strip())
    if found is not None:
        first, last = int(found[1]), int(found[3] or found[1])
        last += first if found[2] == "+" else 0
    if value.strip() and (found is None or not first <= last < 65536):
        return f"{value!r} is not a port range such as 300-2000"
    return ""


def _version(value: Any, _: Values) -> str:
    return (
        "" if re.fullmatch(r"(?:\d+\.\d+)?", value, re.ASCII) else f"{value!r} is not a version such as 1.35"
    )


def _ranges(value: Any, _: Values) -> str:
    wrong = [text for text in value if network_of(text) is None]
    return f"{', '.join(map(repr, wrong))}: not a range" if wrong else ""


def _named_for(mode: str) -> Callable[[Any, Values], str]:
    return lambda value, values: (
        "must be given for this detectLocalMode" if values["detectLocalMode"] == mode and not value else ""
    )


_CHECKS: tuple[tuple[str, Callable[[Any, Values], str]], ...] = (
    ("mode", _one_of(*MODES)),
    ("bindAddress", _address),
    ("healthzBindAddress", _socket(HEALTHZ_PORT)),
    ("metricsBindAddress", _socket(METRICS_PORT)),
    ("clientConnection.burst", _least(0)),
    ("configSyncPeriod", _least(0, above=True)),
    ("clusterCIDR", _pods),
    ("detectLocalMode", _one_of(*LOCAL_MODES)),
    ("detectLocal.bridgeInterface", _named_for("BridgeInterface")),
    ("detectLocal.interfaceNamePrefix", _named_for("InterfaceNamePrefix")),
    ("nodePortAddresses", _node_ports),
    ("oomScoreAdj", _between(-1000, 1000)),
    ("iptables.masqueradeBit", _between(0, 31)),
    ("nftables.masqueradeBit", _between(0, 31)),
    ("iptables.syncPeriod", _least(0, above=True)),
    ("iptables.minSyncPeriod", _least(0)),
    ("nftables.syncPeriod", _least(0, above=True)),
    ("nftables.minSyncPeriod", _least(0)),
    ("ipvs.syncPeriod", _least(0, above=True)),
    ("ipvs.minSyncPeriod", _least(0)),
    ("ipvs.excludeCIDRs", _ranges),
    ("ipvs.tcpTimeout", _least(0)),
    ("ipvs.tcpFinTimeout", _least(0)),
    ("ipvs.udpTimeout", _least(0)),
    ("portRange", _port_range),
    ("showHiddenMetricsForVersion", _version),
    ("conntrack.maxPerCore", _least(0)),
    ("conntrack.min", _least(0)),
    ("conntrack.tcpEstablishedTimeout", _least(0)),
    ("conntrack.tcpCloseWaitTimeout", _least(0)),
    ("conntrack.udpTimeout", _least(0)),
    ("conntrack.udpStreamTimeout", _least(0)),
    ("logging.format", _one_of(*LOG_FORMATS)),
    ("logging.verbosity", _least(0)),
)
