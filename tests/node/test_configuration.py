"""kube-proxy's configuration file and flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from bastion.cli.node import run
from bastion.kube.documents import yaml_of
from bastion.node.config.families import mismatches
from bastion.node.config.reading import from_flags, not_honoured, read_file, written
from bastion.node.config.settings import Settings, settings
from bastion.node.config.values import duration, seconds, socket_address
from bastion.runtime.errors import ConfigError

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
KUBEADM = (
    HEAD
    + """bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack: {maxPerCore: null, min: null, tcpBeLiberal: false, tcpCloseWaitTimeout: null,
  tcpEstablishedTimeout: null, udpStreamTimeout: 0s, udpTimeout: 0s}
detectLocal: {bridgeInterface: "", interfaceNamePrefix: ""}
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables: {localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s,
  syncPeriod: 0s}
ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", strictARP: false, syncPeriod: 0s,
  tcpFinTimeout: 0s, tcpTimeout: 0s, udpTimeout: 0s}
logging: {flushFrequency: 0, verbosity: 0,
  options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}}
metricsBindAddress: ""
mode: ""
nftables: {masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s}
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel: {enableDSR: false, forwardHealthCheckVip: false, networkName: "",
  rootHnsEndpointName: "", sourceVip: ""}
"""
)


def made(text: str) -> Settings:
    return settings(read_file(HEAD + text).values, "Host-1")


def test_a_file_that_kubeadm_made_works_unchanged() -> None:
    read = read_file(KUBEADM)
    assert not read.warnings
    found = settings(read.values, "Host-1")
    assert found.mode == "iptables"
    assert found.node == "host-1"
    assert found.healthz == ("0.0.0.0", 10256)
    assert found.metrics == ("127.0.0.1", 10249)
    assert (found.sync_period, found.min_sync_period) == (30.0, 1.0)
    assert (found.qps, found.burst, found.masquerade_bit, found.oom_score) == (5, 10, 14, -999)
    assert found.conntrack.max_per_core == 32768
    assert found.kubeconfig == "/var/lib/kube-proxy/kubeconfig.conf"
    assert not [*not_honoured(read)] or all(
        name.startswith(("winkernel", "logging")) for name in not_honoured(read)
    )


WRONG = {  # the field that is refused, empty where it is taken
    "mode: quantum": "mode",
    "clusterCIDR: 10.244.0.0": "clusterCIDR",
    "clusterCIDR: 10.244.0.0/16,10.245.0.0/16": "clusterCIDR",
    "clusterCIDR: 10.0.0.0/8,fd00::/8,11.0.0.0/8": "clusterCIDR",
    "configSyncPeriod: soon": "configSyncPeriod",
    "configSyncPeriod: 5": "configSyncPeriod",
    "detectLocalMode: Guess": "detectLocalMode",
    "detectLocalMode: BridgeInterface": "detectLocal.bridgeInterface",
    "detectLocalMode: InterfaceNamePrefix": "detectLocal.interfaceNamePrefix",
    "metricsBindAddress: host:1": "metricsBindAddress",
    "healthzBindAddress: 1.2.3.4:99999": "healthzBindAddress",
    "bindAddress: localhost": "bindAddress",
    "nodePortAddresses: [172.30.0.11]": "nodePortAddresses",
    "nodePortAddresses: [primary, 10.0.0.0/8]": "nodePortAddresses",
    "nodePortAddresses: 10.0.0.0/8": "nodePortAddresses",
    "oomScoreAdj: -1001": "oomScoreAdj",
    "oomScoreAdj: '5'": "oomScoreAdj",
    "conntrack: {maxPerCore: -1}": "conntrack.maxPerCore",
    "conntrack: {udpTimeout: -1s}": "conntrack.udpTimeout",
    "conntrack: 5": "conntrack",
    "mode: nftables\nnftables: {masqueradeBit: 32}": "nftables.masqueradeBit",
    "iptables: {masqueradeBit: -1}": "iptables.masqueradeBit",
    "mode: nftables\niptables: {minSyncPeriod: -1s}": "iptables.minSyncPeriod",
    "iptables: {syncPeriod: 1s, minSyncPeriod: 5s}": "iptables.syncPeriod",
    "mode: nftables\nnftables: {syncPeriod: -1s}": "nftables.syncPeriod",
    "mode: nftables\nnftables: {syncPeriod: 1s, minSyncPeriod: 5s}": "nftables.syncPeriod",
    "mode: ipvs\nipvs: {excludeCIDRs: [x]}": "ipvs.excludeCIDRs",
    "mode: ipvs\nipvs: {udpTimeout: -1s}": "ipvs.udpTimeout",
    "portRange: '300'": "",
    "portRange: 300-2000": "",
    "portRange: 300+20": "",
    "portRange: 2000-300": "portRange",
    "portRange: 65000+1000": "portRange",
    "portRange: many": "portRange",
    "showHiddenMetricsForVersion: '1.35'": "",
    "showHiddenMetricsForVersion: old": "showHiddenMetricsForVersion",
    # a section of another mode is not looked at, that of iptables excepted
    "mode: iptables\nnftables: {masqueradeBit: 32, syncPeriod: -1s}": "",
    "mode: nftables\nipvs: {excludeCIDRs: [x], syncPeriod: -1s}": "",
    "clientConnection: {burst: -1}": "clientConnection.burst",
    "enableProfiling: 'yes'": "enableProfiling",
    "logging: {format: xml}": "logging.format",
}


@pytest.mark.parametrize("text", [text for text, path in WRONG.items() if not path])
def test_what_looks_wrong_and_is_not(text: str) -> None:
    made(text)


@pytest.mark.parametrize("text", [text for text, path in WRONG.items() if path])
def test_what_is_wrong_is_refused_with_its_path(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        made(text)
    assert [mistake.partition(":")[0] for mistake in caught.value.mistakes] == [WRONG[text]]


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        made("mode: quantum\noomScoreAdj: 2000\nclusterCIDR: x\n")
    assert len(caught.value.mistakes) == 3


@pytest.mark.parametrize(
    "text",
    [
        "mode: nftables\n",
        "apiVersion: kubeproxy.config.k8s.io/v1\nkind: KubeProxyConfiguration\n",
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeletConfiguration\n",
        "{: [",
        "- a list\n",
        "",
        HEAD + "---\n" + HEAD,
    ],
)
def test_what_is_no_such_file_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_file(text)


def test_a_bastion_configuration_has_the_same_below_node() -> None:
    head = "apiVersion: bastion.dev/v1alpha1\nkind: BastionConfiguration\n"
    read = read_file(f"{head}serving: {{port: 8443}}\nnode: {{mode: nftables, oomScoreAdj: 5}}\n")
    assert not read.warnings
    assert read.named == {"mode", "oomScoreAdj"}
    assert read_file(head).named == frozenset()
    with pytest.raises(ConfigError):
        read_file(f"{head}node: []\nother: 1\nnode: 5\n")


def test_an_unknown_or_doubled_field_is_only_warned_about() -> None:
    read = read_file(
        HEAD + "unknownField: 1\nnftables: {masqueradeBits: 3}\nmode: nftables\nmode: iptables\n"
    )
    assert read.values["mode"] == "iptables"
    assert [warning.partition(":")[0] for warning in read.warnings] == [
        "mode",
        "unknownField",
        "nftables.masqueradeBits",
    ]


def test_what_changes_nothing_is_named() -> None:
    read = read_file(HEAD + "portRange: 1-2\nenableProfiling: true\nmode: nftables\n")
    assert [*not_honoured(read)] == ["portRange"]


def test_flags_say_the_same_and_hold_for_both_modes() -> None:
    given = {"proxy-mode": "nftables", "masquerade-all": "true", "healthz-port": "0", "metrics-port": "9"}
    read = from_flags({**given, "iptables-masquerade-bit": "5", "nodeport-addresses": "10.0.0.0/8,fd00::/8"})
    found = settings(read.values, "n")
    assert (found.mode, found.masquerade_all, found.masquerade_bit) == ("nftables", True, 5)
    assert (found.healthz, found.metrics) == (None, ("127.0.0.1", 9))
    assert found.node_port_addresses == ("10.0.0.0/8", "fd00::/8")
    with pytest.raises(ConfigError) as caught:
        from_flags({"oom-score-adj": "x", "config-sync-period": "soon"})
    assert len(caught.value.mistakes) == 2


def test_node_ports_are_on_primary_addresses_in_nftables_mode_alone() -> None:
    assert made("mode: nftables").node_port_addresses == ("primary",)
    assert made("mode: iptables").node_port_addresses == ()
    assert made("").healthz == ("0.0.0.0", 10256)
    assert made("bindAddress: '::'").healthz == ("::", 10256)
    assert made("healthzBindAddress: 1.2.3.4").healthz == ("1.2.3.4", 10256)


MISMATCHES = {  # the configuration, podCIDRs, whether the node has both families: what is said, is it fatal
    "nothing": ("clusterCIDR: 10.244.0.0/16\nnodePortAddresses: [primary]\n", (), False, []),
    "one of two fits": (
        "clusterCIDR: 'fd44::/16,10.244.0.0/16'\nnodePortAddresses: [primary]\n",
        (),
        False,
        [],
    ),
    "pods of the other family": (
        "clusterCIDR: fd44::/16\nnodePortAddresses: [primary]\n",
        (),
        True,
        [("clusterCIDR", False)],
    ),
    "and there is but one": (
        "clusterCIDR: fd44::/16\nnodePortAddresses: [primary]\n",
        (),
        False,
        [("clusterCIDR", True)],
    ),
    "the Node's ranges of the other family": (
        "detectLocalMode: NodeCIDR\nnodePortAddresses: [primary]\n",
        ("fd44:1::/64",),
        True,
        [("spec.podCIDRs", True)],
    ),
    "NodePorts of the other family": (
        "nodePortAddresses: ['fd30::/64']\n",
        (),
        True,
        [("nodePortAddresses", False)],
    ),
    "NodePorts at every address": ("clusterCIDR: ''\n", (), True, [("nodePortAddresses: unset", False)]),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_what_does_not_fit_the_nodes_family_is_said(name: str) -> None:
    text, cidrs, both, expected = MISMATCHES[name]
    found = [*mismatches(made(text), "IPv4", cidrs, both=both)]
    assert [fatal for _, fatal in found] == [fatal for _, fatal in expected]
    assert all(said.startswith(words) for (said, _), (words, _) in zip(found, expected, strict=True)), found


def test_what_is_written_reads_the_same() -> None:
    read = from_flags({"proxy-mode": "nftables", "nodeport-addresses": "primary"})
    text = yaml_of(written(read.values))
    assert read_file(text).values == read.values
    assert "syncPeriod: 30s" in text
    assert not read_file(text).warnings


@pytest.mark.parametrize(
    ("text", "value", "back"),
    [
        ("30s", 30.0, "30s"),
        ("15m", 900.0, "15m0s"),
        ("10ms", 0.01, "10ms"),
        ("1h30m", 5400.0, "1h30m0s"),
        ("-1s", -1.0, "-1s"),
        ("1.5s", 1.5, "1.5s"),
        ("0", 0.0, "0s"),
        ("24h0m0s", 86400.0, "24h0m0s"),
    ],
)
def test_durations(text: str, value: float, back: str) -> None:
    assert seconds(text) == pytest.approx(value)
    assert duration(value) == back


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "1d", "١s", "1h-2m", "1_0s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[::]:1", ("::", 1)),
        ("::1", ("::1", 9)),
        ("[fd00::1]", ("fd00::1", 9)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("127.0.0.1", ("127.0.0.1", 9)),
        ("host:1", None),
        ("127.0.0.1:0", None),
        ("127.0.0.1:", None),
        ("[::1]x", None),
        ("127.0.0.1:65536", None),
    ],
)
def test_addresses_with_a_port(text: str, found: tuple[str, int] | None) -> None:
    if found is None:
        with pytest.raises(ValueError, match="not"):
            socket_address(text, 9)
    else:
        assert socket_address(text, 9) == found


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--cluster_cidr=10.0.0.0/8", "--masquerade-all", "-v", "4"], 0, "clusterCIDR: 10.0.0.0/8"),
        (["--oom-score-adj=abc"], 1, "--oom-score-adj"),
        (["--config={file}", "--oom-score-adj=abc"], 1, "--oom-score-adj"),
        (["--config={file}", "--oom-score-adj=5", "--hostname-override=n_1"], 0, "hostnameOverride: n_1"),
        (["--config={file}", "stray"], 1, "stray"),
    ],
)
def test_the_command_line(
    words: list[str], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "config", tmp_path / "written"
    file.write_text(HEAD + "mode: nftables\n")
    given = [word.format(file=file) for word in words]
    try:
        found = run([*given, f"--write-config-to={out}"])
    except SystemExit as ended:
        found = int(str(ended.code))
    assert found == status
    assert said in (out.read_text() if status == 0 else capsys.readouterr().err)
