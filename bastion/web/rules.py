"""· The rule that was missing, as YAML to hand to an administrator: whole in itself, role and binding."""

from __future__ import annotations

import json
import re

from bastion.kube.user import User, service_account

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@-]*")
_RBAC = "rbac.authorization.k8s.io"


def role(
    user: User, namespace: str, resource: str, verbs: tuple[str, ...], id: str = "", group: str = ""
) -> str:
    """`id` empty: whatever its name; `namespace` empty: of the whole cluster; `group`: of its paths alone."""
    kind = "Role" if namespace else "ClusterRole"
    proxy = f"{resource}/proxy" + (f"-{group}" if group else "")
    name = "-".join(filter(None, ("open", resource, group, _label(id) if id else "")))
    where = f"\n  namespace: {_quoted(namespace)}" if namespace else ""
    names = f"\n    resourceNames: [{_quoted(id)}]" if id else ""
    return f"""apiVersion: {_RBAC}/v1
kind: {kind}
metadata:
  name: {name}{where}
rules:
  - apiGroups: [""]
    resources: [{proxy}]{names}
    verbs: [{", ".join(map(_quoted, verbs))}]
---
apiVersion: {_RBAC}/v1
kind: {kind}Binding
metadata:
  name: {name}-{_label(user.name)}{where}
roleRef: {{apiGroup: {_RBAC}, kind: {kind}, name: {name}}}
subjects:
  - {_subject(user)}"""


def _subject(user: User) -> str:
    account = service_account(user.name)
    if account is not None:
        return f"{{kind: ServiceAccount, namespace: {account[0]}, name: {account[1]}}}"
    return f"{{apiGroup: {_RBAC}, kind: User, name: {_quoted(user.name)}}}"


def _label(text: str) -> str:
    """As a name of an object: what may not be in one is a hyphen."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:60].strip("-") or "user"


def _quoted(text: str) -> str:
    """JSON's strings are YAML's."""
    return text if _PLAIN.fullmatch(text) and not text.isdigit() else json.dumps(text)
