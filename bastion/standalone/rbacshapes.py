"""What shape must roles, bindings and label selectors have?

Source: the validation of Kubernetes 1.36 (`pkg/apis/rbac/validation`), cut down to what is read here.
"""

from __future__ import annotations

from bastion.standalone.resources import RBAC_GROUP, Object
from bastion.standalone.schema import (
    Check,
    InvalidValue,
    both,
    choice,
    each,
    fields,
    path_segment,
    some_strings,
    string,
    string_map,
    strings,
)

requirement = fields(
    {"key": string, "operator": choice("In", "NotIn", "Exists", "DoesNotExist"), "values": strings},
    required=("key", "operator"),
)
label_selector = fields({"matchLabels": string_map, "matchExpressions": each(requirement)})
rule = {
    "verbs": some_strings,
    "apiGroups": strings,
    "resources": strings,
    "resourceNames": strings,
    "nonResourceURLs": strings,
}


def whole_rule(value: Object) -> None:
    if not value.get("nonResourceURLs"):
        for name in ("apiGroups", "resources"):
            if not value.get(name):
                raise InvalidValue("must have at least one entry", name)


def role_rule(value: Object) -> None:
    if value.get("nonResourceURLs"):
        raise InvalidValue("must not be set: a Role has no say over paths", "nonResourceURLs")


cluster_rules = each(both(fields(rule, required=("verbs",)), whole_rule))
role = fields({"rules": each(both(fields(rule, required=("verbs",)), role_rule, whole_rule))})
cluster_role = fields(
    {"rules": cluster_rules, "aggregationRule": fields({"clusterRoleSelectors": each(label_selector)})}
)


def subject_group(value: Object) -> None:
    wanted = "" if value["kind"] == "ServiceAccount" else RBAC_GROUP
    if (value.get("apiGroup") or wanted) != wanted:
        raise InvalidValue(f'must be "{wanted}" for a {value["kind"]}', "apiGroup")


subject = both(
    fields(
        {
            "kind": choice("User", "Group", "ServiceAccount"),
            "name": string,
            "namespace": string,
            "apiGroup": string,
        },
        required=("kind", "name"),
    ),
    subject_group,
)


def binding(*kinds: str) -> Check:
    role_ref = fields(
        {"apiGroup": choice(RBAC_GROUP), "kind": choice(*kinds), "name": path_segment},
        required=("kind", "name"),
    )
    return fields({"roleRef": role_ref, "subjects": each(subject)}, required=("roleRef",))
