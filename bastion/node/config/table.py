"""· The fields of a KubeProxyConfiguration: one row each, with the flag of kube-proxy that says the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bastion.node.config.values import (
    ANYTHING,
    BOOLEAN,
    DURATION,
    GATES,
    INTEGER,
    NUMBER,
    TEXT,
    TEXTS,
    Kind,
)

ANYWHERE = "0.0.0.0"  # noqa: S104


@dataclass(frozen=True, slots=True)
class Field:
    """`honoured` is False for what is accepted and changes nothing here."""

    path: str
    kind: Kind
    default: Any
    flag: str = ""
    help: str = ""
    honoured: bool = True


FIELDS = (
    Field("mode", TEXT, "", "proxy-mode", "nftables, iptables (the default), userspace or ipvs"),
    Field("hostnameOverride", TEXT, "", "hostname-override", "this node's name; default the host's name"),
    Field(
        "bindAddress",
        TEXT,
        ANYWHERE,
        "bind-address",
        "the node's primary address; nothing is bound there",
    ),
    Field(
        "healthzBindAddress", TEXT, None, "healthz-bind-address", "/healthz and /livez; default 0.0.0.0:10256"
    ),
    Field(
        "metricsBindAddress",
        TEXT,
        None,
        "metrics-bind-address",
        "/metrics, /proxyMode; default 127.0.0.1:10249",
    ),
    Field(
        "bindAddressHardFail", BOOLEAN, False, "bind-address-hard-fail", "end where a port cannot be bound"
    ),
    Field("enableProfiling", BOOLEAN, False, "profiling", "/debug/pprof/ on the metrics port: stacks"),
    Field(
        "showHiddenMetricsForVersion", TEXT, "", "show-hidden-metrics-for-version", "accepted", honoured=False
    ),
    Field(
        "clientConnection.kubeconfig",
        TEXT,
        "",
        "kubeconfig",
        "how the API server is reached; default from the pod",
    ),
    Field("clientConnection.acceptContentTypes", TEXT, "", honoured=False),
    Field(
        "clientConnection.contentType",
        TEXT,
        "",
        "kube-api-content-type",
        "accepted; JSON is read",
        honoured=False,
    ),
    Field("clientConnection.qps", NUMBER, 5, "kube-api-qps", "calls to the API server a second"),
    Field("clientConnection.burst", INTEGER, 10, "kube-api-burst", "calls to the API server at once"),
    Field(
        "configSyncPeriod",
        DURATION,
        900.0,
        "config-sync-period",
        "accepted; a watch needs no resync",
        honoured=False,
    ),
    Field("clusterCIDR", TEXT, "", "cluster-cidr", "addresses of pods, one range of each family by comma"),
    Field(
        "detectLocalMode",
        TEXT,
        "",
        "detect-local-mode",
        "ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix",
    ),
    Field("detectLocal.bridgeInterface", TEXT, "", "pod-bridge-interface", "where pods come in, by its name"),
    Field(
        "detectLocal.interfaceNamePrefix",
        TEXT,
        "",
        "pod-interface-name-prefix",
        "what pods' interfaces begin with",
    ),
    Field(
        "nodePortAddresses",
        TEXTS,
        None,
        "nodeport-addresses",
        "ranges of addresses that take NodePorts, or primary",
    ),
    Field("oomScoreAdj", INTEGER, -999, "oom-score-adj", "of this process, -1000 to 1000"),
    Field("portRange", TEXT, "", "proxy-port-range", "accepted", honoured=False),
    Field("featureGates", GATES, {}, "feature-gates", "accepted", honoured=False),
    Field("windowsRunAsService", BOOLEAN, False, honoured=False),
    Field("iptables.masqueradeBit", INTEGER, 14, "iptables-masquerade-bit", "bit of the mark, 0 to 31"),
    Field(
        "iptables.masqueradeAll", BOOLEAN, False, "masquerade-all", "masquerade all traffic to cluster IPs"
    ),
    Field(
        "iptables.localhostNodePorts",
        BOOLEAN,
        None,
        "iptables-localhost-nodeports",
        "NodePorts on loopback; default true",
    ),
    Field("iptables.syncPeriod", DURATION, 30.0, "iptables-sync-period", "how often the rules are looked at"),
    Field(
        "iptables.minSyncPeriod", DURATION, 1.0, "iptables-min-sync-period", "least time between two changes"
    ),
    Field("nftables.masqueradeBit", INTEGER, 14, "", "bit of the mark, 0 to 31"),
    Field("nftables.masqueradeAll", BOOLEAN, False),
    Field("nftables.syncPeriod", DURATION, 30.0),
    Field("nftables.minSyncPeriod", DURATION, 1.0),
    Field("ipvs.scheduler", TEXT, "", "ipvs-scheduler", "of virtual servers; default rr"),
    Field("ipvs.excludeCIDRs", TEXTS, (), "ipvs-exclude-cidrs", "virtual servers that stay"),
    Field("ipvs.strictARP", BOOLEAN, False, "ipvs-strict-arp", "accepted", honoured=False),
    Field("ipvs.syncPeriod", DURATION, 30.0, "ipvs-sync-period", "how often the rules are looked at"),
    Field("ipvs.minSyncPeriod", DURATION, 0.0, "ipvs-min-sync-period", "least time between two changes"),
    Field("ipvs.tcpTimeout", DURATION, 0.0, "ipvs-tcp-timeout", "accepted", honoured=False),
    Field("ipvs.tcpFinTimeout", DURATION, 0.0, "ipvs-tcpfin-timeout", "accepted", honoured=False),
    Field("ipvs.udpTimeout", DURATION, 0.0, "ipvs-udp-timeout", "accepted", honoured=False),
    Field(
        "conntrack.maxPerCore",
        INTEGER,
        32768,
        "conntrack-max-per-core",
        "tracked connections a core; 0 leaves it",
    ),
    Field("conntrack.min", INTEGER, 131072, "conntrack-min", "at least so many"),
    Field(
        "conntrack.tcpEstablishedTimeout",
        DURATION,
        86400.0,
        "conntrack-tcp-timeout-established",
        "0 leaves it",
    ),
    Field(
        "conntrack.tcpCloseWaitTimeout", DURATION, 3600.0, "conntrack-tcp-timeout-close-wait", "0 leaves it"
    ),
    Field(
        "conntrack.tcpBeLiberal",
        BOOLEAN,
        False,
        "conntrack-tcp-be-liberal",
        "packets out of window are not invalid",
    ),
    Field("conntrack.udpTimeout", DURATION, 0.0, "conntrack-udp-timeout", "0 leaves it"),
    Field("conntrack.udpStreamTimeout", DURATION, 0.0, "conntrack-udp-timeout-stream", "0 leaves it"),
    Field("logging.format", TEXT, "text", "logging-format", "text or json"),
    Field("logging.verbosity", INTEGER, 0, "v", "0 what needs attention, 1 what happens, 4 each call"),
    Field("logging.flushFrequency", ANYTHING, "5s", "log-flush-frequency", "accepted", honoured=False),
    Field("logging.vmodule", ANYTHING, None, "vmodule", "accepted", honoured=False),
    Field("logging.options", ANYTHING, None, honoured=False),
    Field("winkernel", ANYTHING, None, honoured=False),
)
BY_PATH = {field.path: field for field in FIELDS}
BY_FLAG = {field.flag: field for field in FIELDS if field.flag}
SECTIONS = {field.path.partition(".")[0] for field in FIELDS if "." in field.path}
# Flags that say something of a file's fields, too, when there is a file (kube-proxy's own rule).
WITH_FILE = ("hostname-override", "v", "logging-format", "log-flush-frequency", "vmodule")
# Of these a file's zero value means the default: kubeadm writes every field.
ZERO_IS_DEFAULT = {
    "bindAddress",
    "healthzBindAddress",
    "metricsBindAddress",
    "clientConnection.qps",
    "clientConnection.burst",
    "configSyncPeriod",
    "iptables.syncPeriod",
    "iptables.minSyncPeriod",
    "nftables.syncPeriod",
    "nftables.minSyncPeriod",
    "ipvs.syncPeriod",
    "logging.format",
}
LATER = {"masquerade-all": "nftables.masqueradeAll", "iptables-masquerade-bit": "nftables.masqueradeBit"}
