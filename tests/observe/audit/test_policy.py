"""Which rule decides what is audited, and is every mistake of a policy told by its path?"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.observe.audit.policy import NOTHING, Policy, Resources, Rule, Verdict, judge
from bastion.observe.audit.reading import PolicyError, read_policy

HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
JANE = User("jane", groups=("qa", "system:authenticated"))
WEB = Attributes("get", namespace="ns", resource="services", subresource="proxy", name="http:web:80")
NODE = Attributes("create", resource="nodes", subresource="proxy", name="a")
POD = Attributes("get", namespace="ns", resource="pods", name="a")
HEALTH = Attributes("get", version="", path="/healthz/ping")


def of(*resources: str, **fields: Any) -> Rule:
    return Rule("Metadata", resources=(Resources("", resources),), **fields)


@pytest.mark.parametrize(
    ("rule", "matched"),
    [
        (Rule("Metadata"), "web node pod health"),
        (Rule("Metadata", users=("jane",)), "web node pod health"),
        (Rule("Metadata", users=("joe",)), ""),
        (Rule("Metadata", groups=("dev", "qa")), "web node pod health"),
        (Rule("Metadata", groups=("dev",)), ""),
        (Rule("Metadata", verbs=("create",)), "node"),
        (Rule("Metadata", namespaces=("ns",)), "web pod"),
        (Rule("Metadata", namespaces=("",)), "node"),
        (Rule("Metadata", resources=(Resources(""),)), "web node pod"),
        (Rule("Metadata", resources=(Resources("apps"),)), ""),
        (of("pods"), "pod"),
        (of("pods", "services"), "pod"),
        (of("services/proxy"), "web"),
        (of("services/*"), "web"),
        (of("pods/*"), "pod"),
        (of("*/proxy"), "web node"),
        (of("*"), "web node pod"),
        (Rule("Metadata", resources=(Resources("", ("*/proxy",), ("http:web:80",)),)), "web"),
        (Rule("Metadata", resources=(Resources("", ("*/proxy",), ("web:80",)),)), ""),
        (Rule("Metadata", paths=("*",)), "health"),
        (Rule("Metadata", paths=("/healthz*",)), "health"),
        (Rule("Metadata", paths=("/healthz",)), ""),
        (Rule("Metadata", paths=("/healthz/ping",)), "health"),
    ],
)
def test_a_rule_matches_what_kube_apiserver_says(rule: Rule, matched: str) -> None:
    requests = {"web": WEB, "node": NODE, "pod": POD, "health": HEALTH}
    found = {
        name for name, attributes in requests.items() if judge(Policy((rule,)), JANE, attributes) != NOTHING
    }
    assert found == set(matched.split())


def test_the_first_rule_that_matches_decides_and_the_stages_to_omit_are_joined() -> None:
    policy = Policy(
        (
            Rule("None", verbs=("create",)),
            Rule("Request", users=("jane",), omit=frozenset(("ResponseStarted",))),
            Rule("RequestResponse"),
        ),
        frozenset(("RequestReceived",)),
    )
    assert judge(policy, JANE, NODE) == NOTHING
    assert judge(policy, JANE, WEB) == Verdict("Request", received=False, started=False, complete=True)
    assert judge(policy, None, WEB) == Verdict("RequestResponse", received=False, started=True, complete=True)


@pytest.mark.parametrize(
    "rule", [Rule("Metadata", users=("",)), Rule("Metadata", groups=("system:unauthenticated",))]
)
def test_a_refused_sign_in_has_no_user(rule: Rule) -> None:
    assert judge(Policy((rule,)), None, WEB) == NOTHING


def test_a_policy_is_read_whole() -> None:
    text = HEAD + (
        "omitStages: [RequestReceived]\nomitManagedFields: true\nmetadata: {name: x}\nrules:\n"
        "- level: None\n  users: [a]\n  userGroups: [g]\n  verbs: [get]\n  omitStages: [Panic]\n"
        "- level: Request\n  namespaces: ['']\n"
        "  resources: [{group: apps, resources: ['*/scale'], resourceNames: [x]}]\n"
        "- level: Metadata\n  nonResourceURLs: ['*', /a*]\n---\nnot: read\n"
    )
    policy, warnings = read_policy(text)
    assert warnings == []
    assert policy == Policy(
        (
            Rule("None", ("a",), ("g",), ("get",), omit=frozenset(("Panic",))),
            Rule("Request", resources=(Resources("apps", ("*/scale",), ("x",)),), namespaces=("",)),
            Rule("Metadata", paths=("*", "/a*")),
        ),
        frozenset(("RequestReceived",)),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("{{{", "is not YAML"),
        ("- a\n", "is not an object"),
        ("kind: Policy\nrules: [{level: None}]\n", "apiVersion and kind"),
        ("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]\n", "apiVersion and kind"),
        (HEAD, "rules: at least one"),
        (HEAD + "rules: []\n", "rules: at least one"),
        (HEAD + "rules: {level: None}\n", "rules: must be a list"),
        (HEAD + "rules: [None]\n", "rules[0]: must be an object"),
        (HEAD + "rules: [{users: [a]}]\n", "rules[0].level: is missing"),
        (HEAD + "rules: [{level: metadata}]\n", "rules[0].level: 'metadata' is not one"),
        (HEAD + "rules: [{level: 1}]\n", "rules[0].level: 1 is not one"),
        (HEAD + "omitStages: [Received]\nrules: [{level: None}]\n", "omitStages[0]: 'Received'"),
        (HEAD + "rules: [{level: None, omitStages: Panic}]\n", "rules[0].omitStages: must be a list of"),
        (HEAD + "rules: [{level: None, users: [1]}]\n", "rules[0].users: must be a list of strings"),
        (HEAD + "rules: [{level: None, resources: [pods]}]\n", "rules[0].resources[0]: must be an object"),
        (HEAD + "rules: [{level: None, resources: pods}]\n", "rules[0].resources: must be a list"),
        (HEAD + "rules: [{level: None, resources: [{group: apps/v1}]}]\n", "rules[0].resources[0].group"),
        (HEAD + "rules: [{level: None, resources: [{group: 1}]}]\n", "rules[0].resources[0].group"),
        (HEAD + "rules: [{level: None, resources: [{resourceNames: [a]}]}]\n", "resources[0].resourceNames"),
        (HEAD + "rules: [{level: None, nonResourceURLs: [a]}]\n", "rules[0].nonResourceURLs[0]: 'a' must"),
        (HEAD + "rules: [{level: None, nonResourceURLs: [/a*b]}]\n", "rules[0].nonResourceURLs[0]: '/a*b'"),
        (HEAD + "rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]\n", "cannot stand beside"),
        (HEAD + "rules: [{level: None, nonResourceURLs: [/a], resources: [{}]}]\n", "cannot stand beside"),
        (HEAD + "rules: [{level: None, omitManagedFields: 1}]\n", "rules[0].omitManagedFields: must be true"),
        (HEAD + "metadata: x\nrules: [{level: None}]\n", "metadata: must be an object"),
    ],
)
def test_a_mistake_is_told_by_its_path(text: str, said: str) -> None:
    with pytest.raises(PolicyError) as mistake:
        read_policy(text)
    assert said in str(mistake.value)
    assert "\n" not in str(mistake.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(PolicyError) as mistake:
        read_policy(HEAD + "rules:\n- level: Nothing\n- level: Metadata\n  nonResourceURLs: [x]\n- {}\n")
    assert all(
        path in str(mistake.value) for path in ("rules[0].level", "[1].nonResourceURLs", "rules[2].level")
    )


def test_an_unknown_field_and_one_given_twice_are_told() -> None:
    policy, warnings = read_policy(HEAD + "rule: x\nrules:\n- level: None\n  level: Metadata\n  user: [a]\n")
    assert policy.rules == (Rule("Metadata"),)
    assert [warning.split()[0] for warning in warnings] == ["rules[0].level", "rule", "rules[0].user"]
