"""A request to the pages for signing in, and how these pages are added to the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

from bastion.authn.authenticator import Credentials, CredentialsRefused
from bastion.http.fields import Field
from bastion.kube.hostname import HostNames, host_name
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.message.cookies import own_cookie, own_pieces, set_own, set_pieces
from bastion.observe.record import Record
from bastion.proxy.credentials import session_credentials
from bastion.proxy.standing import Standings
from bastion.signin.crosssite import may_use_cookie, provenance
from bastion.signin.handoff import Handoff, UsedIds
from bastion.signin.pending import SignInsUnderWay
from bastion.signin.session import Session, Sessions
from bastion.web.pages import Ways

if TYPE_CHECKING:
    from bastion.proxy.identityprovider import IdentityProvider

STRICT_TRANSPORT = "max-age=31536000"  # without subdomains: they may belong to others

Seen = Callable[[str, bytes, bytes, list[Field]], tuple[bytes, bytes]]
Client = Callable[[str, list[Field]], str]


@dataclass(frozen=True, slots=True)
class Issuers:
    """Where people sign in, by their names; `used` holds the sign-ins that came back, `standings` what
    is known of sessions; an issuer's clock may differ by `skew`.
    """

    providers: Mapping[str, IdentityProvider]
    under_way: SignInsUnderWay
    used: UsedIds
    standings: Standings
    skew: float


@dataclass(frozen=True, slots=True)
class Desk:
    """All that the pages for signing in need.

    `identify` returns the user of credentials (it raises CredentialsRefused, or StatusError 429 for an
    address that failed too often); `client` returns the address of the client, and `seen` scheme and host as
    the browser has them; `public_url` and `hosts` are set where there are application hosts; with
    `strict_transport` browsers are told to use TLS only.  `token_form`: people may paste a token;
    `root` is in front of the paths of our pages.  `issuers` can sign people in; None where none can.
    """

    sessions: Sessions
    handoff: Handoff
    identify: Callable[[Credentials, str], Awaitable[User | None]]
    client: Client
    seen: Seen
    now: Callable[[], float]
    public_url: str = ""
    hosts: HostNames | None = None
    strict_transport: bool = False
    token_form: bool = True
    root: str = ""
    issuers: Issuers | None = None

    @property
    def providers(self) -> tuple[tuple[str, str], ...]:
        """Of each its name, and where signing in there begins, relative to `/login`."""
        if self.issuers is None:
            return ()
        return tuple((one.settings.title, f"login/{name}") for name, one in self.issuers.providers.items())

    @property
    def ways(self) -> Ways:
        return Ways(self.providers, token=self.token_form)

    def application_url(self, host: str) -> str:
        """On the port where the main host is."""
        port = urlsplit(self.public_url).port
        return f"https://{host}:{port}" if port is not None else f"https://{host}"


class Visit:
    """One request."""

    def __init__(self, request: Request, desk: Desk) -> None:
        self._desk = desk
        self.record: Record = request.scope.get("bastion.record") or Record(request.method, b"", "", "")
        self.method = request.method
        self.fields: list[Field] = [(name, name, value) for name, value in request.headers.raw]
        self._peer = request.client.host if request.client is not None else ""
        self.client = desk.client(self._peer, self.fields)
        self.scheme = str(request.scope["scheme"]).encode()
        authority = next((value for name, value in request.headers.raw if name == b"host"), b"")
        self.authority = authority
        self.host = host_name(authority)
        self.root = str(request.scope.get("root_path", ""))
        self.portal = f"{self.root}/".encode()
        self.at_application = desk.hosts is not None and desk.hosts.covers(authority)
        query: bytes = request.scope["query_string"]
        raw: bytes = request.scope["raw_path"]
        self.target = raw + b"?" + query if query else raw

    def may_use_cookie(self) -> bool:
        """Whether the request comes from our own pages or a person, so that its cookies and form count."""
        try:
            seen = self._desk.seen(self._peer, self.scheme, self.authority, self.fields)
        except StatusError:  # the proxy in front does not say clearly which host was requested
            return False
        return may_use_cookie(provenance(self.method, self.fields, *seen))

    def is_navigation(self) -> bool:
        """Whether a person opens a page with it, as far as the browser says."""
        said = {
            name: value for name, _, value in self.fields if name in (b"sec-fetch-mode", b"sec-fetch-dest")
        }
        return said.get(b"sec-fetch-mode", b"navigate") == b"navigate" and (
            said.get(b"sec-fetch-dest", b"document") == b"document"
        )

    def cookie(self, name: bytes) -> bytes:
        return own_cookie(self.fields, name)

    def session(self, kind: bytes) -> Session | None:
        value = own_pieces(self.fields, kind)
        return (
            self._desk.sessions.open(kind, self.host, value, self._desk.now())
            if value and self.may_use_cookie()
            else None
        )

    async def user(self, session: Session | None) -> User | None:
        """The user of a session, None where it is no longer accepted.  Raises StatusError."""
        known = await self._identify(session_credentials(session)) if session is not None else None
        self.record.user = known
        return known

    async def owner(self, token: str) -> User | None:
        """The user of a token, None where it is not accepted.  Raises StatusError."""
        return await self._identify(Credentials(token))

    async def _identify(self, credentials: Credentials) -> User | None:
        try:
            return await self._desk.identify(credentials, self.client)
        except CredentialsRefused as refused:
            self.record.cause = refused.cause
            return None


def with_cookie(response: Response, name: bytes, value: bytes = b"", seconds: int = 0) -> Response:
    response.raw_headers.append((b"set-cookie", set_own(name, value, seconds)))
    return response


def with_session(
    response: Response, visit: Visit, kind: bytes, value: bytes = b"", seconds: int = 0
) -> Response:
    """In as many cookies as it needs; those of an earlier one are removed."""
    for line in set_pieces(visit.fields, kind, value, seconds):
        response.raw_headers.append((b"set-cookie", line))
    return response


def see_other(location: str) -> Response:
    return Response(None, 303, {"Location": location, "Cache-Control": "no-store"})


# --- where pages are reached

Answer = Callable[[Visit, Desk, Request], Awaitable[Response]]
Answers = dict[int | str, dict[str, Any]]

_PAGE = {"content": {"text/html": {"schema": {"type": "string"}}}}
PAGE_ANSWERS: Answers = {
    200: {"description": "The page", **_PAGE},
    "default": {"description": "A page that says what went wrong", **_PAGE},
}
FORM_ANSWERS: Answers = {
    303: {"description": "Done; go on there", "headers": {"Location": {"schema": {"type": "string"}}}},
    "default": PAGE_ANSWERS["default"],
}


@dataclass(frozen=True, slots=True)
class Description:
    """Of a page or a form, in OpenAPI; `takes`: the body's content types and schemas.  `parameters` are those
    of its path.
    """

    operation: str
    summary: str
    takes: dict[str, Any] | None = None
    parameters: tuple[dict[str, Any], ...] = ()


def add_page(app: FastAPI, desk: Desk | None, path: str, answer: Answer, described: Description) -> None:
    """`answer` is called for GET and HEAD.  Without a desk there is no such page, though it is described."""
    _add(app, desk, path, answer, _Operation("GET", described))
    _add(app, desk, path, answer, _Operation("HEAD", described, in_schema=False))


def add_form(app: FastAPI, desk: Desk | None, path: str, answer: Answer, described: Description) -> None:
    _add(app, desk, path, answer, _Operation("POST", described))


def add_get(app: FastAPI, desk: Desk | None, path: str, answer: Answer, described: Description) -> None:
    """For GET alone: to ask for it does something."""
    _add(app, desk, path, answer, _Operation("GET", described))


def add_step(app: FastAPI, desk: Desk | None, path: str, answer: Answer) -> None:
    """One that a browser is sent through, and that no person asks for."""
    _add(app, desk, path, answer, _Operation("GET", Description(path, ""), in_schema=False))


@dataclass(frozen=True, slots=True)
class _Operation:
    method: str
    described: Description
    in_schema: bool = True


def _add(app: FastAPI, desk: Desk | None, path: str, answer: Answer, operation: _Operation) -> None:
    async def endpoint(request: Request) -> Response:
        if desk is None:
            raise HTTPException(404)
        visit = Visit(request, desk)
        response = await answer(visit, desk, request)
        # At an application's host the application decides; over plain HTTP it is ignored (RFC 6797, 8.1).
        if desk.strict_transport and visit.scheme == b"https" and not visit.at_application:
            response.headers["Strict-Transport-Security"] = STRICT_TRANSPORT
        return response

    form, takes = operation.method == "POST", operation.described.takes
    more: dict[str, Any] = {"requestBody": {"required": True, "content": takes}} if takes else {}
    if operation.described.parameters:
        more["parameters"] = list(operation.described.parameters)
    app.add_api_route(
        path,
        endpoint,
        methods=[operation.method],
        operation_id=operation.described.operation,
        summary=operation.described.summary,
        include_in_schema=operation.in_schema,
        response_class=HTMLResponse,
        response_model=None,
        status_code=303 if form else 200,
        responses=FORM_ANSWERS if form else PAGE_ANSWERS,
        openapi_extra=more or None,
        tags=["sign-in"],
    )
