"""Is the operator told why reviews fail, and not for each of them?"""

import pytest

from bastion.cluster.errors import ApiError
from bastion.cluster.reviews import EVERY, Reviews
from bastion.kube.review import ACCESS_REVIEWS, TOKEN_REVIEWS
from tests import fakes
from tests.fakes import SOMEBODY, ClockLoop, pass_time, run

FORBIDDEN = ApiError("the API server answered 403", 403)


def said(caplog, *answers, paths=(ACCESS_REVIEWS,), pauses=()):
    """The log, once each of these was asked for as often as there are answers."""

    async def main():
        reviews = Reviews(fakes.Reviews(*answers))
        for pause in (0, *pauses):
            await pass_time(pause)
            for path in paths:
                for answer in answers:
                    if isinstance(answer, Exception):
                        with pytest.raises(type(answer)):
                            await reviews.create(path, b'{"spec":{"token":"hunter2"}}', SOMEBODY)
                    else:
                        assert await reviews.create(path, b"{}", SOMEBODY) == answer

    run(main(), ClockLoop)
    assert "hunter2" not in caplog.text
    return caplog.messages


def test_a_right_that_the_bastion_lacks_is_said_by_its_name(caplog):
    """AU-105."""
    [line] = said(caplog, FORBIDDEN)
    assert line.startswith("no subjectaccessreviews: the API server answered 403 (the bastion itself needs the role system:auth-delegator)")


def test_a_server_that_is_away_is_said_without_the_hint(caplog):
    [line] = said(caplog, ApiError("connection refused"))
    assert line == "no subjectaccessreviews: connection refused; what is not remembered is answered with 503"


def test_many_failures_are_a_line_each_half_a_minute_and_kind(caplog):
    assert len(said(caplog, *[FORBIDDEN] * 50, paths=(ACCESS_REVIEWS, TOKEN_REVIEWS), pauses=(EVERY / 2, EVERY))) == 4


def test_answers_are_no_news(caplog):
    assert said(caplog, b"yes") == []
