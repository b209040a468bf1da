"""Does the log tell of each cause once, of changes at once, of its end, and not of every failure?"""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.logging import LogCaptureFixture

from bastion.cluster.errors import ApiError
from bastion.cluster.outages import AGAIN, MOMENT, MOST, Outages
from bastion.cluster.rights import REVIEW_ACCESS, REVIEW_TOKENS, Right, commands, listed, needed
from tests.fakes import ClockLoop, pass_time, run

FORBIDDEN = ApiError("the API server answered 403", 403)
BROKEN = ApiError("the API server answered 500", 500)
SILENT = ApiError("no answer within 8 s")
LIST, WATCH = Right("list", "pods"), Right("watch", "pods")
ACCOUNT = "system:serviceaccount:bastion:bastion"


def told(caplog: LogCaptureFixture, *steps: Any) -> list[str]:
    """The log after these steps: (what happened, to which right, why); a number passes so many seconds."""

    async def main() -> None:
        outages = Outages(lambda: "https://api:6443")
        outages.identity = ACCOUNT
        for step in steps:
            if isinstance(step, (int, float)):
                await pass_time(step)
            else:
                getattr(outages, step[0])(*step[1:])
        await pass_time(MOMENT + 0.01)

    run(main(), ClockLoop)
    return caplog.messages


def failed(right: Right, error: ApiError) -> tuple[str, Right, ApiError]:
    return ("failed", right, error)


def test_one_cause_is_one_line_with_where_what_who_and_how_to_mend_it(caplog: LogCaptureFixture) -> None:
    """Also where its consequences come one by one."""
    [line] = told(
        caplog,
        *(
            failed(right, FORBIDDEN)
            for right in needed([("pods", ""), ("services", ""), ("endpointslices", "")])
        ),
    )
    assert (
        line
        == f"https://api:6443 answered 403: {ACCOUNT} may not create subjectaccessreviews, tokenreviews; get,"
        " list, watch pods, services; list, watch endpointslices; this allows it: kubectl create"
        " clusterrolebinding bastion-auth-delegator --clusterrole=system:auth-delegator"
        " --serviceaccount=bastion:bastion && kubectl create clusterrole bastion-discovery"
        " --verb=get,list,watch --resource=pods,services,endpointslices.discovery.k8s.io && kubectl"
        " create clusterrolebinding bastion-discovery --clusterrole=bastion-discovery"
        " --serviceaccount=bastion:bastion"
    )


def test_two_causes_are_two_lines(caplog: LogCaptureFixture) -> None:
    lines = told(caplog, failed(LIST, FORBIDDEN), failed(REVIEW_TOKENS, BROKEN))
    assert [line.partition(":6443 ")[2].partition(":")[0] for line in lines] == [
        "answered 403",
        "answered 500",
    ]


def test_a_cause_that_changes_is_news_at_once_and_that_it_works_again_too(caplog: LogCaptureFixture) -> None:
    lines = told(
        caplog,
        failed(LIST, SILENT),
        3,
        failed(LIST, BROKEN),
        3,
        failed(LIST, BROKEN),
        3,
        ("answered", LIST),
        3,
    )
    assert len(lines) == 3
    assert lines[0].startswith(
        "https://api:6443 does not answer: no answer within 8 s: cannot list pods; it takes connections"
    )
    assert lines[1].startswith("https://api:6443 answered 500: cannot list pods")
    assert lines[2] == "https://api:6443 answers again, after 9 s: can list pods"


def test_what_goes_on_is_said_more_and_more_rarely(caplog: LogCaptureFixture) -> None:
    steps = [step for _ in range(int(10 * MOST)) for step in (failed(LIST, SILENT), 1)]
    assert len(told(caplog, *steps)) in range(10, 18)


def test_what_comes_and_goes_does_not_fill_the_log(caplog: LogCaptureFixture) -> None:
    steps = [
        step
        for _ in range(50)
        for step in (failed(REVIEW_ACCESS, SILENT), MOMENT, ("answered", REVIEW_ACCESS), MOMENT)
    ]
    assert len(told(caplog, *steps)) <= 2 * (1 + 50 * 2 * MOMENT / AGAIN) + 1


def test_what_worked_all_the_time_works_again_without_a_word(caplog: LogCaptureFixture) -> None:
    assert told(caplog, ("answered", LIST), failed(WATCH, SILENT), ("answered", WATCH), MOMENT) == []


def test_a_right_that_was_given_ends_only_the_want_of_it(caplog: LogCaptureFixture) -> None:
    assert len(told(caplog, failed(LIST, SILENT), 1, ("granted", LIST), 1)) == 1
    caplog.clear()
    assert told(caplog, failed(LIST, FORBIDDEN), 1, ("granted", LIST), 1)[1].startswith(
        "https://api:6443 answers again, after "
    )


HINTS = [
    (
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate",
        "certificate-authority",
    ),
    ("[Errno -2] Name or service not known", "DNS"),
    ("[Errno 111] Connection refused", "nothing listens there"),
    ("no answer within 8 s", "does not answer: see its load"),
]


@pytest.mark.parametrize(("cause", "hint"), HINTS)
def test_the_usual_causes_come_with_what_to_look_at(caplog: LogCaptureFixture, cause: str, hint: str) -> None:
    [line] = told(caplog, failed(LIST, ApiError(cause)))
    assert cause in line and hint in line


@pytest.mark.parametrize("error", [ApiError("x", 401), ApiError("x", 429), BROKEN])
def test_an_answer_that_is_none_comes_with_what_to_look_at(
    caplog: LogCaptureFixture, error: ApiError
) -> None:
    [line] = told(caplog, failed(LIST, error))
    assert str(error.status) in line and "list pods" in line and (";" in line)


def test_credentials_that_cannot_be_read_are_no_answer(caplog: LogCaptureFixture) -> None:
    [line] = told(
        caplog,
        failed(
            LIST, ApiError("the bastion's own credentials cannot be read: No such file", 401, answered=False)
        ),
    )
    assert (
        line
        == "https://api:6443 is not asked: the bastion's own credentials cannot be read: No such file: cannot"
        " list pods"
    )


# --- rights in words, and as commands


def test_rights_of_namespaces_are_given_there() -> None:
    lacking = needed([("pods", "shop"), ("services", "shop")])[2:]
    assert listed(lacking) == "get, list, watch pods, services in shop"
    assert commands(lacking, "jane doe") == (
        "kubectl create -n shop role bastion-discovery --verb=get,list,watch --resource=pods,services"
        " && kubectl create -n shop rolebinding bastion-discovery --role=bastion-discovery '--user=jane doe'"
    )


def test_only_what_is_used_is_asked_for() -> None:
    rights = needed([("pods", ""), ("services", ""), ("endpointslices", "")])
    assert Right("get", "endpointslices", "discovery.k8s.io") not in rights
    assert not any(right.resource == "nodes" for right in rights)
