"""Is what is meant for Prometheus, its Operator and Grafana good, and of metrics that exist?"""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bastion.probe.samples import HELP
from tests.debian import lacks

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
ROOT = FOLDER.parents[1] / "bastion"
RULES = yaml.safe_load((FOLDER / "rules.yaml").read_text())
DASHBOARDS = {
    name: json.loads((FOLDER / name).read_text()) for name in ("dashboard.json", "bastion-dashboard.json")
}
dashboards = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
EXPRESSIONS = [
    *(rule["expr"] for group in RULES["groups"] for rule in group["rules"]),
    *(
        target["expr"]
        for dashboard in DASHBOARDS.values()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ),
]


def test_every_expression_asks_for_what_there_is() -> None:
    exported = (ROOT / "probe" / "exported.py").read_text() + (ROOT / "wiring" / "probing.py").read_text()
    for expression in EXPRESSIONS:
        for name in re.findall(r"\b(?:bastion_)?probe_\w+", expression):
            assert name in HELP or f'"{name.removesuffix("_total")}"' in exported, name


def test_the_alerts_that_people_expect() -> None:
    alerts = {rule["alert"] for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}
    assert {
        "BastionProbeFailed",
        "BastionProbeCertificateExpiring",
        "BastionProbeFlapping",
        "BastionProberBroken",
    } <= alerts


def test_the_operators_resources_ask_the_bastion_by_id() -> None:
    probe, scrape = yaml.safe_load_all((FOLDER / "operator.yaml").read_text())
    assert (probe["kind"], probe["spec"]["prober"]["path"]) == ("Probe", "/probe")
    for target in probe["spec"]["targets"]["staticConfig"]["static"]:
        assert target.split("/")[0] in ("services", "pods", "nodes")
    (discovery,) = scrape["spec"]["httpSDConfigs"]
    assert discovery["url"].endswith("/probe/targets")


@dashboards
def test_each_panel_has_an_identity_and_a_place(dashboard: Any) -> None:
    panels: list[dict[str, Any]] = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)


def test_the_operators_rules_follow_from_the_rules() -> None:
    made = runpy.run_path(str(ROOT.parent / "tools/prometheus_rule.py"))["text"](FOLDER)
    assert (FOLDER / "prometheusrule.yaml").read_text() == made
    assert yaml.safe_load(made)["spec"] == RULES


def test_the_guide_names_each_alert_of_the_bastion_and_no_other() -> None:
    page = (ROOT.parent / "docs/hardening.md").read_text()
    (group,) = [one for one in RULES["groups"] if one["name"] == "bastion"]
    assert re.findall(r"^\| `(Bastion\w+)` \|", page, re.MULTILINE) == [
        one["alert"] for one in group["rules"]
    ]


@pytest.mark.parametrize(
    "arguments", [("rules", "rules.yaml"), ("config", "--syntax-only", "scrape.yaml")], ids=str
)
def test_promtool_takes_it(arguments: tuple[str, ...]) -> None:
    if missing := lacks("prometheus"):
        pytest.skip(missing)
    done = subprocess.run(["promtool", "check", *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@dashboards
def test_promtool_takes_the_dashboards_expressions(dashboard: Any, tmp_path: Path) -> None:
    if missing := lacks("prometheus"):
        pytest.skip(missing)
    rules = [
        {"record": f"panel:{number}", "expr": target["expr"]}
        for number, panel in enumerate(dashboard["panels"])
        for target in panel["targets"]
    ]
    checked("rules", tmp_path, {"groups": [{"name": "panels", "rules": rules}]})


DOWN = [
    {"series": 'probe_success{job="p",instance="a",pod="a-0",endpoint="1:1"}', "values": "1x10 0x20"},
    {"series": 'probe_success{job="p",instance="b"}', "values": "1x30"},
    {"series": 'probe_ssl_earliest_cert_expiry{job="p",instance="c"}', "values": "864000x30"},
    {"series": 'probe_success{job="p",instance="d"}', "values": "0 1 0 1 0 1 0 1 0 1 0 1 1x20"},
    {"series": "bastion_probe_prober_broken", "values": "0x10 1x20"},
    {"series": 'bastion_api_right_granted{instance="e",resource="pods"}', "values": "1x10 0x20"},
    {"series": 'bastion_watch_age_seconds{instance="f",resource="pods"}', "values": "0x10 100x20"},
    {"series": 'bastion_requests_total{instance="g",code="401"}', "values": "0x10 0+120x20"},
    {"series": 'process_open_fds{instance="h"}', "values": "90x30"},
    {"series": 'process_max_fds{instance="h"}', "values": "100x30"},
    {"series": 'bastion_client_connections{instance="h"}', "values": "1x30"},
]
FIRING = [
    ("5m", "BastionProbeFailed", []),
    ("25m", "BastionProbeFailed", ["a"]),
    ("25m", "BastionProbeCertificateExpiring", ["c"]),
    ("25m", "BastionProbeFlapping", ["d"]),
    ("5m", "BastionProberBroken", []),
    ("25m", "BastionProberBroken", [""]),
    ("5m", "BastionLacksRight", []),
    ("25m", "BastionLacksRight", ["e"]),
    ("5m", "BastionWatchIsSilent", []),
    ("25m", "BastionWatchIsSilent", ["f"]),
    ("5m", "BastionTokensTried", []),
    ("25m", "BastionTokensTried", ["g"]),
    ("25m", "BastionNearlyFull", ["h"]),
]


@pytest.mark.parametrize(("at", "alert", "instances"), FIRING, ids=str)
def test_an_alert_fires_for_what_it_is_about(
    tmp_path: Path, at: str, alert: str, instances: list[str]
) -> None:
    """`promtool test rules` compares texts as well: what fires is read from what it complains of."""
    if missing := lacks("prometheus"):
        pytest.skip(missing)
    case = {"eval_time": at, "alertname": alert, "exp_alerts": [{"exp_labels": {"none": "such"}}]}
    tests = {
        "rule_files": [str(FOLDER / "rules.yaml")],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": DOWN, "alert_rule_test": [case]}],
    }
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "tests.yaml"], capture_output=True, text=True
    )
    said = done.stdout + done.stderr
    assert "got:" in said, said
    found = said.partition("got:")[2]
    assert sorted(re.findall(r'instance="(\w*)"', found)) == [one for one in instances if one]
    assert found.count(f'alertname="{alert}"') == len(instances)


def checked(kind: str, folder: Path, document: dict[str, Any]) -> None:
    (folder / "checked.yaml").write_text(yaml.safe_dump(document))
    done = subprocess.run(
        ["promtool", "check", kind, folder / "checked.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
