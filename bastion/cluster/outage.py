"""What is a client told where the API server did not say what the bastion asked it?

Each cause for what it is.

Whoever hears "try again shortly" does: it is said only where that helps.
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
    """Why, and after how many seconds it may be otherwise (None: nobody knows)."""
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
