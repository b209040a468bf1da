"""Does a client hear why the API server did not answer the bastion, and is it sent back only where that
helps?
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from bastion.authn.authenticator import Credentials
from bastion.authn.cached import CachedAuthenticator
from bastion.authn.tokenreview import TokenReviewAuthenticator
from bastion.authz.cached import CachedAuthorizer
from bastion.authz.sar import AccessReviewAuthorizer
from bastion.cluster.client import TIMEOUT
from bastion.cluster.errors import ApiError
from bastion.cluster.outage import AUTHORIZING, unanswered, unreadable
from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.runtime.cache import Cache
from bastion.settings.sections import Lifetimes
from tests import fakes
from tests.fakes import SOMEBODY, Reviews

CAUSES = [
    pytest.param(
        ApiError("x", 401),
        "the bastion itself may not ask the Kubernetes API server, which refuses its credentials",
        None,
        id="401",
    ),
    pytest.param(
        ApiError("x", 403),
        "the bastion itself may not c",
        None,
        id="403",
    ),
    pytest.param(
        ApiError("x", 429, 7.2), "the Kubernetes API server is overloaded; try again shortly", 8, id="429"
    ),
    pytest.param(
        ApiError("x", 429),
        "the Kubernetes API server is overloaded; try again shortly",
        2,
        id="429-that-does-not-say-when",
    ),
    pytest.param(
        ApiError("x", 429, 86400.0),
        "the Kubernetes API server is overloaded; try again shortly",
        60,
        id="429-tomorrow",
    ),
    pytest.param(
        ApiError("x", 500), "the Kubernetes API server answered 500; try again shortly", 2, id="500"
    ),
    pytest.param(
        ApiError("connection refused"),
        "the Kubernetes API server did not answer; try again shortly",
        2,
        id="refused",
    ),
    pytest.param(
        TimeoutError(), "the Kubernetes API server did not answer in time; try again shortly", 2, id="timeout"
    ),
    pytest.param(
        ValueError("hunter2"),
        "the Kubernetes API server gave an answer that could not be read; try again shortly",
        2,
        id="no-review",
    ),
]


async def authenticated(api: Reviews) -> Any:
    return await TokenReviewAuthenticator(api).authenticate(Credentials("token"), SOMEBODY)


async def authenticated_and_remembered(api: Reviews) -> Any:
    return await CachedAuthenticator(TokenReviewAuthenticator(api), 10.0).authenticate(
        Credentials("token"), SOMEBODY
    )


async def authorized(api: Reviews) -> Any:
    return await AccessReviewAuthorizer(api).authorize(
        User("alice"), Attributes("get", resource="pods"), SOMEBODY
    )


async def authorized_and_remembered(api: Reviews) -> Any:
    return await CachedAuthorizer(AccessReviewAuthorizer(api), Lifetimes()).authorize(
        User("alice"), Attributes("get", resource="pods"), SOMEBODY
    )


@pytest.mark.parametrize(
    "ask", [authenticated, authenticated_and_remembered, authorized, authorized_and_remembered]
)
@pytest.mark.parametrize(("error", "said", "retry_after"), CAUSES)
def test_each_cause_is_told_for_what_it_is(
    ask: Callable[..., Any], error: Any, said: str, retry_after: int | None
) -> None:
    async def main() -> Any:
        with pytest.raises(StatusError) as caught:
            await ask(fakes.Reviews(error))
        return caught.value

    told = fakes.run(main())
    assert (told.code, told.reason) == (503, "ServiceUnavailable")
    assert said in told.message
    assert told.message.startswith(
        "cannot authenticate the request: "
        if "authenticated" in ask.__name__
        else "cannot authorize the request: "
    )
    assert told.headers == (((b"Retry-After", str(retry_after).encode()),) if retry_after else ())
    details = json.loads(told.body())["details"]
    assert details.get("retryAfterSeconds") == retry_after
    word = "ApiServerAway" if retry_after else "BastionNotPermitted"
    assert (details["causes"][0]["reason"], details["causes"][0]["field"]) == (word, "apiserver")
    assert "hunter2" not in told.message


def test_what_may_never_be_listed_is_not_to_be_asked_for_again_shortly() -> None:
    told = unreadable("pods, services")
    assert (told.code, told.headers) == (503, ())
    assert told.message.startswith("the bastion itself may not list pods, services ")
    assert "try again" not in told.message + unanswered(AUTHORIZING, ApiError("x", 403)).message


def test_a_call_gives_up_before_whoever_waits_for_it() -> None:
    """Else why it failed would never be told: a cache only knows that it waited in vain."""

    async def main() -> Any:
        return Cache(lambda value: 0.0)._timeout

    assert asyncio.run(main()) > TIMEOUT
