"""Is the rule that a 403 holds the smallest one that allows what was asked, whatever the names are?"""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml

from bastion.kube.attributes import Attributes
from bastion.kube.errors import forbidden
from bastion.kube.missingrule import MissingRule
from bastion.kube.user import ANONYMOUS

WEB = Attributes("get", namespace="shop", resource="services", subresource="proxy", name="http:web:http")
NODE = Attributes("get", resource="nodes", subresource="proxy", name="node-a")
METRICS = Attributes("get", version="", path="/metrics")
GROUP = Attributes("impersonate", group="authentication.k8s.io", resource="uids", name="7")


def documents(rule: MissingRule) -> list[Any]:
    return [*yaml.safe_load_all(rule.yaml())]


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        (WEB, {"apiGroups": [""], "resources": ["services/proxy"], "resourceNames": ["http:web:http"]}),
        (NODE, {"apiGroups": [""], "resources": ["nodes/proxy"], "resourceNames": ["node-a"]}),
        (GROUP, {"apiGroups": ["authentication.k8s.io"], "resources": ["uids"], "resourceNames": ["7"]}),
        (METRICS, {"nonResourceURLs": ["/metrics"]}),
    ],
)
def test_one_rule_of_one_verb_for_exactly_what_was_asked(asked: Attributes, rule: dict[str, Any]) -> None:
    role, binding = documents(MissingRule("bob", asked))
    kind = "Role" if asked.namespace else "ClusterRole"
    assert (role["kind"], binding["kind"]) == (kind, f"{kind}Binding")
    assert role["rules"] == [{**rule, "verbs": [asked.verb]}]
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": kind,
        "name": role["metadata"]["name"],
    }
    for one in (role, binding):
        assert one["metadata"].get("namespace", "") == asked.namespace


@pytest.mark.parametrize(
    "user", ["bob", "80", "no", "1:30", 'a"b\\c', "a: b", "- x", "é\u2028\x85", "a\nb", "*", "😀"]
)
def test_a_name_stays_what_it_is(user: str) -> None:
    _, binding = documents(MissingRule(user, WEB))
    assert [subject["name"] for subject in binding["subjects"]] == [user]
    assert f"--user={user}" in shlex.split(MissingRule(user, WEB).command())


def test_a_service_account_is_one() -> None:
    rule = MissingRule("system:serviceaccount:shop:robot", WEB)
    _, binding = documents(rule)
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "robot", "namespace": "shop"}]
    assert "--serviceaccount=shop:robot" in shlex.split(rule.command())


def test_two_rules_of_one_user_do_not_replace_each_other() -> None:
    assert MissingRule("bob", WEB).name != MissingRule("bob", NODE).name


def test_the_line_is_the_same_rule() -> None:
    words = shlex.split(MissingRule("bob", WEB).command())
    assert words[:4] == ["kubectl", "create", "role", MissingRule("bob", WEB).name]
    assert {"--verb=get", "--resource=services/proxy", "--resource-name=http:web:http"} <= {*words}


def test_nobody_is_asked_to_give_rights_to_everyone() -> None:
    refused = forbidden(ANONYMOUS, WEB)
    assert [cause.field for cause in refused.causes] == ["client"]
    assert "kubectl" not in refused.message
