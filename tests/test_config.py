"""What may be asked for, and is every mistake told, all at once?"""

from __future__ import annotations

import argparse
import ipaddress
from pathlib import Path
from typing import Any

import pytest

from bastion.cli.main import build_parser
from bastion.runtime.errors import ConfigError
from bastion.settings import config
from bastion.settings.config import serve_config


def asked(*flags: Any) -> Any:
    return serve_config(build_parser().parse_args(["serve", *map(str, flags)]))


def mistakes(*flags: Any) -> Any:
    with pytest.raises(ConfigError) as caught:
        asked(*flags)
    return caught.value.mistakes


@pytest.fixture
def there(tmp_path: Path) -> Any:
    path = tmp_path / "there"
    path.touch()
    return path


# --- values

DURATIONS = [
    ("0", 0.0),
    ("0s", 0.0),
    ("30s", 30.0),
    ("1.5s", 1.5),
    ("300ms", 0.3),
    ("5m", 300.0),
    ("1h30m", 5400.0),
    ("2h45m10s500ms", 9910.5),
    ("1m1m", 120.0),
]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration_is_read_as_go_reads_it(text: Any, seconds: Any) -> None:
    assert config.duration(text) == pytest.approx(seconds)


BOOLEANS = [
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("1", True),
    ("t", True),
    ("false", False),
    ("False", False),
    ("0", False),
    ("F", False),
]


@pytest.mark.parametrize(("text", "value"), BOOLEANS)
def test_a_boolean_is_read_as_go_reads_it(text: Any, value: Any) -> None:
    assert config.boolean(text) is value


NUMBERS = [
    (config.port, "0", 0),
    (config.port, "65535", 65535),
    (config.port, "080", 80),
    (config.count, "0", 0),
    (config.count, "512", 512),
    (config.positive, "1", 1),
    (config.positive, "32", 32),
    (config.address, "127.0.0.1", "127.0.0.1"),
    (config.address, "::", "::"),
    (config.address, "0:0:0:0:0:0:0:1", "::1"),
    (config.resources, "", frozenset()),
    (config.resources, "nodes", frozenset(["nodes"])),
    (config.resources, "pods,services,,nodes,pods", frozenset(["pods", "services", "nodes"])),
    (config.network, "10.0.0.0/8", ipaddress.ip_network("10.0.0.0/8")),
    (config.network, "10.0.0.1", ipaddress.ip_network("10.0.0.1/32")),
    (config.network, "fd00::/8", ipaddress.ip_network("fd00::/8")),
]


@pytest.mark.parametrize(("kind", "text", "value"), NUMBERS)
def test_a_number_or_an_address_is_read(kind: Any, text: Any, value: Any) -> None:
    assert kind(text) == value


NONSENSE = [
    *(
        (config.duration, text)
        for text in (
            "",
            "5",
            "-1s",
            "+1s",
            "1 s",
            "1s ",
            "s",
            "1d",
            "1S",
            "1.s",
            ".5s",
            "1e3s",
            "inf",
            "nan",
            "1s\n",
            "١s",
            "5_0s",
            "1s-1s",
        )
    ),
    *((config.boolean, text) for text in ("", "yes", "no", "on", "2", "tru", "true ", "None")),
    *(
        (config.port, text)
        for text in ("", "-1", "+80", "65536", "80.0", "0x50", "8_0", "٨٠", " 80", "80\n", "http")
    ),
    *((config.count, text) for text in ("", "-1", "+1", "1.0", "1_0", "١", " 1", "unlimited")),
    *(
        (config.resources, text)
        for text in ("pod", "Pods", "pods services", "pods, nodes", "*", "pods;nodes")
    ),
    *((config.positive, text) for text in ("", "0", "-1", "+1", "1.0", "1_0", "١", " 1")),
    *(
        (config.address, text)
        for text in ("", "localhost", "127.0.0.1:80", "[::1]", "10.0.0.0/8", "010.0.0.1", "127.1")
    ),
    *(
        (config.network, text)
        for text in (
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/255.0.0.255",
            "localhost",
            "10/8",
            "10.0.0.0/ 8",
        )
    ),
]


@pytest.mark.parametrize(
    ("kind", "text"), NONSENSE, ids=lambda value: repr(value) if isinstance(value, str) else value.__name__
)
def test_nonsense_is_refused_and_quoted(kind: Any, text: Any) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        kind(text)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- flags


def test_what_is_not_said_has_a_default() -> None:
    given = asked()
    serving = given.serving
    assert (
        serving.bind_address,
        serving.port,
        serving.insecure_port,
        serving.workers,
        serving.shutdown_delay,
    ) == (
        "127.0.0.1",
        8443,
        0,
        1,
        0.0,
    )
    assert (serving.certificate, serving.key) == (None, None)
    assert (given.source.kubeconfig, given.source.manifests, given.source.token_file) == (None, (), None)
    assert given.kubelet == config.Kubelet(None, None, None, False)
    assert (given.nodes, given.anonymous, given.allow_targets, given.trusted_proxies, given.verbosity) == (
        False,
        False,
        (),
        (),
        0,
    )


def test_every_flag_arrives_where_it_belongs(there: Path) -> None:
    given = asked(
        *(
            "--bind-address=0.0.0.0",
            "--port=1",
            "--insecure-port=2",
            "--workers=3",
            "--shutdown-delay-duration=4s",
        ),
        *(
            "--tls-cert-file",
            there,
            "--tls-private-key-file",
            there,
            "--token-auth-file",
            there,
            "--manifests",
            there,
            "--manifests",
            there.parent,
        ),
        *(
            "--kubelet-certificate-authority",
            there,
            "--kubelet-client-certificate",
            there,
            "--kubelet-client-key",
            there,
        ),
        *(
            "--allow-target-cidr=10.0.0.0/8",
            "--allow-target-cidr=fd00::/8",
            "--trusted-proxy-cidr=192.0.2.0/24",
        ),
        *("--enable-node-proxy", "--anonymous-auth=true", "-v", "4"),
    )
    assert given.serving == config.Serving("0.0.0.0", 1, 2, there, there, 3, 4.0)
    assert given.source == config.Source(None, (there, there.parent), there)
    assert given.kubelet == config.Kubelet(there, there, there, False)
    assert (given.nodes, given.anonymous, given.verbosity) == (True, True, 4)
    assert list(map(str, given.allow_targets)) == ["10.0.0.0/8", "fd00::/8"]
    assert list(map(str, given.trusted_proxies)) == ["192.0.2.0/24"]


SWITCHES = [
    (["--enable-node-proxy"], True),
    (["--enable-node-proxy=true"], True),
    (["--enable-node-proxy=false"], False),
    (["--enable-node-proxy", "--enable-node-proxy=false"], False),
    (["--enable-node-proxy=false", "--enable-node-proxy"], True),
    ([], False),
]


@pytest.mark.parametrize(("flags", "on"), SWITCHES)
def test_a_switch_may_be_given_a_value(flags: Any, on: Any) -> None:
    assert asked(*flags).nodes is on


CONTRADICTIONS = [
    # flags that contradict each other (FILE is one that is there), what is said, the same without the
    # contradiction
    (
        ["--manifests=FILE", "--kubeconfig=FILE"],
        "--manifests and --kubeconfig exclude each other",
        ["--manifests=FILE"],
    ),
    (
        ["--tls-cert-file=FILE"],
        "--tls-cert-file and --tls-private-key-file belong together",
        ["--tls-cert-file=FILE", "--tls-private-key-file=FILE"],
    ),
    (["--tls-private-key-file=FILE"], "--tls-cert-file and --tls-private-key-file belong together", []),
    (
        ["--kubelet-client-certificate=FILE"],
        "--kubelet-client-certificate and --kubelet-client-key belong together",
        ["--kubelet-client-certificate=FILE", "--kubelet-client-key=FILE"],
    ),
    (
        ["--kubelet-client-key=FILE"],
        "--kubelet-client-certificate and --kubelet-client-key belong together",
        [],
    ),
    (
        ["--kubelet-insecure-skip-tls-verify", "--kubelet-certificate-authority=FILE"],
        "--kubelet-insecure-skip-tls-verify and --kubelet-certificate-authority exclude each other",
        ["--kubelet-insecure-skip-tls-verify=false", "--kubelet-certificate-authority=FILE"],
    ),
    (
        ["--port=8080", "--insecure-port=8080"],
        "--insecure-port and --port must differ",
        ["--port=8080", "--insecure-port=8081"],
    ),
    (
        ["--port=0", "--insecure-port=8443", "--port=8443"],
        "--insecure-port and --port must differ",
        ["--port=0", "--insecure-port=0"],
    ),
]


@pytest.mark.parametrize(
    ("flags", "said", "repaired"),
    CONTRADICTIONS,
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_flags_that_contradict_each_other_are_told(there: Path, flags: Any, said: Any, repaired: Any) -> None:
    def placed(flags: Any) -> Any:
        return [flag.replace("FILE", str(there)) for flag in flags]

    (mistake,) = mistakes(*placed(flags))
    assert mistake.startswith(said)
    asked(*placed(repaired))


PATHS = [
    "--kubeconfig",
    "--manifests",
    "--token-auth-file",
    "--kubelet-certificate-authority",
]


@pytest.mark.parametrize("flag", PATHS)
def test_a_file_that_is_not_there_is_told_by_its_flag(tmp_path: Path, there: Path, flag: Any) -> None:
    none = tmp_path / "none"
    assert mistakes(flag, none) == [f"{flag}: {none}: no such file"]
    asked(flag, there)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    none = tmp_path / "none"
    told = mistakes(
        *(
            "--manifests",
            none,
            "--manifests",
            none / "2",
            "--kubeconfig",
            none,
            "--tls-cert-file",
            none,
            "--kubelet-client-key",
            none,
        ),
        *("--insecure-port=8443", "--token-auth-file", none),
    )
    assert len(told) == len(set(told)) == 4 + 6
    assert sum("no such file" in mistake for mistake in told) == 6
    assert all("\n" not in mistake for mistake in told)


def test_the_error_says_all_of_it_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"exclude each other.*; .*no such file"):
        asked("--manifests", tmp_path, "--kubeconfig", tmp_path / "none")


def test_an_odd_header_may_be_let_through() -> None:
    assert asked("--allow-request-header", "X_Tenant", "--allow-request-header=a.b").allow_headers == (
        "X_Tenant",
        "a.b",
    )


@pytest.mark.parametrize("name", ["X-Tenant", "", "a b", "a:b", "X\u00e4_", "X_A,X_B"])
def test_a_header_that_is_none_or_passes_anyway_is_no_value(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        asked("--allow-request-header", name)
    assert "is no header such as X_Tenant" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["X_Remote_User", "x.forwarded-for", "Content_Length", "X_Acme", "X_More.Scopes"]
)
def test_another_spelling_of_an_identity_is_not_let_through(name: str, there: Path) -> None:
    names = ("--requestheader-username-headers=X-Acme", "--requestheader-extra-headers-prefix=X-More-")
    [line] = mistakes("--requestheader-client-ca-file", there, *names, "--allow-request-header", name)
    assert line.startswith(f"--allow-request-header: a backend could read {name} as")
