"""Names the pods that are not ready, on a page: only for who may see pods of the namespace.

Whoever may proxy to a service is told numbers and reasons of its pods, never their names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bastion.authz.authorizer import Authorizer
from bastion.discovery.resolution import NoneReady
from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError
from bastion.kube.target import parse_target
from bastion.message.person import is_person
from bastion.proxy.admission import Admitted
from bastion.proxy.exchange import Exchange

# namespace and service -> names of pods with the reasons why they are not ready
Unready = Callable[[str, str], Sequence[tuple[str, str]]]


class UnreadyPods:
    def __init__(self, unready: Unready, authorizer: Authorizer) -> None:
        self._unready = unready
        self._authorizer = authorizer

    async def told(self, error: NoneReady, exchange: Exchange, admitted: Admitted) -> StatusError:
        """The 503 for a service without a ready endpoint; others may be told of it with the same error."""
        told = error.of(StatusError)
        asked = admitted.info.attributes
        if exchange.upgradable or not is_person(exchange.method, exchange.fields):
            return told
        service = parse_target(asked.resource, asked.namespace, asked.name).name
        pods = self._unready(asked.namespace, service)
        if pods and await self._may_see(admitted, asked.namespace):
            told.pods = tuple(pods)
        return told

    async def _may_see(self, admitted: Admitted, namespace: str) -> bool:
        asked = Attributes("get", "", "v1", namespace, "pods")
        try:
            return (await self._authorizer.authorize(admitted.acting_as, asked, admitted.asker)).allowed
        except StatusError:
            return False  # the service has no ready endpoint all the same
