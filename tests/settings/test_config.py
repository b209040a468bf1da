"""What may be asked for, and is every mistake told, all at once?"""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bastion.kube import values
from bastion.runtime.errors import ConfigError
from bastion.settings import kinds, sections, targets
from bastion.settings.config import Config, serve_config


def asked(*flags: object) -> Config:
    return serve_config([*map(str, flags)])


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
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert values.duration(text) == pytest.approx(seconds)


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
def test_a_boolean_is_read_as_go_reads_it(text: str, value: bool) -> None:
    assert values.boolean(text) is value


NUMBERS = [
    (kinds.port, "0", 0),
    (kinds.port, "65535", 65535),
    (kinds.port, "080", 80),
    (kinds.count, "0", 0),
    (kinds.count, "512", 512),
    (kinds.positive, "1", 1),
    (kinds.positive, "32", 32),
    (kinds.address, "127.0.0.1", "127.0.0.1"),
    (kinds.address, "::", "::"),
    (kinds.address, "0:0:0:0:0:0:0:1", "::1"),
    (sections.RESOURCES.of_variable, "", frozenset()),
    (sections.RESOURCES.of_variable, "nodes", frozenset(["nodes"])),
    (sections.RESOURCES.of_variable, "pods,services,,nodes,pods", frozenset(["pods", "services", "nodes"])),
    (kinds.network, "10.0.0.0/8", ipaddress.ip_network("10.0.0.0/8")),
    (kinds.network, "10.0.0.1", ipaddress.ip_network("10.0.0.1/32")),
    (kinds.network, "fd00::/8", ipaddress.ip_network("fd00::/8")),
]


@pytest.mark.parametrize(("kind", "text", "value"), NUMBERS)
def test_a_number_or_an_address_is_read(kind: Any, text: Any, value: Any) -> None:
    assert kind(text) == value


NONSENSE = [
    *(
        (values.duration, text)
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
    *((values.boolean, text) for text in ("", "yes", "no", "on", "2", "tru", "true ", "None")),
    *(
        (kinds.port, text)
        for text in ("", "-1", "+80", "65536", "80.0", "0x50", "8_0", "٨٠", " 80", "80\n", "http")
    ),
    *((kinds.count, text) for text in ("", "-1", "+1", "1.0", "1_0", "١", " 1", "unlimited")),
    *((sections.RESOURCES.of_variable, text) for text in ("pod", "Pods", "pods services", "*", "pods;nodes")),
    *((kinds.positive, text) for text in ("", "0", "-1", "+1", "1.0", "1_0", "١", " 1")),
    *(
        (kinds.address, text)
        for text in ("", "localhost", "127.0.0.1:80", "[::1]", "10.0.0.0/8", "010.0.0.1", "127.1")
    ),
    *(
        (kinds.network, text)
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
def test_nonsense_is_refused_and_quoted(kind: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        kind(text)
    assert values.quoted(text) in str(caught.value)
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
    assert (serving.tls_cert_file, serving.tls_private_key_file) == (None, None)
    assert (given.source.kubeconfig, given.source.manifests, given.source.token_file) == (None, (), None)
    assert given.kubelet == targets.Kubelet()
    assert (
        given.targets.node_proxy,
        given.authentication.anonymous,
        given.targets.allow_cidrs,
        given.serving.trusted_proxies,
        given.observing.verbosity,
    ) == (
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
    assert given.serving == sections.Serving(
        "0.0.0.0", 1, 2, there, there, 3, 4.0, trusted_proxies=(ipaddress.ip_network("192.0.2.0/24"),)
    )
    assert given.source == sections.Source(None, (there, there.parent), there)
    assert given.kubelet == targets.Kubelet(there, there, there, False)
    assert (given.targets.node_proxy, given.authentication.anonymous) == (True, True)
    assert given.observing.verbosity == 4
    assert list(map(str, given.targets.allow_cidrs)) == ["10.0.0.0/8", "fd00::/8"]
    assert list(map(str, given.serving.trusted_proxies)) == ["192.0.2.0/24"]


SWITCHES = [
    (["--enable-node-proxy"], True),
    (["--enable-node-proxy=true"], True),
    (["--enable-node-proxy=false"], False),
    (["--enable-node-proxy", "--enable-node-proxy=false"], False),
    (["--enable-node-proxy=false", "--enable-node-proxy"], True),
    ([], False),
]


@pytest.mark.parametrize(("flags", "on"), SWITCHES)
def test_a_switch_may_be_given_a_value(flags: list[str], on: bool) -> None:
    assert asked(*flags).targets.node_proxy is on


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
    assert asked(
        "--allow-request-header", "X_Tenant", "--allow-request-header=a.b"
    ).serving.allow_request_headers == (
        "X_Tenant",
        "a.b",
    )


@pytest.mark.parametrize("name", ["X-Tenant", "", "a b", "a:b", "X\u00e4_", "X_A,X_B"])
def test_a_header_that_is_none_or_passes_anyway_is_no_value(name: str) -> None:
    [line] = mistakes("--allow-request-header", name)
    assert "is not a name such as X_Tenant" in line


@pytest.mark.parametrize(
    "name", ["X_Remote_User", "x.forwarded-for", "Content_Length", "X_Acme", "X_More.Scopes"]
)
def test_another_spelling_of_an_identity_is_not_let_through(name: str, there: Path) -> None:
    names = ("--requestheader-username-headers=X-Acme", "--requestheader-extra-headers-prefix=X-More-")
    [line] = mistakes("--requestheader-client-ca-file", there, *names, "--allow-request-header", name)
    assert line.startswith(f"--allow-request-header: a backend could read {name} as")
