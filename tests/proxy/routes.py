"""Routes without a catalog, and what says where a target leads by now."""

from __future__ import annotations

from collections.abc import Sequence

from bastion.authn.authenticator import Credentials
from bastion.authz.authorizer import Question
from bastion.kube.attributes import Attributes
from bastion.kube.endpoint import Endpoint
from bastion.kube.requestinfo import Proxied
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.proxy.admission import Admitted
from bastion.proxy.router import Route, Router
from bastion.runtime.turns import USER, Key

INFO = Proxied(Attributes("get", "", "v1", "ns", "pods", "proxy", "web"), b"/prefix", b"/x", True)


ALICE = User("alice")


def admitted(
    credentials: Credentials = Credentials("token"),  # noqa: B008 frozen
    user: User = ALICE,
    questions: Sequence[Question] = (),
) -> Admitted:
    return Admitted(INFO, credentials, user, user, questions, (USER, user.name))


def route_to(*endpoints: Endpoint, target: bytes = b"/x", resource: str = "services") -> Route:
    return Route((resource, "ns", "web", 80), endpoints, target, INFO)


class Standing(Router):
    """Where a target led it leads still; unless it is told otherwise.  `asked` counts the questions."""

    def __init__(self) -> None:
        self.now: Sequence[Endpoint] | StatusError | None = None
        self.asked = 0

    async def again(self, route: Route, asker: Key) -> Sequence[Endpoint]:
        self.asked += 1
        if isinstance(self.now, StatusError):
            raise self.now
        return route.endpoints if self.now is None else self.now

    def dialled(self, route: Route, endpoint: Endpoint, *, silent: bool) -> None:
        """Every target here has one family."""

    async def leads_to(self, route: Route, endpoint: Endpoint, asker: Key) -> bool:
        return endpoint in await self.again(route, asker)
