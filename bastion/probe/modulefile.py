"""· A probe configuration: text in, modules by name or every mistake out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bastion.kube.documents import documents
from bastion.probe.modules import Http, Module
from bastion.probe.reading import Mistaken, section

DEFAULT = "http_2xx"
DECLARED = "declared"  # built in: what the pod itself declares
BUILT_IN: Mapping[str, Module] = {DEFAULT: Module(prober="http", http=Http()), "tcp_connect": Module("tcp")}

_module = section(Module)


def modules_of(text: str) -> dict[str, Module]:
    """Raises Mistaken."""
    try:
        read = list(documents(text))
    except ValueError as error:
        raise Mistaken((str(error),)) from error
    if len(read) != 1 or not isinstance(read[0].value, dict):
        raise Mistaken(("the file is not one mapping with the field modules",))
    wrong = [f"{path}: is there twice" for path in read[0].repeated]
    document: dict[str, Any] = read[0].value
    wrong += [
        f"{name}: field {name} not found: there is only modules" for name in document if name != "modules"
    ]
    given = document.get("modules")
    given = {} if given is None else given
    if not isinstance(given, dict):
        wrong.append("modules: is not a mapping")
        given = {}
    found = {}
    for name, value in given.items():
        if name == DECLARED:
            wrong.append(f"modules.{name}: this name is built in")
        found[str(name)] = _module(value if value is not None else {}, f"modules.{name}", wrong)
    if wrong:
        raise Mistaken(tuple(wrong))
    return found
