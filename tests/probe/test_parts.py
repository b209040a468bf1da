"""The small decisions: what a body unfolds to, what a certificate says, what a pod declares, who asks."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import brotli
import msgspec
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from bastion.cli.main import main
from bastion.cli.probetable import rows, table
from bastion.kube.endpoint import UNVERIFIED, Endpoint
from bastion.kube.objects import Pod, Service
from bastion.probe.badges import badge_svg
from bastion.probe.declared import declared, is_good
from bastion.probe.decoding import Body, TooLarge, Undecodable
from bastion.probe.httpdates import http_date
from bastion.probe.samples import Samples, exposition
from bastion.probe.sweeper import ProberHealth
from bastion.probe.tlsinfo import distinguished_name, iana_cipher
from bastion.probe.units import seconds, size
from bastion.probe.wanted import wanted

TEXT = b"hello probe " * 100


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    return made.compress(data) + made.flush()


CODED = {
    "": TEXT,
    "identity": TEXT,
    "gzip": gzip.compress(TEXT[:600]) + gzip.compress(TEXT[600:]),
    "deflate": raw_deflate(TEXT),
    "br": brotli.compress(TEXT),
}


@pytest.mark.parametrize("compression", CODED)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_body_is_unfolded_in_pieces(compression: str, step: int) -> None:
    body, data = Body(compression, 0, keep=True), CODED[compression]
    for at in range(0, len(data), step):
        body.feed(data[at : at + step])
    body.end()
    assert (body.content, body.length) == (TEXT, len(TEXT))


@pytest.mark.parametrize("compression", CODED)
def test_it_is_read_up_to_the_limit(compression: str) -> None:
    exact = Body(compression, len(TEXT), keep=False)
    exact.feed(CODED[compression])
    body = Body(compression, 100, keep=True)
    with pytest.raises(TooLarge):
        body.feed(CODED[compression])
    assert body.length == 100


def test_what_comes_before_a_fault_counts() -> None:
    body = Body("deflate", 0, keep=True)
    with pytest.raises(Undecodable):
        body.feed(b"status 500\n")
    assert body.length == 6


@pytest.mark.parametrize(("compression", "at_once"), [("gzip", True), ("deflate", False)])
def test_no_body_at_all(compression: str, at_once: bool) -> None:
    """The exporter reads gzip's head before anything looks at the body."""
    with pytest.raises(Undecodable) as error:
        Body(compression, 0, keep=True).end()
    assert error.value.at_once is at_once


def test_brotli_that_is_cut_short_is_good_as_far_as_it_goes() -> None:
    body = Body("br", 0, keep=True)
    body.feed(brotli.compress(TEXT)[:-3])
    body.end()
    assert TEXT.startswith(body.content)


def test_a_bomb_costs_no_more_than_the_cap() -> None:
    body = Body("gzip", 0, keep=False)
    bomb = gzip.compress(bytes(64 << 20))
    with pytest.raises(TooLarge):
        for at in range(0, len(bomb), 4096):
            body.feed(bomb[at : at + 4096])
    assert body.length == 10 << 20


@pytest.mark.parametrize(
    ("compression", "data"),
    [
        ("gzip", TEXT),
        ("deflate", zlib.compress(TEXT)),
        ("br", TEXT),
        ("gzip", gzip.compress(TEXT)[:-9]),
        ("gzip", b""),
    ],
    ids=["plain", "with zlib's header", "no brotli", "cut", "empty"],
)
def test_what_is_coded_otherwise_fails(compression: str, data: bytes) -> None:
    body = Body(compression, 0, keep=False)
    with pytest.raises(Undecodable):
        body.feed(data)
        body.end()


@pytest.mark.parametrize(
    ("text", "value"), [("1h2m3s", 3723), ("1.5s", 1.5), ("100ms", 0.1), ("-2s", -2), ("0", 0), (".5m", 30)]
)
def test_durations_of_go(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "5", "5d", "s", "5s5", "1 s", "--1s", "5S"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("100B", 100), ("1KB", 1024), ("1.5KiB", 1536), ("2GB", 2 << 30)]
)
def test_sizes(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_the_three_dates_of_http(text: str) -> None:
    assert http_date(text) == 784111777
    assert http_date(text[:-1]) is None


@pytest.mark.parametrize(
    ("name", "iana"),
    [
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
        ("AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"),
    ],
)
def test_ciphers_have_their_registered_names(name: str, iana: str) -> None:
    assert iana_cipher(name) == iana


def test_a_name_as_go_writes_it() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ' a "b", +c#'),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b"),
            x509.NameAttribute(NameOID.COMMON_NAME, "#web "),
        ]
    )
    assert distinguished_name(name) == (
        r"CN=\#web\ ,O=\ a \"b\"\, \+c#,C=XX,1.2.840.113549.1.9.1=#0c03614062"
    )


def test_the_text_has_each_family_once_and_labels_escaped() -> None:
    first, second = Samples(), Samples()
    for samples in (first, second):
        samples.set("probe_success", 1.0)
        samples.set("probe_tls_version_info", 1.0, (("version", 'a"\\\n'),))
    text = exposition([((("pod", "a"),), first), ((("pod", "b"),), second)])
    assert text.count("# TYPE probe_success gauge\n") == 1
    assert 'probe_success{pod="a"} 1\nprobe_success{pod="b"} 1\n' in text
    assert 'version="a\\"\\\\\\n"' in text


# --- what a pod declares


def a_pod(*containers: dict[str, Any]) -> Pod:
    return msgspec.convert({"metadata": {"name": "p"}, "spec": {"containers": list(containers)}}, Pod)


PORTS = {"ports": [{"name": "http", "containerPort": 80}, {"name": "health", "containerPort": 81}]}
HERE = Endpoint("10.0.0.1", 80)


@pytest.mark.parametrize(
    ("probes", "prober", "endpoint", "path"),
    [
        ({}, "tcp", HERE, b"/"),
        ({"readinessProbe": {"exec": {}}}, "tcp", HERE, b"/"),
        ({"readinessProbe": {"httpGet": {"path": "/r?x y", "port": 80}}}, "http", HERE, b"/r?x%20y"),
        (
            {"livenessProbe": {"httpGet": {"path": "l", "port": "health"}}},
            "http",
            Endpoint("10.0.0.1", 81),
            b"/l",
        ),
        (
            {"readinessProbe": {"httpGet": {"port": 80, "scheme": "HTTPS", "host": "evil.test"}}},
            "http",
            Endpoint("10.0.0.1", 80, UNVERIFIED),
            b"/",
        ),
        ({"startupProbe": {"tcpSocket": {"port": "health"}}}, "tcp", Endpoint("10.0.0.1", 81), b"/"),
        ({"readinessProbe": {"grpc": {"port": 82, "service": "s"}}}, "grpc", Endpoint("10.0.0.1", 82), b"/"),
    ],
    ids=str,
)
def test_a_declared_probe(probes: dict[str, Any], prober: str, endpoint: Endpoint, path: bytes) -> None:
    found = declared(a_pod(PORTS | probes), HERE)
    assert (found.module.prober, found.endpoint, found.path) == (prober, endpoint, path)


def test_the_container_with_the_port_is_the_one_that_counts() -> None:
    beside = {"ports": [{"containerPort": 9}], "readinessProbe": {"httpGet": {"path": "/no", "port": 9}}}
    own = PORTS | {
        "readinessProbe": {
            "httpGet": {"path": "/yes", "port": 80},
            "failureThreshold": 5,
            "timeoutSeconds": 2,
        }
    }
    found = declared(a_pod(beside, own), HERE)
    assert (found.path, found.failures, found.successes, found.module.timeout) == (b"/yes", 5, 1, 2.0)
    assert [is_good(status) for status in (199, 200, 399, 400)] == [False, True, True, False]


# --- who asks


def a_service(**annotations: str) -> Service:
    names = {
        name.replace("own", "bastion.dev/probe").replace("_", "-"): value
        for name, value in annotations.items()
    }
    names = {name.replace("folk-", "prometheus.io/"): value for name, value in names.items()}
    return msgspec.convert({"metadata": {"name": "web", "namespace": "a", "annotations": names}}, Service)


@pytest.mark.parametrize(
    ("annotations", "target", "module", "interval"),
    [
        ({"own": "true"}, "services/a/web", "declared", 0),
        ({"own": "true", "own_path": "/x", "own_port": "http"}, "services/a/web:http/x", "http_2xx", 0),
        ({"own": "true", "own_path": "x"}, "services/a/web/x", "http_2xx", 0),
        ({"own": "true", "own_module": "m", "own_interval": "5s"}, "services/a/web", "m", 5),
        ({"own": "true", "own_interval": "1ms"}, "services/a/web", "declared", 1),
        ({"folk_probe": "true", "folk_port": "80"}, "services/a/web:80", "http_2xx", 0),
        (
            {"folk_probe": "true", "folk_port": "80", "folk_scheme": "https"},
            "services/a/https:web:80",
            "http_2xx",
            0,
        ),
        ({"own": "false", "folk_probe": "true"}, None, "", 0),
        ({"own": "yes"}, None, "", 0),
        ({"own": "true", "own_path": "/a b"}, None, "", 0),
        ({"own": "true", "own_port": "a/../../b:c"}, "services/a/web", "declared", 0),
        ({"own": "true", "own_interval": "soon"}, "services/a/web", "declared", 0),
        ({}, None, "", 0),
    ],
    ids=str,
)
def test_what_asks(annotations: dict[str, str], target: str | None, module: str, interval: float) -> None:
    found = wanted("Service", a_service(**annotations))
    assert (found and (found.target.text, found.module, found.interval)) == (
        (target, module, interval) if target else None
    )


def test_a_prober_that_reaches_nothing_any_more_is_broken() -> None:
    health = ProberHealth()
    for n in range(20):
        assert not health.note(f"t{n % 6}", reached=False)  # it never could: they may all be down
    health.note("t0", reached=True)
    for n in range(19):
        health.note(f"t{n % 6}", reached=False)
    assert not health.broken
    assert health.note("t1", reached=False)
    assert not health.note("t2", reached=True)


# --- at a terminal


def test_a_badge_escapes_what_it_says() -> None:
    assert "<script>" not in badge_svg("health", "<script>", "red")


def test_a_table_for_people() -> None:
    text = exposition([((("pod", "a"), ("endpoint", "10.0.0.1:80")), _good()), ((("pod", "b"),), Samples())])
    (row,) = rows(text)
    assert (row.pod, row.endpoint, row.healthy) == ("a", "10.0.0.1:80", True)
    assert table([row], colour=False).splitlines()[1].split() == ["a", "10.0.0.1:80", "up", "204", "12", "ms"]
    assert table([row], colour=True).count("\x1b[32m") == 1


def _good() -> Samples:
    samples = Samples()
    for name, value in (
        ("probe_success", 1.0),
        ("probe_http_status_code", 204.0),
        ("probe_duration_seconds", 0.012),
    ):
        samples.set(name, value)
    return samples


def test_check_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "modules.yaml"
    file.write_text(json.dumps({"modules": {"a": {"prober": "http", "http": {"bearer_token": "hush"}}}}))
    assert main(["probe", "--check-config", str(file)]) == 0
    assert "where they may go" in capsys.readouterr().err
    file.write_text("modules: {a: {prober: ftp}, b: {prober: tcp, timeout: x}}")
    assert main(["probe", "--check-config", str(file)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert main(["probe"]) == 2
    assert main(["probe", "pods/a/b", "--server", "https://127.0.0.1:9", "--timeout", "1s"]) == 2
