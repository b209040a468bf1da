"""Is what is meant for Prometheus, its Operator and Grafana good, and of metrics that exist?"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bastion.probe.samples import HELP

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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "arguments", [("rules", "rules.yaml"), ("config", "--syntax-only", "scrape.yaml")], ids=str
)
def test_promtool_takes_it(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", "check", *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
