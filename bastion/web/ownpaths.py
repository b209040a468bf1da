"""· What does the description of the API say of the bastion's own paths, each of which has two forms?"""

from __future__ import annotations

from typing import Any

from bastion.http.ownpaths import PREFIX, short_form

Schema = dict[str, Any]

_PREFIX = PREFIX.decode()
_SHORT = "The short form of `{path}`. With `--pass-through` this path is an API server's."
_LONG = "`{path}` in the form that is the bastion's own with `--pass-through`, too."


def with_own_paths(schema: Schema) -> Schema:
    """`schema` and the paths that are under the prefix as well; `schema` itself is left as it is."""
    paths: Schema = {}
    for path, item in schema["paths"].items():
        long = _PREFIX + path
        if short_form(long.encode()) is None or long in schema["paths"]:
            paths[path] = item
            continue
        paths |= both_forms(path, item)
    return {**schema, "paths": paths}


def both_forms(path: str, item: Schema) -> Schema:
    """What `item` says of the short form `path`, and the same of the long one."""
    long = _PREFIX + path
    return {
        path: _described(item, _SHORT.format(path=long)),
        long: _described(item, _LONG.format(path=path), prefixed=True),
    }


def _described(item: Schema, description: str, *, prefixed: bool = False) -> Schema:
    described = {}
    for method, operation in item.items():
        name = operation["operationId"]
        described[method] = {
            **operation,
            # one may stand in a description only once
            "operationId": f"bastion{name[0].upper()}{name[1:]}" if prefixed else name,
            "description": "\n\n".join(filter(None, (operation.get("description"), description))),
        }
    return described
