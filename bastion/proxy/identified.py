"""Who asks, where what is asked for depends on it: a page that lists what its reader may open."""

from __future__ import annotations

import msgspec

from bastion.authn.authenticator import CredentialsRefused
from bastion.authz.authorizer import Authorizer
from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.kube.attributes import Attributes
from bastion.kube.requestinfo import ApiCall
from bastion.kube.user import User
from bastion.observe.record import Record
from bastion.proxy.admission import Admitted
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.exchange import Request
from bastion.proxy.guard import Guard, asker_of
from bastion.runtime.turns import Key


class Asker(msgspec.Struct, frozen=True, gc=False):
    """`user` is whom the request acts as."""

    user: User
    key: Key


class Identification:
    def __init__(
        self,
        credentials: CredentialReader,
        guard: Guard,
        impersonator: ImpersonationAuthorizer,
        authorizer: Authorizer,
    ) -> None:
        self._credentials = credentials
        self._guard = guard
        self._impersonator = impersonator
        self._authorizer = authorizer

    async def identify(self, request: Request, client: str, record: Record) -> Asker:
        """Raises StatusError, 401 where no credentials were shown or they are not accepted."""
        admitted = await self.admitted(request, client, record)
        return Asker(admitted.acting_as, admitted.asker)

    async def admitted(self, request: Request, client: str, record: Record) -> Admitted:
        """To nothing in particular: `info` is the path alone.  Raises StatusError as `identify`."""
        credentials = self._credentials.read(request, None, None)
        try:
            record.user = user = await self._guard.identify(credentials, client, request)
        except CredentialsRefused as refused:
            record.cause, user = refused.cause, None
        if user is None:
            raise self._guard.rejected(credentials, record.cause or credentials.unknown)
        key = asker_of(user, client)
        self._guard.check_place(key, tunnel=False)
        assumed = await self._impersonator.impersonate(user, request.fields, (), key)
        record.acting_as = acting_as = user if assumed is None else assumed.user
        questions = () if assumed is None else assumed.questions
        path = request.target.partition(b"?")[0].decode("utf-8", "replace")
        info = ApiCall(Attributes("get", version="", path=path))
        return Admitted(info, credentials, user, acting_as, questions, key)

    async def may(self, asker: Asker, attributes: Attributes) -> bool:
        """Raises StatusError where it could not be found out."""
        return (await self._authorizer.authorize(asker.user, attributes, asker.key)).allowed
