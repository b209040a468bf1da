"""What does a client get when a call to the API server failed?  The cause, and when to try again.

Clients do try again when they are told to: so that is said only where it helps.
"""

from __future__ import annotations

import math

from bastion.cluster.errors import ApiError
from bastion.kube.status import StatusError, service_unavailable

AGAIN = 2  # seconds
MOST = 60  # seconds that a client is asked to wait

ITSELF = "only its operator can mend that"


def unanswered(doing: str, error: Exception) -> StatusError:
    """503.  `doing` is what cannot be done without the answer, such as "authenticate the request"."""
    cause, retry_after = _cause(error)
    return service_unavailable(f"cannot {doing}: {cause}", retry_after)


def _cause(error: Exception) -> tuple[str, int | None]:
    """The cause, and seconds after which to try again (None: unknown)."""
    status = error.status if isinstance(error, ApiError) else 0
    if status == 401:
        return (
            (
                "the bastion itself may not ask the Kubernetes API server, which refuses its credentials;"
                f" {ITSELF}"
            ),
            None,
        )
    if status == 403:
        return f"the bastion itself may not ask the Kubernetes API server for this; {ITSELF}", None
    if status == 429 and isinstance(error, ApiError):
        return "the Kubernetes API server is overloaded; try again shortly", min(
            MOST, max(AGAIN, math.ceil(error.retry_after))
        )
    if status:
        return f"the Kubernetes API server answered {status}; try again shortly", AGAIN
    if isinstance(error, ValueError):
        return "the Kubernetes API server's answer could not be read; try again shortly", AGAIN
    return "the Kubernetes API server did not answer; try again shortly", AGAIN


def unreadable(resources: str) -> StatusError:
    """503 for objects that the bastion has never been allowed to list."""
    return service_unavailable(
        f"the bastion itself may not list {resources} at the Kubernetes API server; {ITSELF}"
    )
