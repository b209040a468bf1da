"""Who asks, for what, and may they?  Decided before anything is delivered.

Whatever needs the decision without a delivery calls the same function.  Nothing here outlives a request, and
what decides is an argument: the request line, the deciding header fields, the connection.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import structs

from bastion.authn.authenticator import Credentials, CredentialsRefused
from bastion.authz.authorizer import Authorizer, Question
from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.http.fields import values
from bastion.kube.attributes import Attributes
from bastion.kube.authority import Authorities
from bastion.kube.errorwords import MISSING_RULE, UPGRADE_NEEDS_CREATE
from bastion.kube.generatedclients import with_slashes
from bastion.kube.hostname import Application, HostNames
from bastion.kube.nearest import not_proxied
from bastion.kube.pathgroups import PathGroups
from bastion.kube.requestinfo import Proxied, RequestInfo, parse_proxied
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.message.upgrade import UpgradeRequest, asked_upgrade
from bastion.observe.record import Record
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.exchange import Request
from bastion.proxy.guard import Guard, asker_of
from bastion.proxy.permit import GroupsOf, Permits, no_groups
from bastion.proxy.picking import picked, with_pod
from bastion.runtime.turns import Key


class SignInHelps(StatusError):
    """401: nobody is known to be asking."""


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """What a request may have.

    `acting_as` is `user`, or the user impersonated.  `questions` are those that were answered with yes: a
    long exchange is asked about exactly these again.  `asker` is whose share of what all share the request
    takes; `upgrade` is None for an ordinary request.  `pod`: the one of a service that is to serve it, empty
    for any.  `groups`: the path groups by which it was decided.
    """

    info: RequestInfo
    credentials: Credentials
    user: User
    acting_as: User
    questions: Sequence[Question]
    asker: Key
    upgrade: UpgradeRequest | None = None
    pod: str = ""
    groups: PathGroups | None = None


class Admission:
    def __init__(
        self,
        *,
        credentials: CredentialReader,
        guard: Guard,
        impersonator: ImpersonationAuthorizer,
        authorizer: Authorizer,
        hosts: HostNames | None = None,
        own_port: int | None = None,
        generated_clients: bool = True,
        upgrade_requires_create: frozenset[str] = frozenset(),
        groups_of: GroupsOf = no_groups,
    ) -> None:
        """`hosts`: the host names that mean an application, None where none does; `own_port`: of their URLs.

        `generated_clients`: what they encode as one segment is a path.  `upgrade_requires_create`: the
        resources (pods, services, nodes) on which an upgrade needs verb create as well.  `groups_of`: the
        path groups of a service.
        """
        self._credentials = credentials
        self._guard = guard
        self._impersonator = impersonator
        self.permits = Permits(authorizer, groups_of)
        self._hosts = hosts
        self._authorities = Authorities(hosts, own_port)
        self._generated_clients = generated_clients
        self._upgrade_requires_create = upgrade_requires_create

    async def admit(
        self, request: Request, client: str, record: Record, own: RequestInfo | None = None
    ) -> Admitted:
        """Raises StatusError; SignInHelps where no credentials were shown, or a session that has ended.

        `client` is the address that the request came from.  `own`: what is asked for, where the request is
        for one of the bastion's own paths.
        """
        application: Application | None = None
        target: Proxied | None = None
        unfit: StatusError | None = None
        try:
            if own is None:
                application, target = self._parse(request, record)
        except StatusError as error:
            if not request.to_proxy:
                raise
            unfit = error  # a proxy asks first who it is that asks
        tunnel = request.to_proxy and request.method == "CONNECT"
        upgrade = _upgrade(request) if request.upgradable and own is None and not tunnel else None
        with record.stage("authentication"):
            credentials = self._credentials.read(request, upgrade, application)
            try:
                record.user = user = await self._guard.identify(credentials, client, request)
            except CredentialsRefused as refused:
                record.cause, user = refused.cause, None
        if user is None:
            record.cause = record.cause or credentials.unknown
            rejected = self._guard.rejected(credentials, record.cause)
            if request.to_proxy or (credentials.token is not None and not credentials.session):
                raise rejected
            raise rejected.of(SignInHelps)
        if record.trail is not None:
            await record.trail.received()
        if unfit is not None:
            raise unfit
        info = own or target
        if info is None:
            raise not_proxied(request.target)
        asker = asker_of(user, client)
        self._guard.check_place(asker, tunnel=tunnel or upgrade is not None)
        with record.stage("authorization"):
            pod = picked(info, request.fields)
            required = with_pod(self._required(info.attributes, upgrade), pod)
            assumed = await self._impersonator.impersonate(user, request.fields, required, asker)
            record.acting_as = acting_as = user if assumed is None else assumed.user
            questions = [] if assumed is None else [*assumed.questions]
            groups = None
            for attributes in required:
                word = MISSING_RULE if attributes.verb == info.attributes.verb else UPGRADE_NEEDS_CREATE
                permitted = await self.permits.permit(acting_as, info, attributes, asker, record, word)
                questions.append(permitted.question)
                groups = permitted.groups if permitted.groups is not None else groups
        return Admitted(
            info, credentials, user, acting_as, questions, asker, upgrade=upgrade, pod=pod, groups=groups
        )

    def renewed(self, request: Request, admitted: Admitted) -> Admitted:
        """What another request with the same deciding fields was admitted to, with this one's credentials."""
        application = self._hosts.application(request.host) if self._hosts is not None else None
        try:
            credentials = self._credentials.read(request, None, application)
        except StatusError:
            credentials = Credentials()
        return structs.replace(admitted, credentials=credentials)

    def _parse(self, request: Request, record: Record) -> tuple[Application | None, Proxied | None]:
        """Raises StatusError 400."""
        if request.to_proxy:
            record.host = b"" if request.method == "CONNECT" else request.host
            record.info = named = self._named(request)
            return None, named
        application = self._hosts.application(request.host) if self._hosts is not None else None
        if application is not None:
            record.host = request.host
        record.info = target = parse_proxied(request.method, request.target, application)
        if (
            self._generated_clients
            and target is not None
            and b"%2" in target.rest
            and not self._ruled(target)
        ):
            # Before anything is decided: backend, X-Forwarded-Uri and log have one and the same path.
            record.info = target = with_slashes(target, values(request.fields, b"user-agent"))
            record.path = target.prefix + target.rest.partition(b"?")[0]
        return application, target

    def _named(self, request: Request) -> Proxied:
        """What a proxy is asked for.  Raises StatusError 400."""
        if request.method == "CONNECT":
            return self._authorities.connect(request.target)
        return self._authorities.forward(request.method, request.host, request.target)

    def _ruled(self, target: Proxied) -> bool:
        """Then only one spelling of a path counts."""
        return self.permits.groups_of(target.attributes) is not None

    def _required(self, attributes: Attributes, upgrade: UpgradeRequest | None) -> tuple[Attributes, ...]:
        """What the user must be allowed.

        A WebSocket is a GET, so `get` on nodes/proxy would be enough to talk to whatever takes one there:
        where it is configured, an upgrade needs `create` as well (KEP-4006 does so for exec, attach and
        portforward).
        """
        if (
            upgrade is None
            or attributes.verb == "create"
            or attributes.resource not in self._upgrade_requires_create
        ):
            return (attributes,)
        return (attributes, structs.replace(attributes, verb="create"))


def _upgrade(request: Request) -> UpgradeRequest | None:
    body = request.body
    has_body = body is not None and (body.chunked or bool(body.length))
    return asked_upgrade(request.method, request.minor, request.fields, has_body=has_body)
