"""· The endpoints of a target, each with its state, and the sentence that says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bastion.kube.objects import SliceEndpoint
from bastion.web.figures import count, milliseconds, span
from bastion.web.health import DEGRADED, DOWN, MAINTENANCE, UNPROBED, UP
from bastion.web.portal.rows import Row

READY, NOT_READY, TERMINATING, FAILING = "Ready", "Not ready", "Terminating", "Failing"


class EndpointRow(msgspec.Struct, frozen=True):
    """`at` is where it listens, empty where the reader may not know; `bars` of the last day; `since` in
    seconds since the epoch, 0 where not known.
    """

    name: str
    state: str
    word: str
    at: str = ""
    why: str = ""
    since: float = 0.0
    bars: str = ""
    said: str = ""
    latency: str = ""


def endpoint_rows(
    endpoints: Mapping[str, SliceEndpoint],
    probes: Sequence[Mapping[str, Any]],
    *,
    addresses: bool,
    window: str = "24h",
) -> list[EndpointRow]:
    """`probes` as the reports have them; `addresses`: whether the reader may see these."""
    probed = {str(one["pod"]): one for probe in probes for one in probe["endpoints"] if one["pod"]}
    return [
        _row(name, endpoint, probed.get(name), addresses=addresses, window=window)
        for name, endpoint in sorted(endpoints.items())
    ]


def _row(
    name: str, endpoint: SliceEndpoint, probe: Mapping[str, Any] | None, *, addresses: bool, window: str
) -> EndpointRow:
    state, word = _state(endpoint, str(probe["state"]) if probe is not None else "")
    found = EndpointRow(name if endpoint.target_ref is not None or addresses else "an endpoint", state, word)
    at = ", ".join(endpoint.addresses) if addresses else ""
    why = "still serving" if word == TERMINATING and endpoint.serves_while_ending else ""
    if probe is None:
        return msgspec.structs.replace(found, at=at, why=why)
    code = str(probe.get("bars", {}).get(window, ""))
    good = sorted(float(one["duration"]) for one in probe.get("results", ()) if one["success"])
    return msgspec.structs.replace(
        found,
        at=str(probe["endpoint"]) if addresses else "",
        why=str(probe["reason"]) or why,
        since=float(probe["since"]),
        bars=code,
        said=_said(code, window),
        latency=f"{milliseconds(_at(good, 0.5))} / {milliseconds(_at(good, 0.99))}" if good else "",
    )


def _state(endpoint: SliceEndpoint, probed: str) -> tuple[str, str]:
    if endpoint.conditions.terminating:
        return MAINTENANCE, TERMINATING
    if not endpoint.ready:
        return DOWN, NOT_READY
    if probed == "down":
        return DOWN, FAILING
    return (UP if probed == "up" else UNPROBED), READY


def _at(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def _said(code: str, window: str) -> str:
    bad = sum(letter in "gd" for letter in code)
    return f"{window}: {'no trouble' if not bad else f'trouble in {bad} of {len(code)} parts'}"


def sentence(row: Row, endpoints: Sequence[EndpointRow], now: float) -> tuple[str, str]:
    """What a colleague would say; the second part explains.  Empty where all is well."""
    window = row.subject.card.maintenance
    if row.state == MAINTENANCE and window is not None:
        return f"In maintenance for another {span(window.end - now)}.", window.text
    bad = [one for one in endpoints if one.state == DOWN]
    if row.state == DOWN:
        if not endpoints:
            return "It has no endpoint.", "Its selector fits no pod, or none was made yet."
        if row.ready == 0:
            return f"None of {count(len(endpoints), 'endpoint')} is ready.", _reason(bad)
        return f"All of {count(len(endpoints), 'endpoint')} fail{_for(bad, now)}.", _reason(bad)
    if row.state == DEGRADED and bad:
        some = count(len(bad), "of", "of").split(" ")[0].capitalize()
        verb = "is" if len(bad) == 1 else "are"
        kind = "failing" if any(one.word == FAILING for one in bad) else "not ready"
        since = _for(bad, now)
        done = f"has been {kind}{since}" if since and len(bad) == 1 else f"{verb} {kind}{since}"
        return f"{some} of {count(len(endpoints), 'endpoint')} {done}.", _reason(bad)
    if row.state == DEGRADED and row.slow and row.subject.card.slow_above is not None:
        above = milliseconds(row.subject.card.slow_above)
        return "It has been slow for five minutes.", f"One request in a hundred takes longer than {above}."
    if row.state == DEGRADED:
        return "Not all of its endpoints serve.", row.probed.reason if row.probed is not None else ""
    return "", ""


def _for(bad: Sequence[EndpointRow], now: float) -> str:
    since = [one.since for one in bad if one.since]
    return f" for {span(now - min(since))}" if since else ""


def _reason(bad: Sequence[EndpointRow]) -> str:
    return "; ".join(f"{one.name}: {one.why}" for one in bad[:3] if one.why)
