"""· Is a response what was recorded?  Everything that differs, a sentence each."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

OWN = ("pod", "endpoint")  # the labels that a probe of a service adds
Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"(?:,|$)')


@dataclass(frozen=True)
class Response:
    status: int
    kind: str
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def differences(
    expect: Mapping[str, Any],
    response: Response,
    *,
    address: str,
    fingerprints: Mapping[str, str],
    labelled: bool,
) -> Iterator[str]:
    """`address` is that of the backend; `labelled`: it was asked for as a service."""
    allowed = expect["status"] if isinstance(expect["status"], list) else [expect["status"]]
    if response.status not in allowed:
        yield f"status {response.status}, not {allowed}: {response.text[:200]}"
        return
    if not response.kind.startswith(expect.get("content_type", "")):
        yield f"content type {response.kind}"
    for pattern in expect.get("body", ()):
        if not re.search(pattern, response.text, re.DOTALL):
            yield f"the body lacks {pattern}: {response.text[:200]}"
    for pattern in expect.get("body_not", ()):
        if re.search(pattern, response.text, re.DOTALL):
            yield f"the body has {pattern}"
    if "json" in expect:
        yield from _document(json.loads(response.text), expect["json"], "$")
    if response.status == 200 and "samples" in expect:
        yield from _samples(expect, samples_of(response.text), address, fingerprints, labelled=labelled)
    if response.status == 200 and "series" in expect:
        yield from _series(expect["series"], samples_of(response.text))


def samples_of(text: str) -> Samples:
    """Raises AssertionError where it is not as Prometheus wants it, or of another type than a gauge."""
    found: Samples = {}
    named = set(re.findall(r"^# HELP (\S+)", text, re.MULTILINE))
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge", family
        assert family.name in named, family
        for one in family.samples:
            key = (one.name, tuple(sorted(one.labels.items())))
            assert key not in found, key
            found[key] = one.value
    return found


def _samples(
    expect: Mapping[str, Any],
    found: Samples,
    address: str,
    fingerprints: Mapping[str, str],
    *,
    labelled: bool,
) -> Iterator[str]:
    if labelled:
        for name, labels in found:
            if not {label for label, _ in labels} >= set(OWN):
                yield f"{name}{labels} does not say of which endpoint it is"
    left = {
        (name, tuple(one for one in labels if one[0] not in OWN)): value
        for (name, labels), value in found.items()
        if not name.startswith("bastion_")
    }
    whole, phases = left.get(("probe_duration_seconds", ()), 0.0), 0.0
    for text, wanted in expect["samples"].items():
        key = _key(text, wanted, left, fingerprints)
        if key not in left:
            if not (isinstance(wanted, dict) and wanted.get("optional")):
                yield f"{text} is missing"
            continue
        value = left.pop(key)
        phases += value if key[0] == "probe_http_duration_seconds" else 0.0
        if not _is_as(value, wanted, address):
            yield f"{text} is {value}, not {wanted}"
    left.pop(("probe_timeout_seconds", ()), None)  # newer than any release
    if left and not expect.get("partial"):
        yield f"these are not wanted: {left}"
    if not expect.get("partial") and phases > whole + 0.05:
        yield f"the phases add up to {phases} of {whole} seconds"


def _key(text: str, wanted: Any, found: Samples, fingerprints: Mapping[str, str]) -> tuple[str, Labels]:
    name, _, labels = text.partition("{")
    if isinstance(wanted, dict) and "labels" in wanted:
        patterns = wanted["labels"]
        for one in found:
            there = dict(one[1])
            if one[0] == name and all(re.fullmatch(p, there.get(n, "")) for n, p in patterns.items()):
                return one
    pairs = ((one, json.loads(f'"{value}"')) for one, value in LABEL.findall(labels.removesuffix("}")))
    return name, tuple(sorted((one, fingerprints.get(value, value)) for one, value in pairs))


def _is_as(value: float, wanted: Any, address: str) -> bool:
    if isinstance(wanted, dict):
        return bool(value >= wanted["least"] if "least" in wanted else value == wanted.get("value", value))
    if wanted == "any":
        return value >= 0
    if wanted == "some":
        return value > 0
    return bool(value == (_hash(address) if wanted == "address" else wanted))


def _hash(address: str) -> int:
    """FNV-1a of 32 bits."""
    value = 0x811C9DC5
    for byte in ipaddress.ip_address(address).packed:
        value = (value ^ byte) * 0x01000193 % (1 << 32)
    return value


def _series(expect: Mapping[str, Any], found: Samples) -> Iterator[str]:
    for name, wanted in expect.items():
        there = {labels: value for (one, labels), value in found.items() if one == name}
        if len(there) != wanted.get("count", len(there)):
            yield f"{name} has {len(there)} series"
        values = sorted(there.values())
        if values != sorted(wanted.get("values", values)):
            yield f"{name} has the values {values}"
        for label, texts in wanted.get("labels", {}).items():
            got = sorted(dict(labels).get(label, "") for labels in there)
            if got != sorted(map(str, texts)):
                yield f"{name} has as {label} {got}, not {texts}"
        for value, label, text in wanted.get("which", ()):
            got = [dict(labels).get(label, "") for labels, one in there.items() if one == value]
            if got != [text]:
                yield f"{name} is {value} at {got}, not at {text}"


def _document(found: Any, wanted: Any, where: str) -> Iterator[str]:
    """`wanted` is part of it; of a list each one is somewhere in it."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name, one in wanted.items():
            if name in found:
                yield from _document(found[name], one, f"{where}.{name}")
            else:
                yield f"{where} lacks {name}"
    elif isinstance(wanted, list) and isinstance(found, list):
        for one in wanted:
            if not any(not list(_document(there, one, "")) for there in found):
                yield f"{where} lacks {one}: {found}"
    elif isinstance(wanted, str) and wanted.startswith("re:"):
        if not re.search(wanted[3:], str(found)):
            yield f"{where} is {found}"
    elif found != wanted:
        yield f"{where} is {found}, not {wanted}"
