"""The OpenAPI documents (v3) that kubectl asks for before it writes (which kinds may be written, and that
`fieldValidation` is known) and for `kubectl explain`.
"""

from __future__ import annotations

from bastion.standalone.definitions import within
from bastion.standalone.resources import GROUPS, OBJECT, RESOURCES, Object, Resource, api_version


def documents() -> dict[str, Object]:
    """Path -> document."""
    paths = {group: _path(group) for group in ("", *GROUPS)}
    index = {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths.values()}
    found: dict[str, Object] = {"/openapi/v3": {"paths": index}}
    for group, path in paths.items():
        found[f"/openapi/v3/{path}"] = {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1"},
            "paths": {
                f"/{path}/{_template(one)}": _item(one)
                for one in RESOURCES
                if one.group == group and one.verbs == OBJECT
            },
        }
    return found


def whole(path: str, document: Object) -> Object:
    """With the schemas of its kinds, where it is one of these: read when they are asked for first."""
    if not path.startswith("/openapi/v3/"):
        return document
    group, _, _ = path.removeprefix("/openapi/v3/").removeprefix("apis/").rpartition("/")
    group = "" if group == "api" else group
    kinds = [one.kind for one in RESOURCES if one.group == group]
    return {**document, "components": {"schemas": within(group, kinds)}}


def _path(group: str) -> str:
    return f"apis/{api_version(group)}" if group else "api/v1"


def _template(resource: Resource) -> str:
    above = "namespaces/{namespace}/" if resource.namespaced else ""
    return f"{above}{resource.name}/{{name}}"


def _item(resource: Resource) -> Object:
    kind = {"group": resource.group, "version": "v1", "kind": resource.kind}
    options = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    done = {"responses": {"200": {"description": "OK"}}, "x-kubernetes-group-version-kind": kind}
    return {"patch": {**done, "parameters": options}, "put": {**done, "parameters": options}}
