"""What does a client get when a call to the API server failed?  The cause, and when to try again.

Clients do try again when they are told to: so that is said only where it helps.
"""

from __future__ import annotations

import math

import msgspec

from bastion.cluster.errors import ApiError
from bastion.kube.errors import error_of
from bastion.kube.errorwords import API_SERVER_AWAY, BASTION_NOT_PERMITTED
from bastion.kube.status import StatusError

AGAIN = 2  # seconds
MOST = 60  # seconds that a client is asked to wait

ITSELF = "only its operator can mend that"


class Doing(msgspec.Struct, frozen=True):
    """What cannot be done without the answer, and the right that the bastion needs for it, as far as those
    may
    know who are told.
    """

    what: str
    right: str


AUTHENTICATING = Doing("authenticate the request", "check credentials at the Kubernetes API server")
AUTHORIZING = Doing(
    "authorize the request",
    "create subjectaccessreviews at the Kubernetes API server: it needs the ClusterRole"
    " system:auth-delegator",
)


def unanswered(doing: Doing, error: Exception) -> StatusError:
    """503."""
    said = f"cannot {doing.what}"
    status = error.status if isinstance(error, ApiError) else 0
    if status == 401:
        refused = "the bastion itself may not ask the Kubernetes API server, which refuses its credentials"
        return error_of(BASTION_NOT_PERMITTED, said, f"{refused}; {ITSELF}")
    if status == 403:
        return error_of(BASTION_NOT_PERMITTED, said, f"the bastion itself may not {doing.right}; {ITSELF}")
    cause, retry_after = _away(error, status)
    return error_of(
        API_SERVER_AWAY,
        said,
        f"the Kubernetes API server {cause}; try again shortly",
        retry_after=retry_after,
    )


def _away(error: Exception, status: int) -> tuple[str, int]:
    """The cause, and seconds after which to try again."""
    if status == 429 and isinstance(error, ApiError):
        return "is overloaded", min(MOST, max(AGAIN, math.ceil(error.retry_after)))
    if status:
        return f"answered {status}", AGAIN
    if isinstance(error, ValueError):
        return "gave an answer that could not be read", AGAIN
    if isinstance(error, ApiError) and error.within:
        return f"did not answer in time ({error.within:g} s)", AGAIN
    return "did not answer in time" if isinstance(error, TimeoutError) else "did not answer", AGAIN


def unreadable(resources: str) -> StatusError:
    """503 for objects that the bastion has never been allowed to list."""
    return error_of(
        BASTION_NOT_PERMITTED,
        f"the bastion itself may not list {resources} at the Kubernetes API server",
        ITSELF,
    )
