"""How may clients prove who they are?

Flags and the issuers' file: what is understood, and is every mistake told by its path?
"""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bastion.runtime.errors import ConfigError
from bastion.settings.authentication import Authentication, FrontProxy, issuers_of
from bastion.settings.config import serve_config
from bastion.settings.issuer import SIGNING_ALGORITHMS, Issuer
from bastion.settings.issuers import read_configuration
from bastion.settings.sections import Lifetimes

URL = "https://issuer.example.org/realm"
OIDC = ("--oidc-issuer-url", URL, "--oidc-client-id", "bastion", "--oidc-username-prefix", "oidc:")


def asked(*flags: object) -> Authentication:
    return serve_config([*map(str, flags)]).authentication


def mistakes(*flags: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        asked(*flags)
    return caught.value.mistakes


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "ca.crt"
    path.write_text("PEM")
    return path


def test_nothing_is_asked_for() -> None:
    assert asked() == Authentication()


def test_memory_and_audiences() -> None:
    flags = (
        "authentication-token-webhook-cache-ttl",
        "authorization-webhook-cache-authorized-ttl",
        "authorization-webhook-cache-unauthorized-ttl",
    )
    given = serve_config([f"--{flag}={n}s" for n, flag in enumerate(flags)])
    assert given.cache == Lifetimes(0.0, 1.0, 2.0)
    assert serve_config([]).cache == Lifetimes(10.0, 10.0, 10.0)
    assert asked("--api-audiences", "a,b", "--api-audiences=c").audiences == ("a", "b", "c")


def test_the_embedded_api_knows_no_audiences(tmp_path: Path) -> None:
    [line] = mistakes("--manifests", tmp_path, "--api-audiences", "a")
    assert line.startswith("--api-audiences means nothing with --manifests")


# --- certificates


def test_certificates_of_users_and_front_proxies(ca: Path) -> None:
    other = ca.with_name("proxies.crt")
    other.touch()
    flags = (
        *("--client-ca-file", ca, "--requestheader-client-ca-file", other),
        *(
            "--requestheader-username-headers",
            "X-Remote-User,Who",
            "--requestheader-username-headers",
            "Third",
        ),
        *("--requestheader-group-headers=X-Remote-Group", "--requestheader-uid-headers=X-Remote-Uid"),
        *(
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-allowed-names=aggregator, front",
        ),
    )
    found = asked(*flags)
    front = FrontProxy(
        other,
        ("X-Remote-User", "Who", "Third"),
        ("X-Remote-Group",),
        ("X-Remote-Uid",),
        ("X-Remote-Extra-",),
        frozenset(("aggregator", "front")),
    )
    assert found == Authentication(ca, front)
    assert found.authorities == (ca, other)
    assert asked("--client-ca-file", ca).authorities == (ca,)


FRONT = {
    "no header": ((), "needs --requestheader-username-headers"),
    "Authorization": (
        ("--requestheader-username-headers", "Authorization"),
        "'Authorization' is not a header field in which",
    ),
    "Cookie among others": (
        ("--requestheader-username-headers", "X,cookie"),
        "'cookie' is not a header field",
    ),
    "with an underscore": (("--requestheader-username-headers", "X_User"), "'X_User' is not a header field"),
    "with a blank": (("--requestheader-username-headers", "X User"), "'X User' is not a header field"),
    "a group in Host": (
        ("--requestheader-username-headers=X", "--requestheader-group-headers=Host"),
        "group-headers: 'Host'",
    ),
    "a prefix of much else": (
        ("--requestheader-username-headers=X", "--requestheader-extra-headers-prefix=Acc"),
        "prefix: 'Acc'",
    ),
}


@pytest.mark.parametrize(("flags", "said"), FRONT.values(), ids=FRONT)
def test_a_front_proxys_headers_are_its_own(ca: Path, flags: tuple[str, ...], said: str) -> None:
    [line] = mistakes("--requestheader-client-ca-file", ca, *flags)
    assert said in line


def test_flags_that_would_mean_nothing(ca: Path) -> None:
    flags = ("--requestheader-username-headers=X", "--requestheader-allowed-names=a")
    assert [line.split()[0] for line in mistakes(*flags)] == [
        "--requestheader-username-headers",
        "--requestheader-allowed-names",
    ]


@pytest.mark.parametrize(
    "flag",
    ["--client-ca-file", "--requestheader-client-ca-file", "--oidc-ca-file", "--authentication-config"],
)
def test_a_file_that_is_not_there(flag: str, tmp_path: Path) -> None:
    lines = mistakes(
        flag, tmp_path / "none", "--requestheader-username-headers=X", *(OIDC if "oidc" in flag else ())
    )
    assert f"{flag}: {tmp_path / 'none'}: no such file" in lines


# --- an issuer by flags


def test_an_issuer_with_all_of_its_rules(ca: Path) -> None:
    rules = (
        *("--oidc-username-claim", "email", "--oidc-groups-claim", "roles", "--oidc-groups-prefix", "g:"),
        *(
            "--oidc-required-claim",
            "hd=x.org",
            "--oidc-required-claim",
            "a=b=c",
            "--oidc-ca-file",
            ca,
            "--oidc-signing-algs",
            "RS512,ES256",
        ),
    )
    wanted = (("hd", "x.org"), ("a", "b=c"))
    issuer = Issuer(
        URL, ("bastion",), "oidc:", "email", "roles", "g:", wanted, "PEM", frozenset(("RS512", "ES256"))
    )
    assert asked(*OIDC, *rules).issuers == (issuer,)
    assert (asked(*OIDC).clock_skew, asked(*OIDC, "--oidc-clock-skew", "2m").clock_skew) == (30, 120)
    assert asked(*OIDC).issuers == (Issuer(URL, ("bastion",), "oidc:", algorithms=frozenset(("RS256",))),)


OIDC_MISTAKES = {
    "no prefix": (OIDC[:4], "need --oidc-username-prefix"),
    "a prefix that is none": ((*OIDC[:4], "--oidc-username-prefix", "-"), "`-` (none) is not allowed"),
    "Kubernetes' prefix": (
        (*OIDC[:4], "--oidc-username-prefix", "system:"),
        "'system:' is reserved for Kubernetes",
    ),
    "Kubernetes' prefix of groups": (
        (*OIDC, "--oidc-groups-prefix", "system:x:"),
        "--oidc-groups-prefix: 'system:x:' is",
    ),
    "no issuer": (OIDC[2:], "need --oidc-issuer-url"),
    "no client": ((*OIDC[:2], *OIDC[4:]), "need --oidc-client-id"),
    "clocks an hour apart": ((*OIDC, "--oidc-clock-skew", "1h"), "--oidc-clock-skew: more than 300s"),
    "a required claim alone": (("--oidc-required-claim=a=b",), "need --oidc-issuer-url"),
}


@pytest.mark.parametrize(("flags", "said"), OIDC_MISTAKES.values(), ids=OIDC_MISTAKES)
def test_an_issuer_that_is_not_well_described(flags: tuple[str, ...], said: str) -> None:
    assert any(said in line for line in mistakes(*flags))


GOOD_URLS = [
    URL,
    "https://issuer",
    "https://issuer:8443/",
    "http://127.0.0.1:8080",
    "http://localhost/x",
    "http://[::1]:80/x",
    "http://127.9.9.9",
]
BAD_URLS = [
    "http://issuer.example.org",
    "http://127.0.0.1.example.org",
    "http://10.0.0.1",
    "https://user@issuer",
    "https://user:secret@issuer",
    "https://issuer?x=y",
    "https://issuer?",
    "https://issuer#x",
    "https://",
    "https://[::1",
    "issuer",
    "file:///etc/passwd",
    "ftp://issuer",
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_an_issuers_url(url: str) -> None:
    assert asked("--oidc-issuer-url", url, *OIDC[2:]).issuers[0].url == url


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_is_none_of_an_issuer(url: str) -> None:
    [line] = mistakes("--oidc-issuer-url", url, *OIDC[2:])
    assert line.startswith("--oidc-issuer-url: ")


@pytest.mark.parametrize(
    "value", ["HS256", "none", "RS256,none", "RS256,HS256", "rs256", "PS256", "EdDSA", "", ","]
)
def test_only_algorithms_with_a_public_key(value: str) -> None:
    [line] = mistakes("--oidc-signing-algs", value)
    assert line.startswith("--oidc-signing-algs: ")
    assert "is not one of RS256, RS384" in line or "is not a list with a name in it" in line


@pytest.mark.parametrize("value", ["hd", "=x", ""])
def test_a_required_claim_has_a_name_and_a_value(value: str) -> None:
    [line] = mistakes("--oidc-required-claim", value)
    assert line.endswith("is not claim=value")


# --- issuers by file

ONE: dict[str, Any] = {
    "issuer": {
        "url": URL,
        "certificateAuthority": "PEM",
        "audiences": ["a", "b"],
        "audienceMatchPolicy": "MatchAny",
    },
    "claimMappings": {
        "username": {"claim": "email", "prefix": "oidc:"},
        "groups": {"claim": "roles", "prefix": ""},
    },
    "claimValidationRules": [{"claim": "hd", "requiredValue": "x.org"}],
}
TWO: dict[str, Any] = {
    "issuer": {"url": "https://two.example.org", "audiences": ["c"]},
    "claimMappings": {"username": {"claim": "sub", "prefix": "two:"}},
}


def document(*entries: Any, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": list(entries),
    } | more


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_file_of_issuers(tmp_path: Path, version: str) -> None:
    path = tmp_path / "authentication.yaml"
    path.write_text(yaml.safe_dump(document(ONE, TWO, apiVersion=f"apiserver.config.k8s.io/{version}")))
    algorithms = frozenset(SIGNING_ALGORITHMS)
    one = Issuer(URL, ("a", "b"), "oidc:", "email", "roles", "", (("hd", "x.org"),), "PEM", algorithms)
    two = Issuer("https://two.example.org", ("c",), "two:", "sub", algorithms=algorithms)
    assert asked("--authentication-config", path).issuers == (one, two)


def test_a_file_and_flags_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "authentication.yaml"
    path.write_text(yaml.safe_dump(document(ONE)))
    [line] = mistakes("--authentication-config", path, *OIDC)
    assert "exclude each other" in line


NOWHERE = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """The document with something else at a dotted path; NOWHERE takes it away."""
    made = copy.deepcopy(document(ONE, TWO))
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    at: Any = made
    for part in above:
        at = at[part]
    if value is NOWHERE:
        del at[last]
    else:
        at[last] = value
    return made


FIELD = "unknown field, or not supported here"
WRONG = [
    ("apiVersion", "apiserver.config.k8s.io/v1alpha1", "apiVersion: must be"),
    ("kind", "Config", "kind: must be AuthenticationConfiguration"),
    ("anonymous", {"enabled": True}, f"anonymous: {FIELD}"),
    ("jwt", [], "jwt: must be a list that is not empty"),
    ("jwt", {}, "jwt: must be a list that is not empty"),
    ("jwt.0", "x", "jwt[0]: must be an object"),
    ("jwt.0.userValidationRules", [], f"jwt[0].userValidationRules: {FIELD}"),
    ("jwt.0.issuer", NOWHERE, "jwt[0].issuer: must be an object"),
    ("jwt.0.issuer.discoveryURL", "https://x", f"jwt[0].issuer.discoveryURL: {FIELD}"),
    ("jwt.0.issuer.egressSelectorType", "cluster", f"jwt[0].issuer.egressSelectorType: {FIELD}"),
    ("jwt.0.issuer.url", NOWHERE, "jwt[0].issuer.url: must be a string"),
    ("jwt.0.issuer.url", "http://x", "jwt[0].issuer.url: 'http://x' is not https"),
    ("jwt.1.issuer.url", URL, f"jwt[1].issuer.url: {URL} is there twice"),
    ("jwt.0.issuer.audiences", [], "jwt[0].issuer.audiences: must be a list that is not empty"),
    ("jwt.0.issuer.audiences", "a", "jwt[0].issuer.audiences: must be a list"),
    ("jwt.0.issuer.audiences", ["a", 1], "jwt[0].issuer.audiences: must be strings"),
    ("jwt.0.issuer.audienceMatchPolicy", "MatchAll", "jwt[0].issuer.audienceMatchPolicy: must be MatchAny"),
    ("jwt.0.issuer.certificateAuthority", 1, "jwt[0].issuer.certificateAuthority: must be a string"),
    ("jwt.0.claimMappings", NOWHERE, "jwt[0].claimMappings: must be an object"),
    ("jwt.0.claimMappings.uid", {"claim": "sub"}, f"jwt[0].claimMappings.uid: {FIELD}"),
    ("jwt.0.claimMappings.extra", [], f"jwt[0].claimMappings.extra: {FIELD}"),
    ("jwt.0.claimMappings.username", NOWHERE, "jwt[0].claimMappings.username: must be an object"),
    ("jwt.0.claimMappings.username.expression", "x", f"jwt[0].claimMappings.username.expression: {FIELD}"),
    (
        "jwt.0.claimMappings.username.claim",
        "",
        "jwt[0].claimMappings.username.claim: must be a string that is not empty",
    ),
    (
        "jwt.0.claimMappings.username.prefix",
        "",
        "jwt[0].claimMappings.username.prefix: must be a string that is not empty",
    ),
    (
        "jwt.0.claimMappings.username.prefix",
        NOWHERE,
        "jwt[0].claimMappings.username.prefix: must be a string that is not empty",
    ),
    (
        "jwt.0.claimMappings.username.prefix",
        "-",
        "jwt[0].claimMappings.username.prefix: a prefix is mandatory",
    ),
    ("jwt.0.claimMappings.username.prefix", "system:", "jwt[0].claimMappings.username.prefix: 'system:' is"),
    ("jwt.0.claimMappings.groups.prefix", "system:", "jwt[0].claimMappings.groups.prefix: 'system:' is"),
    ("jwt.0.claimMappings.groups.claim", NOWHERE, "jwt[0].claimMappings.groups.claim: must be a string"),
    ("jwt.0.claimValidationRules", {}, "jwt[0].claimValidationRules: must be a list"),
    ("jwt.0.claimValidationRules.0.expression", "x", f"jwt[0].claimValidationRules[0].expression: {FIELD}"),
    ("jwt.0.claimValidationRules.0.claim", NOWHERE, "jwt[0].claimValidationRules[0].claim: must be a string"),
    (
        "jwt.0.claimValidationRules.0.requiredValue",
        True,
        "jwt[0].claimValidationRules[0].requiredValue: must be a string",
    ),
]


@pytest.mark.parametrize(("path", "value", "said"), WRONG, ids=[said for *_, said in WRONG])
def test_a_mistake_is_told_by_its_path(path: str, value: Any, said: str) -> None:
    _, lines = read_configuration(yaml.safe_dump(changed(path, value)))
    assert any(line.startswith(said) for line in lines), lines


def test_every_mistake_is_told_at_once() -> None:
    made = changed("jwt.0.issuer.url", "http://x")
    made["jwt"][1]["claimMappings"]["username"]["prefix"] = ""
    made["kind"] = "Config"
    assert len(read_configuration(yaml.safe_dump(made))[1]) == 3


@pytest.mark.parametrize("text", ["", "[]", "x", "1"])
def test_no_object_at_all(text: str) -> None:
    assert "the document: must be an object" in read_configuration(text)[1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not YAML: "),
        ("a: b: c", "not YAML: "),
        ("kind: A\nkind: B", "kind: is there twice"),
        ("jwt:\n- issuer: {url: x, url: y}", "jwt[0].issuer.url: is there twice"),
        ("\0", "not YAML: "),
    ],
)
def test_no_yaml_or_yaml_with_more_than_one_reading(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "authentication.yaml"
    path.write_text(text)
    [line] = mistakes("--authentication-config", path)
    assert line.startswith(f"--authentication-config: {path}: {why}")


def test_an_authority_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"\xff\xfe")
    (tmp_path / "empty.crt").write_text("\n")  # which would be every authority that the system trusts
    for path in (tmp_path, tmp_path / "ca.crt", tmp_path / "empty.crt"):
        assert mistakes(*OIDC, "--oidc-ca-file", path) == [f"--oidc-ca-file: {path}: cannot be read as text"]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "authentication.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert len(mistakes("--authentication-config", path)) == 1


# --- read again


def test_the_issuers_of_a_file_are_those_of_the_moment(tmp_path: Path) -> None:
    path = tmp_path / "authentication.yaml"
    path.write_text(yaml.safe_dump(document(ONE)))
    settings = asked("--authentication-config", path)
    path.write_text(yaml.safe_dump(document(TWO)))
    assert [issuer.url for issuer in issuers_of(settings)] == [TWO["issuer"]["url"]]
    path.write_text(yaml.safe_dump(changed("jwt.0.issuer.url", "http://x") | {"kind": "Config"}))
    with pytest.raises(
        ValueError, match=r"^kind: must be .*; jwt\[0\]\.issuer\.url: 'http://x' is not https$"
    ):
        issuers_of(settings)


def test_the_authority_of_the_issuer_of_the_flags_is_that_of_the_moment(ca: Path) -> None:
    settings = asked(*OIDC, "--oidc-ca-file", ca)
    ca.write_text("NEW")
    [issuer] = issuers_of(settings)
    assert issuer == replace(settings.issuers[0], certificate_authority="NEW")
    ca.write_text("")
    with pytest.raises(ValueError, match="empty"):
        issuers_of(settings)
    assert issuers_of(asked(*OIDC)) == asked(*OIDC).issuers
