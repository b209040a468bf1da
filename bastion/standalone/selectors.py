"""Does a selector choose this object?

The selectors of list and watch (text), and those inside of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bastion.kube.status import bad_request, quoted

FIELDS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Selectors:
    """What a list or watch asks for; an empty one chooses everything."""

    labels: tuple[tuple[str, str], ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def chooses(self, metadata: Mapping[str, Any]) -> bool:
        labels = metadata.get("labels") or {}
        return all(labels.get(key) == value for key, value in self.labels) and all(
            metadata.get(name.removeprefix("metadata."), "") == value for name, value in self.fields
        )

    @property
    def name(self) -> str:
        """The one object that may be chosen, empty where it may be any."""
        return next((value for name, value in self.fields if name == "metadata.name"), "")


def selection(label_selector: str, field_selector: str) -> Selectors:
    """Equality only.  Raises StatusError 400 for the rest, rather than to answer another question."""
    fields = _terms(field_selector, "field")
    for name, _ in fields:
        if name not in FIELDS:
            raise bad_request(f"field label not supported: {name}")
    return Selectors(_terms(label_selector, "label"), fields)


def _terms(text: str, which: str) -> tuple[tuple[str, str], ...]:
    terms = []
    for term in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = term.partition("=")
        key, value = key.strip(), value.removeprefix("=").strip()
        if not separator or not key or any(sign in f"{key}{value}" for sign in "!=()<> "):
            raise bad_request(
                f"unable to parse the {which} selector {quoted(text)}: only key=value is supported here"
            )
        terms.append((key, value))
    return tuple(terms)


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
