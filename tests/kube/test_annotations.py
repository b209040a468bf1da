"""Is an annotation read as its row says, and does a value that is none change nothing?"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from bastion.kube.annotation import DOMAIN, LONGEST, read, rows
from bastion.kube.annotations import (
    ANNOTATIONS,
    MOST_UNKNOWN,
    SECTIONS,
    BackendProtocol,
    Card,
    EndpointPolicy,
    ProbeWish,
    mistakes,
)
from bastion.kube.annotationvalues import Maintenance
from bastion.kube.compaction import compact
from bastion.kube.objects import Pod, Service

NOON = 1795780800.0  # 2026-11-27T12:00Z
TWO_HOURS = Maintenance(NOON, NOON + 7200, "disks")

READ: list[tuple[type, str, str, str, Any]] = [
    (EndpointPolicy, "balance", "balance", "round-robin", "round-robin"),
    (EndpointPolicy, "balance", "balance", "fastest", "least-requests"),
    (EndpointPolicy, "affinity", "affinity", "cookie", "cookie"),
    (EndpointPolicy, "retry_on", "retry-on", "connect, reset,503", frozenset(("connect", "reset", "503"))),
    (EndpointPolicy, "retry_on", "retry-on", "", frozenset()),
    (EndpointPolicy, "retry_on", "retry-on", "connect,always", frozenset(("connect", "reset"))),
    (EndpointPolicy, "response_timeout", "response-timeout", "1m30s", 90.0),
    (EndpointPolicy, "response_timeout", "response-timeout", "soon", None),
    (EndpointPolicy, "response_timeout", "response-timeout", "0s", None),
    (EndpointPolicy, "drain_timeout", "drain-timeout", "0s", 0.0),
    (EndpointPolicy, "health_interval", "health-interval", "500ms", 0.5),
    (EndpointPolicy, "health_interval", "health-interval", "100ms", 5.0),
    (EndpointPolicy, "health_path", "health-path", "/healthz?full=1", "/healthz?full=1"),
    (EndpointPolicy, "health_path", "health-path", "/a b", ""),
    (EndpointPolicy, "health_path", "health-path", "/a\r\nX: y", ""),
    (EndpointPolicy, "max_body_size", "max-body-size", "10Mi", 10 << 20),
    (EndpointPolicy, "max_body_size", "max-body-size", "1.5k", 1500),
    (EndpointPolicy, "max_body_size", "max-body-size", "64KiB", 65536),
    (EndpointPolicy, "max_body_size", "max-body-size", "8m", None),
    (EndpointPolicy, "max_body_size", "max-body-size", "-1", None),
    (BackendProtocol, "protocol", "backend-protocol", "h2c", "h2c"),
    (BackendProtocol, "ca_configmap", "ca-configmap", "../other/ca", ""),
    (BackendProtocol, "tls_server_name", "tls-server-name", "web.shop.svc", "web.shop.svc"),
    (BackendProtocol, "tls_verify", "tls-verify", "false", False),
    (BackendProtocol, "tls_verify", "tls-verify", "no", True),
    (Card, "title", "title", " <b>Shop\u202e\x00 ", "<b>Shop"),
    (Card, "title", "title", "x" * 10_000, "x" * 60),
    (Card, "icon", "icon", "https://elsewhere.test/x.png", ""),
    (Card, "order", "order", "-2.5", -2.5),
    (Card, "order", "order", "nan", 0.0),
    (Card, "port", "port", "http", "http"),
    (Card, "port", "port", "70000", ""),
    (Card, "path", "path", "/a//b", "/a//b"),
    (Card, "path", "path", "//elsewhere.test", ""),
    (Card, "path", "path", "/\\elsewhere.test", ""),
    (Card, "runbook", "runbook", "https://wiki.test/x", "https://wiki.test/x"),
    (Card, "runbook", "runbook", "javascript:alert(1)", ""),
    (Card, "runbook", "runbook", "https://a@b/", ""),
    (Card, "maintenance", "maintenance", "2026-11-27T12:00Z/PT2H disks", TWO_HOURS),
    (Card, "maintenance", "maintenance", "2026-11-27T12:00Z/2026-11-27T14:00Z disks", TWO_HOURS),
    (Card, "maintenance", "maintenance", "tomorrow", None),
    (Card, "maintenance", "maintenance", "2026-11-27T12:00Z/PT0M", None),
    (Card, "slow_above", "slow-above", "250ms", 0.25),
    (ProbeWish, "probe", "probe", "true", True),
]  # fmt: skip


@pytest.mark.parametrize(("section", "field", "key", "text", "value"), READ)
def test_what_a_value_means(section: type, field: str, key: str, text: str, value: Any) -> None:
    assert getattr(read(section, {f"{DOMAIN}/{key}": text}), field) == value


def test_what_is_no_value_is_a_mistake_and_what_is_one_is_none() -> None:
    for section, field, key, text, value in READ:
        row = ANNOTATIONS[f"{DOMAIN}/{key}"]
        told = list(mistakes("Service", {row.key: text}))
        kept_default = value == row.default and text != str(row.default)
        assert bool(told) is kept_default, (section, field, text, told)


def test_without_annotations_the_defaults_hold() -> None:
    for section, _ in SECTIONS:
        said = read(section, None)
        assert {row.name: getattr(said, row.name) for row in rows(section)} == {
            row.name: row.default for row in rows(section)
        }


MISTAKEN = [
    ("Service", {"bastion.dev/balnce": "random"}, "there is no such annotation"),
    ("Pod", {"bastion.dev/balance": "random"}, "it means nothing on a Pod"),
    ("Service", {"bastion.dev/health-path": "/" + "x" * LONGEST}, f"it is longer than {LONGEST} characters"),
    ("Service", {"prometheus.io/port": "a b"}, None),
    ("Service", {"example.test/balnce": "random"}, None),
    ("Pod", {"bastion.dev/title": "Shop"}, None),
]


@pytest.mark.parametrize(("kind", "said", "why"), MISTAKEN)
def test_mistakes(kind: str, said: dict[str, str], why: str | None) -> None:
    struct: Any = Service if kind == "Service" else Pod
    text = json.dumps({"metadata": {"name": "x", "annotations": said}})
    object = compact(msgspec.json.decode(text, type=struct))
    assert [mistake.why for mistake in mistakes(kind, object.metadata.annotations)] == ([why] if why else [])


def test_an_object_keeps_only_what_the_table_knows_and_a_few_keys_that_it_does_not() -> None:
    unknown = {f"bastion.dev/x{number}": "y" * 100_000 for number in range(50)}
    said = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "bastion.dev/title": "x" * 100_000}
    kept = compact(
        msgspec.convert({"metadata": {"annotations": said | unknown}}, Service)
    ).metadata.annotations
    assert kept == {"bastion.dev/title": "x" * (LONGEST + 1)} | dict.fromkeys(
        list(unknown)[:MOST_UNKNOWN], ""
    )
    plain = compact(msgspec.convert({"metadata": {"annotations": {"a": "b"}}}, Service))
    assert plain.metadata.annotations is None
