"""Which target, which ports and which output people ask for."""

from __future__ import annotations

from typing import Any

import pytest

from bastion.cli.named import Named, named, split
from bastion.cli.output import Column, jsonpath, printed
from bastion.cli.tunnel.ports import Ports, addresses_of, ports_of
from bastion.runtime.errors import ConfigError
from bastion.settings.option import options_of
from bastion.settings.people import TunnelOptions

NAMED = [
    ("svc/web", Named("services", "ns", "web")),
    ("service/web:http", Named("services", "ns", "web", port="http")),
    ("svc/shop/web:http/healthz?x=1", Named("services", "shop", "web", port="http", rest="/healthz?x=1")),
    ("pods/shop/https:web-0:8443/a//b", Named("pods", "shop", "web-0", "https", "8443", "/a//b")),
    ("node/n1:9100/metrics", Named("nodes", "", "n1", port="9100", rest="/metrics")),
]


@pytest.mark.parametrize(("text", "target"), NAMED)
def test_how_a_target_is_named(text: str, target: Named) -> None:
    assert named(text, "ns") == target


def test_what_a_target_is_for_the_bastion() -> None:
    target = named("svc/shop/web:http/healthz", "")
    assert target.path == "/api/v1/namespaces/shop/services/web:http/proxy/healthz"
    assert target.target == "services/shop/web:http"
    assert target.authority("5432") == "web.shop.svc:5432"
    assert named("web-0", "shop", bare="pod").authority("1") == "web-0.shop.pod:1"


@pytest.mark.parametrize("text", ["web", "svc/", "deploy/web", "svc//web", "svc/a/b c", "svc/a/x:y:z:1"])
def test_what_names_no_target(text: str) -> None:
    with pytest.raises(ConfigError):
        named(text, "ns")


PORTS = [
    ("5432", Ports(5432, "5432")),
    ("1:2", Ports(1, "2")),
    (":2", Ports(0, "2")),
    ("0:2", Ports(0, "2")),
    (":http", Ports(0, "http")),
]


@pytest.mark.parametrize(("text", "ports"), PORTS)
def test_which_ports_are_asked_for(text: str, ports: Ports) -> None:
    assert ports_of(text) == ports


@pytest.mark.parametrize("text", ["", ":", "1:2:3", "x:7", "1:99999", "70000:1", "007", "+7", "a_b"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(ConfigError):
        ports_of(text)


def test_localhost_is_both_families_and_only_one_must_be_there() -> None:
    assert addresses_of(["localhost"]) == [("127.0.0.1", True), ("::1", False)]
    assert addresses_of(["[::1]", "127.0.0.2"]) == [("::1", True), ("127.0.0.2", True)]
    with pytest.raises(ConfigError, match="nope"):
        addresses_of(["nope"])


def test_flags_stand_anywhere() -> None:
    words, flags, others = split(
        options_of(TunnelOptions), ["-n", "shop", "svc/db", "--stdio", "5432", "--bastion=u", "--", "-v"]
    )
    assert (words, flags, others) == (
        ["svc/db", "5432"],
        ["-n", "shop", "--stdio", "--server=u"],
        ["-v"],
    )


DOCUMENT: dict[str, list[dict[str, Any]]] = {"items": [{"name": "a", "x-y": 1}, {"name": "b", "x-y": None}]}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.items[*].name}", "a b"),
        ("{.items[1].name}{'\\n'}", "b\n"),
        ("{$.items[-1]['name']} x", "b x"),
        ("{.items[0].x-y}{.nothing}", "1"),
    ],
)
def test_a_jsonpath(template: str, text: str) -> None:
    assert jsonpath(template, DOCUMENT) == text


def test_the_formats() -> None:
    columns = (Column("NAME", lambda item: item["name"]), Column("X", lambda item: item["x-y"], wide=True))

    def shown(output: str) -> str:
        return printed(DOCUMENT, DOCUMENT["items"], columns, lambda item: f"svc/{item['name']}", output)

    assert shown("") == "NAME\na\nb\n"
    assert shown("wide") == "NAME   X\na      1\nb      None\n"
    assert shown("name") == "svc/a\nsvc/b\n"
    assert shown("yaml").startswith("items:\n- name: a\n")
    assert '"name": "b"' in shown("json")
    with pytest.raises(ConfigError):
        shown("jsonpath={range .items}")
