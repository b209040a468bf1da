"""· The smallest RBAC rule that would allow what was refused: as YAML, and as a line for a shell.

One rule of one verb, for exactly the resource and name that were asked about, bound to exactly the asker.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex

import msgspec

from bastion.kube.attributes import Attributes
from bastion.kube.user import service_account

API = "rbac.authorization.k8s.io"
# JSON is YAML, but for what YAML takes for the end of a line
_BREAKS = {ord(char): f"\\u{ord(char):04x}" for char in "\x7f\x85\u2028\u2029\ufeff"}
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")
MAX_SLUG = 40  # characters of the user's name in a role's


class MissingRule(msgspec.Struct, frozen=True):
    """`cluster_wide`: in a ClusterRole, whatever namespace the attributes have."""

    user: str
    attributes: Attributes
    cluster_wide: bool = False

    @property
    def namespace(self) -> str:
        return "" if self.cluster_wide else self.attributes.namespace

    @property
    def name(self) -> str:
        """Another one for each rule: applied one after the other they must not replace each other."""
        told = "\0".join((self.user, *map(str, msgspec.structs.astuple(self.attributes))))
        digest = hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=4).hexdigest()
        slug = _NOT_IN_A_NAME.sub("-", self.user.lower()).strip("-")[:MAX_SLUG].strip("-")
        return f"bastion-{slug}-{digest}" if slug else f"bastion-{digest}"

    def yaml(self) -> str:
        """A role and its binding, as two documents."""
        kind = "Role" if self.namespace else "ClusterRole"
        metadata = [
            f"  name: {self.name}",
            *([f"  namespace: {_text(self.namespace)}"] if self.namespace else []),
        ]
        lines = [
            *_object(kind, metadata),
            "rules:",
            *self._rule(),
            "---",
            *_object(f"{kind}Binding", metadata),
            "roleRef:",
            f"  apiGroup: {API}",
            f"  kind: {kind}",
            f"  name: {self.name}",
            "subjects:",
            *self._subject(),
        ]
        return "\n".join(lines) + "\n"

    def _rule(self) -> list[str]:
        asked = self.attributes
        if not asked.resource:
            return [f"- nonResourceURLs: [{_text(asked.path)}]", f"  verbs: [{_text(asked.verb)}]"]
        names = [f"  resourceNames: [{_text(asked.name)}]"] if asked.name else []
        return [
            f"- apiGroups: [{_text(asked.group)}]",
            f"  resources: [{_text(self._resource())}]",
            *names,
            f"  verbs: [{_text(asked.verb)}]",
        ]

    def _subject(self) -> list[str]:
        account = service_account(self.user)
        if account is not None:
            namespace, name = account
            return ["- kind: ServiceAccount", f"  name: {_text(name)}", f"  namespace: {_text(namespace)}"]
        return [f"- apiGroup: {API}", "  kind: User", f"  name: {_text(self.user)}"]

    def command(self) -> str:
        """For a shell."""
        asked, kind = self.attributes, "role" if self.namespace else "clusterrole"
        where = ["-n", self.namespace] if self.namespace else []
        if asked.resource:
            group = f".{asked.group}" if asked.group else ""
            plural, slash, sub = self._resource().partition("/")
            what = [f"--resource={plural}{group}{slash}{sub}"]
            what += [f"--resource-name={asked.name}"] if asked.name else []
        else:
            what = [f"--non-resource-url={asked.path}"]
        account = service_account(self.user)
        subject = f"--serviceaccount={':'.join(account)}" if account is not None else f"--user={self.user}"
        role = ["kubectl", "create", kind, self.name, f"--verb={asked.verb}", *what, *where]
        binding = ["kubectl", "create", f"{kind}binding", self.name, f"--{kind}={self.name}", subject, *where]
        return f"{shlex.join(role)} && {shlex.join(binding)}"

    def _resource(self) -> str:
        asked = self.attributes
        return f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource


def _object(kind: str, metadata: list[str]) -> list[str]:
    return [f"apiVersion: {API}/v1", f"kind: {kind}", "metadata:", *metadata]


def _text(text: str) -> str:
    """Quoted, so that a name such as `80`, `no` or `1:30` stays one."""
    return json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False).translate(_BREAKS)
