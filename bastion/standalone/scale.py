"""· The scale of what has replicas (`…/deployments/NAME/scale`): read from the object, and written into it.

Source: `k8s.io/api/autoscaling/v1`, `pkg/registry/apps/deployment/storage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bastion.kube.status import StatusError, bad_request
from bastion.standalone.resources import Object

VERSION, KIND = "autoscaling/v1", "Scale"
_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(content: Object, metadata: Mapping[str, Any]) -> Object:
    """`metadata` as the object is served with."""
    spec, status = content.get("spec") or {}, content.get("status") or {}
    own = {name: metadata[name] for name in _METADATA if name in metadata}
    found: Object = {"replicas": status.get("replicas", 0)}
    if selector := _text(spec.get("selector") or {}):
        found["selector"] = selector
    return {
        "kind": KIND,
        "apiVersion": VERSION,
        "metadata": own,
        "spec": {"replicas": spec.get("replicas", 1)},
        "status": found,
    }


def scaled(content: Object, scale: Object) -> Object:
    """The object with the replicas that the scale wants.  Raises StatusError 400, 422."""
    if scale.get("kind", KIND) != KIND:
        raise bad_request(f"kind: must be {KIND}")
    spec = scale.get("spec")
    wanted = spec.get("replicas", 0) if isinstance(spec, dict) else 0
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
        raise StatusError(422, "Invalid", "spec.replicas: Invalid value: must be greater than or equal to 0")
    return {**content, "spec": {**content.get("spec", {}), "replicas": wanted}}


def _text(selector: Object) -> str:
    """As `kubectl get -l` takes it."""
    found = [f"{name}={value}" for name, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        key, operator, values = one.get("key", ""), one.get("operator"), one.get("values") or ()
        if operator == "Exists":
            found.append(key)
        elif operator == "DoesNotExist":
            found.append(f"!{key}")
        else:
            found.append(f"{key} {'in' if operator == 'In' else 'notin'} ({','.join(values)})")
    return ",".join(found)
