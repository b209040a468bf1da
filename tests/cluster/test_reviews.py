"""Do those who ask the API server for reviews hear of failures, and the operator why?"""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.logging import LogCaptureFixture

from bastion.cluster.errors import ApiError
from bastion.cluster.outages import MOMENT, Outages
from bastion.cluster.reviews import Reviews
from bastion.kube.review import ACCESS_REVIEWS, TOKEN_REVIEWS
from tests import fakes
from tests.fakes import SOMEBODY, ClockLoop, pass_time, run

FORBIDDEN = ApiError("the API server answered 403", 403)


def said(caplog: LogCaptureFixture, *answers: Any, paths: Any = (ACCESS_REVIEWS,)) -> list[Any]:
    """The log, once each of these was asked for as often as there are answers."""

    async def main() -> None:
        for path in paths:
            reviews = Reviews(fakes.Reviews(*answers), outages)
            for answer in answers:
                if isinstance(answer, Exception):
                    with pytest.raises(type(answer)):
                        await reviews.create(path, b'{"spec":{"token":"hunter2"}}', SOMEBODY)
                else:
                    assert await reviews.create(path, b"{}", SOMEBODY) == answer
        await pass_time(MOMENT + 0.1)

    outages = Outages(lambda: "https://api:6443")
    run(main(), ClockLoop)
    assert "hunter2" not in caplog.text
    return caplog.messages


def test_a_right_that_the_bastion_lacks_is_said_with_what_gives_it(caplog: LogCaptureFixture) -> None:
    [line] = said(caplog, FORBIDDEN, paths=(ACCESS_REVIEWS, TOKEN_REVIEWS))
    assert line.startswith(
        "https://api:6443 answered 403: the bastion may not create subjectaccessreviews, tokenreviews; "
    )
    assert (
        "kubectl create clusterrolebinding bastion-auth-delegator --clusterrole=system:auth-delegator"
        " --user=NAME" in line
    )


def test_many_failures_are_one_line(caplog: LogCaptureFixture) -> None:
    assert len(said(caplog, *[FORBIDDEN] * 50)) == 1


def test_answers_are_no_news(caplog: LogCaptureFixture) -> None:
    assert said(caplog, b"yes") == []
