"""Does a selector choose this object?

The selectors of list and watch (text), and those inside of objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bastion.kube.status import StatusError, bad_request, quoted

_COMMA = re.compile(r",(?![^(]*\))")  # outside of parentheses
_SET = re.compile(r"([^\s!=()<>,]+)\s+(in|notin)\s+\(([^!=()<>]*)\)")
FIELDS = ("metadata.name", "metadata.namespace", "spec.clusterIP")
OF_ONE_RESOURCE = {"spec.clusterIP": "services"}


@dataclass(frozen=True, slots=True)
class Term:
    """`key=value`, `key!=value`; of labels alone: without a value `key` and `!key`, with several
    `key in (a,b)` and `key notin (a,b)`.
    """

    key: str
    value: str | None
    equal: bool = True
    values: tuple[str, ...] = ()

    def holds(self, found: str | None) -> bool:
        """As for a label: one that is not there is not equal."""
        if self.values:
            return (found in self.values) is self.equal
        return (found is not None if self.value is None else found == self.value) is self.equal


@dataclass(frozen=True, slots=True)
class Selectors:
    """What a list or watch asks for; an empty one chooses everything."""

    labels: tuple[Term, ...] = ()
    fields: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def chooses(self, metadata: Mapping[str, Any], content: Mapping[str, Any] = {}) -> bool:
        """`content` holds the spec."""
        labels = metadata.get("labels") or {}
        whole = {"metadata": metadata, "spec": content.get("spec") or {}}
        return all(term.holds(labels.get(term.key)) for term in self.labels) and all(
            term.holds(str(_at(whole, term.key))) for term in self.fields
        )

    @property
    def name(self) -> str:
        """The one object that may be chosen, empty where it may be any."""
        named = (term.value for term in self.fields if term.key == "metadata.name" and term.equal)
        return next(named, "") or ""

    def check(self, resource: str) -> None:
        """Raises StatusError 400 where the resource has not the field."""
        for term in self.fields:
            if OF_ONE_RESOURCE.get(term.key, resource) != resource:
                raise bad_request(f"field label not supported: {term.key}")


def _at(whole: Mapping[str, Any], path: str) -> Any:
    part, _, name = path.partition(".")
    return whole[part].get(name) or ""


def selection(label_selector: str, field_selector: str) -> Selectors:
    """Raises StatusError 400 for what is not read here, rather than to answer another question."""
    fields = _terms(field_selector, "field")
    for term in fields:
        if term.key not in FIELDS:
            raise bad_request(f"field label not supported: {term.key}")
        if term.value is None:
            raise _unreadable("field", field_selector)
    return Selectors(_terms(label_selector, "label"), fields)


def _terms(text: str, which: str) -> tuple[Term, ...]:
    terms = []
    for part in filter(None, (part.strip() for part in _COMMA.split(text))):
        if which == "label" and (several := _SET.fullmatch(part)) is not None:
            values = tuple(value.strip() for value in several[3].split(","))
            terms.append(Term(several[1], None, several[2] == "in", values))
            continue
        key, separator, value = part.partition("=")
        equal = not key.endswith("!")
        key, value = key.removesuffix("!").strip(), value.removeprefix("=").strip()
        if not separator:
            equal, key = not key.startswith("!"), key.removeprefix("!").strip()
        if not key or any(sign in f"{key}{value}" for sign in "!=()<> "):
            raise _unreadable(which, text)
        terms.append(Term(key, value if separator else None, equal))
    return tuple(terms)


def _unreadable(which: str, text: str) -> StatusError:
    also = ", key, !key, key in (…) and key notin (…)" if which == "label" else ""
    return bad_request(
        f"unable to parse the {which} selector {quoted(text)}: only key=value, key!=value{also} are"
        " supported here"
    )


# --- LabelSelector objects

_OPERATORS: dict[str, Callable[[str | None, list[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, values: value is not None,
    "DoesNotExist": lambda value, values: value is None,
}


def label_selector_matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """`metav1.LabelSelector`: an empty one matches everything."""
    return all(
        labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()
    ) and all(
        _OPERATORS[r["operator"]](labels.get(r["key"]), r.get("values") or [])
        for r in selector.get("matchExpressions") or ()
    )
