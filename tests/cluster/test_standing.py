"""Does the bastion know who it is and what it may, and is one slip in RBAC no outage?"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from _pytest.logging import LogCaptureFixture

from bastion.cluster.errors import ApiError
from bastion.cluster.outages import Outages
from bastion.cluster.rights import REVIEW_ACCESS, REVIEW_TOKENS, REVIEWS, Right, needed
from bastion.cluster.standing import EVERY, SOON, Standing
from bastion.runtime.turns import BACKGROUND, Asker
from tests.fakes import ClockLoop, pass_time, run, settle

ACCOUNT = "system:serviceaccount:bastion:bastion"
RIGHTS = needed([("pods", ""), ("services", "shop"), ("services", "infra")])
NO = ApiError("the API server answered 403", 403)
NONE = ApiError("the API server answered 404", 404)
AWAY = ApiError("connection refused")


class Api:
    """An API server that allows what is in `rights`; `fails` are raised, by resource."""

    def __init__(self, rights: Any = RIGHTS, **fails: Any) -> None:
        self.rights, self.fails, self.calls = set(rights), fails, []  # type: ignore[var-annotated]

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes:
        assert asker == BACKGROUND, "nobody waits for it"
        resource, asked = path.rpartition("/")[2], orjson.loads(body)
        self.calls.append(resource)
        if resource in self.fails:
            raise self.fails[resource]
        if resource == "tokenreviews":
            if REVIEW_TOKENS not in self.rights:
                raise NO
            own = asked["spec"]["token"] == "own"
            status = {"authenticated": own, "user": {"username": ACCOUNT} if own else {}}
        elif resource == "subjectaccessreviews":
            if REVIEW_ACCESS not in self.rights:
                raise NO
            status = {"allowed": False}
        elif resource == "selfsubjectreviews":
            status = {"userInfo": {"username": ACCOUNT}}
        else:
            about = asked["spec"]["resourceAttributes"]
            right = Right(
                about["verb"], about["resource"], about.get("group", ""), about.get("namespace", "")
            )
            status = {"allowed": right in self.rights}
        return orjson.dumps({"status": status})


def standing(api: Api, authorization: str | None = "Bearer own") -> Standing:
    async def header() -> Any:
        return authorization

    return Standing(api, header, RIGHTS, Outages())


def ask(api: Api, authorization: str | None = "Bearer own") -> Any:
    async def main() -> Any:
        one = standing(api, authorization)
        await one.ask()
        return one

    return run(main(), ClockLoop)


def without(*rights: Any) -> list[Right]:
    return [right for right in RIGHTS if right not in rights]


LACKING = [
    pytest.param(Api(), [], None, id="nothing"),
    pytest.param(Api(without(REVIEW_TOKENS)), [REVIEW_TOKENS], "create tokenreviews", id="reviews-of-tokens"),
    pytest.param(
        Api(without(REVIEW_ACCESS)), [REVIEW_ACCESS], "create subjectaccessreviews", id="reviews-of-access"
    ),
    pytest.param(Api([]), list(RIGHTS), "create tokenreviews, subjectaccessreviews", id="everything"),
    pytest.param(Api(without(RIGHTS[2])), [RIGHTS[2]], None, id="to-read"),
    pytest.param(
        Api(without(Right("watch", "services", "", "infra"))),
        [Right("watch", "services", "", "infra")],
        None,
        id="in-one-namespace",
    ),
    pytest.param(Api(selfsubjectaccessreviews=NONE), [], None, id="nobody-tells"),
    pytest.param(Api(selfsubjectaccessreviews=NO), [], None, id="not-allowed-to-ask"),
]


@pytest.mark.parametrize(("api", "missing", "reason"), LACKING)
@pytest.mark.parametrize("authorization", ["Bearer own", None], ids=["token", "certificate"])
def test_it_knows_what_it_lacks_and_is_not_ready_where_it_may_not_review(
    api: Api, missing: list[Right], reason: str | None, authorization: str | None
) -> None:
    one = ask(api, authorization)
    assert one.missing == frozenset(missing)
    assert (one.why_not_ready() or "").endswith(reason or "")
    assert (one.why_not_ready() is None) is (reason is None)
    assert one.identity == ACCOUNT


def test_a_right_in_all_namespaces_is_one_question() -> None:
    rights = needed([("services", "")]) + RIGHTS
    api = Api(rights)
    ask(api)
    assert api.calls.count("selfsubjectaccessreviews") == len(
        {(right.verb, right.resource) for right in RIGHTS if right not in REVIEWS}
    )


def test_a_bastion_without_a_token_reviews_none() -> None:
    api = Api()
    ask(api, None)
    assert "tokenreviews" not in api.calls


def test_an_api_server_that_has_no_such_review_still_says_who_it_is_from_the_token() -> None:
    assert ask(Api(selfsubjectreviews=NONE)).identity == ACCOUNT
    assert ask(Api(selfsubjectreviews=NONE), None).identity == ""


def test_it_is_asked_again_and_a_right_that_is_lost_later_turns_nothing_red(
    caplog: LogCaptureFixture,
) -> None:
    async def main() -> None:
        api = Api(tokenreviews=AWAY)
        one = standing(api)
        task = asyncio.create_task(one.keep())
        await settle()
        assert one.why_not_ready() is None, (
            "no answer is no refusal: the watches tell whether there is an API server"
        )
        api.fails = {}
        await pass_time(SOON + 0.1)
        assert one.why_not_ready() is None
        api.rights.clear()
        calls = len(api.calls)
        await pass_time(EVERY - 1)
        assert len(api.calls) == calls
        await pass_time(2)
        await pass_time(1)
        assert one.missing == frozenset(RIGHTS)
        assert one.why_not_ready() is None
        assert [message for message in caplog.messages if "may not create subjectaccessreviews" in message]
        task.cancel()

    run(main(), ClockLoop)
