"""The order of decisions: parse, authenticate, authorize, then shape and existence; and that each exchange is
recorded once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.discovery.resolver import Resolver
from bastion.kube.attributes import Attributes
from bastion.kube.endpoint import Endpoint
from bastion.kube.status import bad_request
from bastion.kube.user import User
from bastion.message.ownorigin import data_fields
from bastion.network.addresses import DialPolicy
from bastion.observe.record import Record
from bastion.proxy.admission import Admission
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.gateway import Gateway
from bastion.proxy.guard import Guard
from bastion.proxy.origin import Origins
from bastion.proxy.router import Route, Router
from bastion.proxy.streams import Streams, UnderWay
from bastion.runtime.deadlines import Deadlines
from bastion.settings.sections import Limits, StreamLimits
from tests import fakes
from tests.fakes import Decides, Knows, catalog_of, unavailable
from tests.proxy.exchanges import Exchange, fields_of

ALICE, MALLORY = User("alice", "1", ("devs",)), User("mallory")
AS_ALICE, AS_MALLORY = "Authorization: Bearer alice", "Authorization: Bearer mallory"
USERS = {AS_ALICE: ALICE, AS_MALLORY: MALLORY}
POD = b"/api/v1/namespaces/ns/pods/web:80/proxy"

Answer = Callable[[Exchange], Awaitable[None]]


async def ok(exchange: Exchange) -> None:
    exchange.start(200, b"", [], 0)
    exchange.finish()


class House:
    """A gateway among fakes: `steps` are who was asked, in order; `records` what was observed; `sent` what
    was forwarded.
    """

    def __init__(
        self,
        answer: Answer = ok,
        *,
        knows: Exception | None = None,
        decides: Exception | None = None,
        generated_clients: bool = True,
    ) -> None:
        self.steps: list[str] = []
        self.records: list[tuple[Record, int]] = []
        self.sent: list[tuple[Route, Any]] = []
        self.asked: list[tuple[User, Attributes]] = []
        self._answer = answer
        self._generated_clients = generated_clients
        self._knows = Knows({"alice": ALICE, "mallory": MALLORY}, knows)
        self._decides = Decides(self._allowed, decides)

    def _allowed(self, user: User, attributes: Attributes) -> bool:
        self.asked.append((user, attributes))
        return user.name == "alice"

    def serve(self, exchange: Exchange) -> Exchange:
        async def main() -> None:
            await self._gateway().serve(exchange)

        fakes.run(main())
        assert exchange.finished
        ((_, code),) = self.records
        assert code == exchange.status
        return exchange

    def refuse(self, exchange: Exchange) -> None:
        async def main() -> None:
            self._gateway().refuse(exchange, bad_request("malformed"))

        fakes.run(main())

    def _gateway(self) -> Gateway:
        catalog = catalog_of(pods=[fakes.pod("web", "10.0.0.1", containers=[[80]])])
        authorizer: Any = Step(self.steps, "authorize", self._decides)
        origins = Origins(())
        guard = Guard(
            Step(self.steps, "authenticate", self._knows),
            lambda credentials: False,
            Limits(),
            lambda exchange: False,
        )
        return Gateway(
            admission=Admission(
                credentials=CredentialReader(origins, None, None, lambda: 0.0),
                guard=guard,
                impersonator=ImpersonationAuthorizer(authorizer),
                authorizer=authorizer,
                generated_clients=self._generated_clients,
            ),
            guard=guard,
            router=Step(
                self.steps,
                "route",
                Router(Resolver(catalog, DialPolicy(), nodes=False), fakes.a_turn),
            ),  # type: ignore[arg-type]
            origins=origins,
            forwarder=Forwards(self),  # type: ignore[arg-type]
            tunneller=None,  # type: ignore[arg-type]
            streams=Streams(Deadlines(), StreamLimits(), lambda *watched: lambda: None),
            observer=Observes(self),  # type: ignore[arg-type]
        )

    async def forward(self, exchange: Exchange, route: Route, envelope: Any) -> None:
        self.steps.append("forward")
        self.sent.append((route, envelope))
        await self._answer(exchange)


class Step:
    """Asks somebody, and notes it."""

    def __init__(self, steps: list[str], name: str, who: Any) -> None:
        self._steps, self._name, self._who = steps, name, who

    def __getattr__(self, method: str) -> Any:
        def ask(*arguments: Any) -> Any:
            self._steps.append(self._name)
            return getattr(self._who, method)(*arguments)

        return ask


class Forwards:
    def __init__(self, house: House) -> None:
        self._house = house

    async def serve(
        self,
        exchange: Exchange,
        route: Route,
        envelope: Any,
        record: Record,
        under_way: UnderWay,
        begun: object = None,
    ) -> None:
        await self._house.forward(exchange, route, envelope)


class Observes:
    def __init__(self, house: House) -> None:
        self._house = house

    def begin(self, record: Record, exchange: Exchange, sources: Any) -> None:
        """Nothing is audited."""

    def observe(self, record: Record, code: int, bytes_in: int, bytes_out: int) -> None:
        self._house.records.append((record, code))


# --- the order

PARSED: list[str] = []
KNOWN = ["authenticate"]
ASKED = [*KNOWN, "authorize"]
ROUTED = [*ASKED, "route"]
SENT = [*ROUTED, "forward"]

API = b"/api/v1/namespaces/ns/"
NOWHERE = b"/apis/apps/v1/deployments"

# method, target, whose, code, who was asked
ORDER: dict[str, tuple[str, bytes, str, int, list[str]]] = {
    "a path that hides something, nobody": ("GET", API + b"pods/a%2Fb/proxy/", "", 400, PARSED),
    "a path that hides something": ("GET", API + b"pods/a%00b/proxy/", AS_ALICE, 400, PARSED),
    "no name": ("GET", API + b"pods//proxy/", AS_ALICE, 400, PARSED),
    "nobody": ("GET", POD + b"/", "", 401, KNOWN),
    "nobody, nowhere": ("GET", NOWHERE, "", 401, KNOWN),
    "nobody, no such method": ("BREW", POD + b"/", "", 401, KNOWN),
    "an unknown token": ("GET", POD + b"/", "Authorization: Bearer guessed", 401, KNOWN),
    "no bearer token": ("GET", POD + b"/", "Authorization: Basic x", 401, KNOWN),
    "nowhere": ("GET", NOWHERE, AS_ALICE, 404, KNOWN),
    "nowhere, for whom nothing is allowed": ("GET", NOWHERE, AS_MALLORY, 404, KNOWN),
    "not allowed": ("GET", POD + b"/", AS_MALLORY, 403, ASKED),
    "not allowed, nothing there": ("GET", API + b"pods/gone/proxy/", AS_MALLORY, 403, ASKED),
    "not allowed, no id": ("GET", API + b"pods/a:b:c:d/proxy/", AS_MALLORY, 403, ASKED),
    "not allowed, no such method": ("BREW", POD + b"/", AS_MALLORY, 403, ASKED),
    "not allowed, no slash": ("GET", POD, AS_MALLORY, 403, ASKED),
    "not allowed, nodes": ("GET", b"/api/v1/nodes/n/proxy/", AS_MALLORY, 403, ASKED),
    "no such method": ("BREW", POD + b"/", AS_ALICE, 405, ASKED),
    "no such method, no id": ("BREW", API + b"pods/a:b:c:d/proxy/", AS_ALICE, 405, ASKED),
    "no such method, nothing there": ("TRACE", API + b"pods/gone/proxy/", AS_ALICE, 405, ASKED),
    "no id": ("GET", API + b"pods/a:b:c:d/proxy/", AS_ALICE, 400, ROUTED),
    "no scheme of ours": ("GET", API + b"pods/ftp:web:80/proxy/", AS_ALICE, 400, ROUTED),
    "nothing there": ("GET", API + b"pods/gone/proxy/", AS_ALICE, 404, ROUTED),
    "nothing there, no slash": ("GET", API + b"pods/gone/proxy", AS_ALICE, 404, ROUTED),
    "nodes are off": ("GET", b"/api/v1/nodes/n/proxy/", AS_ALICE, 403, ROUTED),
    "no slash": ("GET", POD, AS_ALICE, 301, ROUTED),
    "no slash, HEAD": ("HEAD", POD, AS_ALICE, 301, ROUTED),
    "no slash, POST": ("POST", POD, AS_ALICE, 200, SENT),
    "all well": ("GET", POD + b"/", AS_ALICE, 200, SENT),
}


@pytest.mark.parametrize(("method", "target", "whose", "code", "steps"), ORDER.values(), ids=ORDER)
def test_the_order_of_decisions(method: str, target: bytes, whose: str, code: int, steps: list[str]) -> None:
    house = House()
    exchange = house.serve(Exchange(method, target, fields_of(whose) if whose else []))
    # what is not known may be looked for again
    assert (exchange.status, list(dict.fromkeys(house.steps))) == (code, steps)
    ((record, _),) = house.records
    assert record.path == target
    assert record.user == (USERS.get(whose) if steps else None)
    assert bool(record.error) is (exchange.refused is not None)


# --- what is asked


@pytest.mark.parametrize(
    ("method", "verb"),
    [
        ("GET", "get"),
        ("HEAD", "get"),
        ("POST", "create"),
        ("PUT", "update"),
        ("PATCH", "patch"),
        ("DELETE", "delete"),
        ("OPTIONS", ""),
        ("BREW", ""),
        ("get", ""),
    ],
)
def test_the_verb_follows_the_method(method: str, verb: str) -> None:
    house = House()
    house.serve(Exchange(method, POD + b"/", fields_of(AS_ALICE)))
    assert house.asked == [(ALICE, Attributes(verb, "", "v1", "ns", "pods", "proxy", "web:80"))]


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        (b"web", "web"),
        (b"web:80", "web:80"),
        (b"http:web:80", "http:web:80"),
        (b"http%3Aw%65b%3A", "http:web:"),
    ],
)
def test_the_name_is_the_whole_decoded_id(segment: bytes, name: str) -> None:
    house = House()
    house.serve(Exchange("GET", API + b"pods/" + segment + b"/proxy/x", fields_of(AS_ALICE)))
    assert house.asked[0][1].name == name


def test_whoever_acts_as_another_is_asked_about_first() -> None:
    house = House()
    exchange = house.serve(Exchange("GET", POD + b"/", fields_of(AS_ALICE, "Impersonate-User: mallory")))
    mallory = User("mallory", groups=("system:authenticated",))
    assert [(user, asked.verb) for user, asked in house.asked] == [
        (ALICE, "impersonate-on:user-info:get"),
        (ALICE, "impersonate:user-info"),
        (mallory, "get"),
    ]
    assert exchange.status == 403
    ((record, _),) = house.records
    assert (record.user, record.acting_as) == (ALICE, mallory)


# --- what is sent


@pytest.mark.parametrize(
    ("method", "rest", "target"),
    [
        ("GET", b"/", b"/"),
        ("GET", b"/a%2Fb//c/../d?x=%zz", b"/a%2Fb//c/../d?x=%zz"),
        ("POST", b"", b"/"),
        ("POST", b"?x=y", b"/?x=y"),
        ("OPTIONS", b"/?", b"/?"),
    ],
)
def test_what_is_behind_the_prefix_is_sent_as_it_came(method: str, rest: bytes, target: bytes) -> None:
    house = House()
    house.serve(Exchange(method, POD + rest, fields_of(AS_ALICE)))
    ((route, envelope),) = house.sent
    assert (route.target, list(route.endpoints)) == (target, [Endpoint("10.0.0.1", 80)])
    assert (envelope.forwarded.prefix, envelope.keep_authorization) == (POD, False)


@pytest.mark.parametrize(("decode", "path"), [(True, b"/api/v1/query"), (False, b"/api%2Fv1%2Fquery")])
def test_backend_forwarded_uri_and_log_agree_on_a_generated_clients_path(decode: bool, path: bytes) -> None:
    house = House(generated_clients=decode)
    agent = "User-Agent: OpenAPI-Generator/37.0.0/python"
    house.serve(Exchange("GET", POD + b"/api%2Fv1%2Fquery?query=a%2Fb", fields_of(AS_ALICE, agent)))
    ((route, envelope),) = house.sent
    ((record, _),) = house.records
    assert (route.target, envelope.forwarded.uri, record.path) == (
        path + b"?query=a%2Fb",
        POD + path,
        POD + path,
    )
    assert house.asked == [(ALICE, Attributes("get", "", "v1", "ns", "pods", "proxy", "web:80"))]


def test_a_credential_for_the_bastion_leaves_the_other_to_the_backend() -> None:
    house = House()
    house.serve(
        Exchange(
            "GET", POD + b"/", fields_of("X-Bastion-Authorization: Bearer alice", "Authorization: Basic x")
        )
    )
    assert house.sent[0][1].keep_authorization


@pytest.mark.parametrize(
    ("rest", "location"),
    [(b"", b"/"), (b"?x=/y&z", b"/?x=/y&z"), (b"?", b"/?")],
    ids=["nothing", "a query", "an empty query"],
)
@pytest.mark.parametrize("prefix", [POD, API + b"pods/http%3Aweb%3A80/proxy"])
def test_a_redirect_adds_the_slash_and_changes_nothing_else(
    prefix: bytes, rest: bytes, location: bytes
) -> None:
    exchange = House().serve(Exchange("GET", prefix + rest, fields_of(AS_ALICE)))
    assert (exchange.status, exchange.length) == (301, 0)
    assert exchange.answered == [(b"location", b"Location", prefix + location), *data_fields([])]


# --- what goes wrong

UNREACHABLE = unavailable("the API server did not answer", retry_after=2)


@pytest.mark.parametrize(
    ("house", "steps"),
    [(House(knows=UNREACHABLE), KNOWN), (House(decides=UNREACHABLE), ASKED)],
    ids=["who it is", "whether they may"],
)
def test_what_cannot_be_found_out_is_no_yes(house: House, steps: list[str]) -> None:
    exchange = house.serve(Exchange("GET", POD + b"/", fields_of(AS_ALICE)))
    assert (exchange.refused, house.steps) == (UNREACHABLE, steps)


@pytest.mark.parametrize("again", [AS_ALICE, AS_MALLORY])
@pytest.mark.parametrize("name", ["Authorization", "X-Bastion-Authorization"])
def test_two_credentials_are_none(name: str, again: str) -> None:
    house = House()
    lines = [line.replace("Authorization", name) for line in (AS_ALICE, again)]
    exchange = house.serve(Exchange("GET", POD + b"/", fields_of(*lines)))
    assert (exchange.status, house.steps) == (400, PARSED)


def test_a_mistake_of_ours_is_a_500_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        exchange = House(knows=ZeroDivisionError("s3cret")).serve(
            Exchange("GET", POD + b"/", fields_of(AS_ALICE))
        )
    assert exchange.refused is not None
    assert (exchange.status, exchange.refused.reason) == (500, "InternalError")
    assert b"s3cret" not in exchange.refused.body()
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert exchange.audit_id in caplog.text


def test_a_client_that_leaves_is_recorded_and_nothing_is_answered() -> None:
    async def never(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    house, exchange = House(never), Exchange("GET", POD + b"/", fields_of(AS_ALICE))

    async def main() -> None:
        task = asyncio.create_task(house._gateway().serve(exchange))
        await fakes.until(lambda: house.sent)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    fakes.run(main())
    ((record, code),) = house.records
    assert (record.outcome, code, exchange.finished) == ("client-left", 0, False)


def test_what_could_not_be_read_is_recorded_too() -> None:
    house, exchange = House(), Exchange("-", b"-")
    house.refuse(exchange)
    ((record, code),) = house.records
    assert (code, exchange.status, record.error, house.steps) == (400, 400, "BadRequest: malformed", [])


def test_what_was_refused_unasked_is_recorded_without_its_query() -> None:
    """As where the server is nearly full."""
    house, exchange = House(), Exchange("GET", POD + b"/page?access_token=hunter2")
    house.refuse(exchange)
    ((record, _),) = house.records
    assert record.path == POD + b"/page"
