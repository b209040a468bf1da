"""What an operator sees: one line per exchange, counts, health and version."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import yaml

from tests.e2e.harness import BOB, CAROL, DAVE, LIVE, ROOT, Bastion, Place
from tests.e2e.wire import Client, Message, Visit, ask, backend, client, request

PAIR = Place("pair", LIVE, "services")
STAGES = ["authentication", "authorization", "upstream"]


async def logged(bastion: Bastion, answer: Message) -> dict[str, Any]:
    line: dict[str, Any] = await asyncio.to_thread(bastion.line, answer.one("Audit-Id"))
    return line


# --- the access log


def test_a_line_says_who_did_what_and_how_it_went(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address):
            answer = await ask(
                bastion,
                request(
                    pod.path("/a%2Fb/?q=1&r=2"),
                    "User-Agent: a-client/1.0",
                    method="POST",
                    body=b"twelve bytes",
                ),
            )
            line = await logged(bastion, answer)
            assert list(line["stages"]) == STAGES
            assert 0 < sum(line["stages"].values()) <= line["seconds"]
            assert line == {
                "time": line["time"],
                "msg": "access",
                "auditID": answer.one("Audit-Id"),
                "client": "127.0.0.1",
                "method": "POST",
                "path": pod.path("/a%2Fb/"),
                "code": 200,
                "seconds": line["seconds"],
                "bytesIn": 12,
                "bytesOut": len(answer.body),
                "stages": line["stages"],
                "user": "alice",
                "verb": "create",
                "resource": "pods",
                "namespace": "default",
                "name": f"{pod.name}:8080",
                "endpoint": f"{pod.address}:8080",
                "userAgent": "a-client/1.0",
            }

    asyncio.run(main())


LINES: dict[str, tuple[bytes, dict[str, Any], list[str]]] = {
    "no credentials": (
        request("PATH", token=""),
        {
            "code": 401,
            "resource": "pods",
            "word": "NoCredentials",
            "hop": "client",
            "error": "Unauthorized: Unauthorized: the request carries no credentials",
            "cause": "no credentials",
        },
        STAGES[:1],
    ),
    "no bearer token": (
        request("PATH", "Authorization: Basic eA==", token=""),
        {"code": 401, "cause": "scheme Basic"},
        STAGES[:1],
    ),
    "a token of nobody": (
        request("PATH", token="of-nobody"),
        {"code": 401, "cause": "TokenReview: invalid bearer token"},
        STAGES[:1],
    ),
    "not allowed": (request("PATH", token=CAROL), {"code": 403, "user": "carol", "verb": "get"}, STAGES[:2]),
    "impersonation": (
        request("PATH", "Impersonate-User: carol", token=DAVE),
        {"code": 403, "user": "dave", "actingAs": "carol"},
        STAGES[:2],
    ),
    "not found": (
        request("/api/v1/namespaces/default/services/https:gone:x/proxy/?token=x"),
        {
            "code": 404,
            "resource": "services",
            "name": "https:gone:x",
            "path": "/api/v1/namespaces/default/services/https:gone:x/proxy/",
        },
        STAGES[:2],
    ),
    "a node": (
        request("/api/v1/nodes/gone/proxy/", method="DELETE"),
        {"code": 404, "verb": "delete", "resource": "nodes", "name": "gone"},
        STAGES[:2],
    ),
    "nobody listens": (request("PATH"), {"code": 503, "endpoint": "ADDRESS:8080", "bytesIn": 0}, STAGES),
    "no route": (request("/nowhere?x=y"), {"code": 404, "path": "/nowhere", "user": "alice"}, STAGES[:1]),
    "no request": (b"no request at all\r\n\r\n", {"code": 400, "client": "127.0.0.1"}, []),
    "OPTIONS": (
        request("PATH", method="OPTIONS"),
        {"code": 503, "method": "OPTIONS", "resource": "pods"},
        STAGES,
    ),
    "redirected": (
        request("PATH".replace("PATH", "NOSLASH") + "?x=y"),
        {"code": 301, "path": "NOSLASH"},
        STAGES[:2],
    ),
}


@pytest.mark.parametrize(("data", "expected", "stages"), LINES.values(), ids=LINES)
def test_a_line_for_each_exchange(
    bastion: Bastion, pod: Place, data: bytes, expected: dict[str, Any], stages: list[str]
) -> None:
    words = {"PATH": pod.path(), "NOSLASH": pod.path(""), "ADDRESS": pod.address}

    def filled(text: str) -> str:
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    async def main() -> None:
        line = await logged(bastion, await ask(bastion, filled(data.decode()).encode()))
        for name, value in expected.items():
            assert line[name] == (filled(value) if isinstance(value, str) else value), (name, line)
        assert list(line["stages"]) == stages

    asyncio.run(main())


def test_one_line_per_exchange_whatever_the_connection(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address), client(bastion) as wire:
            await wire.send(*[request(pod.path(f"/{n}")) for n in range(5)])
            answers = [await wire.answer() for _ in range(5)]
            await logged(bastion, answers[-1])
            ids = [answer.one("Audit-Id") for answer in answers]
            assert len(set(ids)) == 5
            assert [
                line["auditID"] for line in bastion.lines() if line["path"].startswith(pod.path(""))
            ] == ids

    asyncio.run(main())


def test_a_clients_own_audit_id_is_kept_if_it_is_one(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address):
            own = await ask(bastion, request(pod.path(), "Audit-Id: 3b0c7d2e-own"))
            assert own.one("Audit-Id") == "3b0c7d2e-own"
            assert (await logged(bastion, own))["audit_id_from"] == "client"
            first = await ask(bastion, request(pod.path()))
            forged = await ask(bastion, request(pod.path(), f"Audit-Id: {first.one('Audit-Id')}"))
            assert forged.one("Audit-Id") != first.one("Audit-Id")
            assert "audit_id_from" not in await logged(bastion, forged)
            long = await ask(bastion, request(pod.path(), "Audit-Id: " + "x" * 65))
            assert re.fullmatch(
                r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", long.one("Audit-Id")
            )

    asyncio.run(main())


async def _leave(wire: Client, visit: asyncio.Queue[Visit]) -> None:
    await visit.get()
    wire.close()


async def _break(wire: Client, visit: asyncio.Queue[Visit]) -> None:
    (await visit.get()).reset()
    await wire.ended()


@pytest.mark.parametrize(
    ("end", "outcome"),
    [(_leave, "client-left"), (_break, "aborted")],
    ids=["the client left", "the backend broke"],
)
def test_a_line_says_how_an_exchange_was_cut_short(
    bastion: Bastion, pod: Place, end: Any, outcome: str
) -> None:
    async def main() -> None:
        visits = asyncio.Queue[Visit]()

        async def serve(visit: Visit) -> None:
            await visit.head()
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            visits.put_nowait(visit)
            await visit.ended()

        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path()))
            head = await wire.head()
            assert await wire.reader.readexactly(4) == b"half"
            await end(wire, visits)
            line = await logged(bastion, head)
            assert (line["code"], line["bytesOut"], line.get("outcome")) == (200, 4, outcome)

    asyncio.run(main())


# --- metrics

REQUESTS = re.compile(r"bastion_requests_total\{([^}]*)\} ([0-9.]+)")


LABELS = ("namespace", "resource", "verb", "code", "by")


def counts(text: str) -> dict[tuple[str, ...], float]:
    """By the values of LABELS, which are all there are."""
    found = {}
    for labels, value in REQUESTS.findall(text):
        label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        assert set(label) == set(LABELS)
        found[tuple(label[name] for name in LABELS)] = float(value)
    return found


def test_metrics_count_by_namespace_resource_verb_and_code(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        before = counts((await ask(bastion, request("/metrics"))).body.decode())
        async with backend(LIVE), backend(pod.address):
            for _ in range(3):
                assert (
                    await ask(bastion, request(pod.path(), method="PATCH", body=b"x" * 1000))
                ).status == 200
            await ask(bastion, request(PAIR.path(port=80), token=BOB))
            await ask(bastion, request(pod.path(), token=CAROL))
            await ask(bastion, request(pod.path(), token=""))
            await ask(bastion, request("/nowhere-in-particular"))
        answer = await ask(bastion, request("/metrics"))
        after = answer.body.decode()
        assert answer.one("Content-Type").startswith("text/plain")
        for values, more in (
            (("default", "pods", "patch", "200", "backend"), 3),
            (("default", "services", "get", "200", "backend"), 1),
            (("", "pods", "get", "403", "bastion"), 1),
            (("", "pods", "get", "401", "bastion"), 1),
            (("", "", "", "404", "bastion"), 1),
        ):
            assert counts(after).get(values, 0) - before.get(values, 0) == more, values
        assert not [
            word
            for word in ("alice", "carol", pod.name, pod.address, "/proxy", "particular", "devs")
            if word in after
        ]
        for name in (
            "requests_in_flight",
            "client_connections",
            "backend_connections",
            "backend_connections_idle",
        ):
            assert re.search(rf"^bastion_{name} [0-9.]+$", after, re.MULTILINE), name
        assert 'bastion_stage_duration_seconds_count{stage="upstream"}' in after
        assert (
            'bastion_request_duration_seconds_bucket{le="+Inf",namespace="default",resource="pods"}' in after
        )
        assert 'bastion_body_bytes_total{direction="in"}' in after

    asyncio.run(main())


# A metric's name and what it is asked for in braces; the words of the language are followed by `(` or stand
# alone.
SELECTOR = re.compile(r"((?:bastion|process)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~?)"([^"]*)"')


def selects(selector: re.Match[str], name: str, labels: dict[str, str]) -> bool:
    asked = MATCHER.findall(selector[2] or "")
    return name == selector[1] and all(
        re.fullmatch(value if op == "=~" else re.escape(value), labels.get(key, ""))
        for key, op, value in asked
    )


def test_what_to_watch_is_there_to_be_watched(bastion: Bastion, pod: Place) -> None:
    """Each expression of the rules about the bastion itself asks for something that it tells; and each
    alternative of it.
    """
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())["groups"]
    expressions = [rule["expr"] for group in groups if group["name"] == "bastion" for rule in group["rules"]]
    assert len(expressions) > 8

    async def main() -> str:
        await ask(bastion, request(pod.path()))  # 503: nobody listens
        for data in (
            request(pod.path(), token=""),
            b"no request at all\r\n\r\n",
            request("/", f"X-Long: {'x' * 70000}"),
        ):
            await ask(bastion, data)
        return (await ask(bastion, request("/metrics"))).body.decode()

    series = re.findall(r"^(\w+)(?:\{(.*)\})? ", asyncio.run(main()), re.MULTILINE)
    told = [(name, dict(re.findall(r'(\w+)="([^"]*)"', labels))) for name, labels in series]
    for expression in expressions:
        selectors = list(SELECTOR.finditer(expression))
        assert selectors, expression
        assert expression.count("(") == expression.count(")")
        for selector in selectors:
            assert any(selects(selector, name, labels) for name, labels in told), expression
            for outcome in re.findall(r'outcome=~"([^"]*)"', selector[0]):
                assert set(outcome.split("|")) <= {
                    labels["outcome"] for name, labels in told if name == selector[1]
                }, expression


def test_what_is_in_flight_is_counted_until_it_ends(bastion: Bastion, pod: Place) -> None:
    def in_flight() -> float:
        found = re.search(
            r"^bastion_requests_in_flight ([0-9.]+)$", bastion.get("/metrics").text, re.MULTILINE
        )
        assert found is not None
        return float(found[1])

    async def reaches(count: float) -> None:
        await asyncio.to_thread(bastion.program.until, lambda: in_flight() == count)

    async def main() -> None:
        end = asyncio.Event()

        async def serve(visit: Visit) -> None:
            await visit.head()
            await end.wait()
            await visit.answer()

        before = await asyncio.to_thread(in_flight)
        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path()))
            await reaches(before + 1)
            end.set()
            assert (await wire.answer()).status == 200
            await reaches(before)

    asyncio.run(main())


# --- health and version

OWN = {
    "/livez": (200, b"ok"),
    "/readyz": (200, b"ok"),
    "/healthz": (200, b"ok"),
    "/livez/ping": (200, b"ok"),
    "/readyz/pods": (200, b"ok"),
    "/readyz?verbose": (
        200,
        (
            b"[+]services ok\n[+]endpointslices ok\n[+]pods ok\n[+]nodes ok\n[+]watch-services"
            b" ok\n[+]watch-endpointslices ok\n[+]watch-pods ok\n[+]watch-nodes ok\n[+]reviews"
            b" ok\n[+]shutdown ok\nreadyz check passed\n"
        ),
    ),
    "/livez?verbose": (200, b"[+]ping ok\nlivez check passed\n"),
}


@pytest.mark.parametrize(("path", "expected"), OWN.items(), ids=OWN)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_needs_no_credentials(
    bastion: Bastion, path: str, expected: tuple[int, bytes], method: str
) -> None:
    answer = asyncio.run(ask(bastion, request(path, method=method, token="")))
    assert (answer.status, answer.body) == (expected[0], expected[1] if method == "GET" else b"")
    assert int(answer.one("Content-Length")) == len(expected[1])


def test_version_and_openapi(bastion: Bastion) -> None:
    version = asyncio.run(ask(bastion, request("/version", token=""))).json()
    assert re.fullmatch(r"v[0-9]+\.[0-9]+\.[0-9]+.*", version["gitVersion"])
    schema = asyncio.run(ask(bastion, request("/openapi.json", token=""))).json()
    assert "/api/v1/namespaces/{namespace}/services/{name}/proxy/{path}" in schema["paths"]


@pytest.mark.parametrize(
    ("path", "method", "code"),
    [("/readyz/nothing", "GET", 404), ("/livez", "POST", 405), ("/metrics", "DELETE", 405)],
)
def test_own_refusals_are_marked_too(bastion: Bastion, path: str, method: str, code: int) -> None:
    answer = asyncio.run(ask(bastion, request(path, method=method, token="")))
    assert (answer.status, answer.json()["kind"], answer.one("X-Bastion-Error")) == (
        code,
        "Status",
        answer.json()["details"]["causes"][0]["reason"],
    )
