"""What is said about results: text for Prometheus, and the text that `debug` shows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bastion.kube.documents import yaml_of
from bastion.probe.modules import Module
from bastion.probe.reading import shown
from bastion.probe.runner import Result
from bastion.probe.samples import Labels, exposition


class Page(msgspec.Struct, frozen=True):
    """`content_type` and body of a response; `location` where it leads elsewhere."""

    content_type: str
    body: bytes
    status: int = 200
    location: str = ""


def series(results: Sequence[Result], *, labelled: bool) -> str:
    return exposition((_labels(one) if labelled else (), one.samples) for one in results)


def _labels(result: Result) -> Labels:
    return (("pod", result.pod), ("endpoint", result.endpoint)) if result.place is not None else ()


def debug_text(results: Sequence[Result], module: Module | None, *, labelled: bool) -> str:
    logs = "\n".join(
        f"{line} pod={one.pod} endpoint={one.endpoint}" if one.place is not None and labelled else line
        for one in results
        for line in one.log
    )
    configuration = (
        yaml_of(shown(_only_used(module))) if module is not None else "what the pod itself declares\n"
    )
    # one endpoint after the other, as the exporter shows one; the labels are said once
    metrics = "".join(
        (f'# with the labels pod="{one.pod}", endpoint="{one.endpoint}"\n' if labelled and one.place else "")
        + series((one,), labelled=False)
        for one in results
    )
    return (
        f"Logs for the probe:\n{logs}\n\n\n\nMetrics that would have been returned:\n{metrics}\n\n\n"
        f"Module configuration:\n{configuration}"
    )


def _only_used(module: Module) -> dict[str, object]:
    return {
        "prober": module.prober,
        **({"timeout": f"{module.timeout:g}s"} if module.timeout else {}),
        module.prober: module.settings,
        **({"bastion": module.bastion} if module.bastion is not None else {}),
    }
