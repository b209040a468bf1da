"""Why is a pod not ready, in one word of its own status?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bastion.kube.compaction import compact
from bastion.kube.objects import PodStatus, UnreadyStatus, WirePod
from bastion.kube.podtroubles import Trouble

RUNNING = {"ready": False, "state": {"running": {}}}
READY = {"type": "Ready", "status": "True"}
NOT_READY = {"type": "Ready", "status": "False", "reason": "ContainersNotReady"}


def waits(reason: str, **more: Any) -> dict[str, Any]:
    return {"ready": False, "state": {"waiting": {"reason": reason, "message": "registry.test"}}, **more}


def pod(status: dict[str, Any], **metadata: Any) -> Any:
    wire = {"metadata": {"name": "p", "namespace": "n", "labels": {"app": "x"}, **metadata}, "status": status}
    return compact(msgspec.convert(wire, WirePod))


TROUBLES = [
    ({"phase": "Running", "containerStatuses": [waits("CrashLoopBackOff")]}, "CrashLoopBackOff"),
    ({"phase": "Pending", "containerStatuses": [waits("ImagePullBackOff")]}, "ImagePullBackOff"),
    ({"phase": "Pending", "containerStatuses": [waits("ContainerCreating")]}, "ContainerCreating"),
    ({"phase": "Running", "containerStatuses": [RUNNING], "conditions": [NOT_READY]}, "ReadinessProbeFailed"),
    ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
    (
        {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
        },
        "Unschedulable",
    ),
    (
        {
            "phase": "Pending",
            "initContainerStatuses": [waits("CrashLoopBackOff")],
            "containerStatuses": [waits("PodInitializing")],
        },
        "CrashLoopBackOff",
    ),
    ({"phase": "Running", "containerStatuses": [{"state": {"terminated": {"exitCode": 1}}}]}, "Error"),
    ({"phase": "Pending"}, "Pending"),
    ({"phase": "Running", "reason": "<b>no word</b>"}, "NotReady"),
]


@pytest.mark.parametrize(("status", "reason"), TROUBLES, ids=[reason for _, reason in TROUBLES])
def test_the_first_cause_that_fits(status: dict[str, Any], reason: str) -> None:
    kept = pod(status).status
    assert isinstance(kept, UnreadyStatus)
    assert (kept.trouble.reason, kept.labels) == (reason, {"app": "x"})


def test_restarts_and_how_the_last_one_ended() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    status = {"containerStatuses": [waits("CrashLoopBackOff", restartCount=17, lastState=ended)]}
    assert pod({"phase": "Running", **status}).status.trouble == Trouble("CrashLoopBackOff", 17, "OOMKilled")


def test_a_pod_that_ends_is_terminating_even_while_it_is_ready() -> None:
    status = pod({"phase": "Running", "conditions": [READY]}, deletionTimestamp="2026-01-01T00:00:00Z").status
    assert status.trouble.reason == "Terminating"


@pytest.mark.parametrize("status", [{"phase": "Running", "conditions": [READY]}, {"phase": "Succeeded"}])
def test_of_a_pod_that_is_ready_or_done_nothing_of_it_is_kept(status: dict[str, Any]) -> None:
    assert type(pod(status).status) is PodStatus
