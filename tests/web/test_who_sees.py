"""Who sees what, over all pages, JSON and events: what they may open, and no name of anything else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from bastion.runtime.certificates import Authority
from tests.fakes import run
from tests.probe.world import (
    Answer,
    Document,
    World,
    backend,
    may,
    pod,
    response,
    service,
    until_state,
    world,
)

# ids, nonces and times
DIFFERENT = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|nonce=\"[^\"]*\"|\d\d:\d\d:\d\d|bastion-one-\w+")
HTML = "text/html,*/*;q=0.8"
NAMESPACES = ("red", "blue", "secret")
PROBE = {"bastion.dev/probe": "true", "bastion.dev/probe-path": "/", "bastion.dev/probe-port": "http"}
SERVICES = [(namespace, f"{namespace}-{n}") for namespace in NAMESPACES for n in range(3)]
PATHS = (
    "/",
    "/ui/catalog",
    "/ui/catalog?kind=pods",
    "/status",
    "/status.json",
    "/status.rss",
    "/?q=secret",
    "/?kind=pods",
)
MAY = {
    "all": {name for _, name in SERVICES},
    "red-team": {name for namespace, name in SERVICES if namespace == "red"},
    "one": {"blue-2"},
    "lister": set(),
    "none": set(),
}
OPERATOR: list[Document] = [
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "operate"},
        "rules": [{"nonResourceURLs": ["/ui/ops"], "verbs": ["get"]}],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "operate"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "one"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operate"},
    },
]
ROLES = [
    *may("red-team", ["*"], ["services/proxy"], "red"),
    *may("one", ["get"], ["services/proxy"], "blue", resourceNames=["blue-2:http"]),
    *may("lister", ["get", "list", "watch"], ["services", "pods", "endpoints"]),
]


def objects(services: list[tuple[str, str]] = SERVICES) -> list[Document]:
    return [service(name, namespace, annotations=PROBE) for namespace, name in services]


async def events(bastion: World, page: str, user: str, enough: bytes = b"\n\n") -> str:
    """What comes until there is enough of it."""
    answer = Answer()
    task = asyncio.create_task(bastion.get(f"/ui/events?{page}", user, into=answer))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            while answer.body.count(b"event: ") < 1 or enough not in answer.body:
                await asyncio.sleep(0.02)
                if task.done():
                    break
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return answer.text


def reviews(bastion: World) -> int:
    """How many the API server was asked for."""
    (family, *_) = bastion.bastion.cluster.calls.families()
    counts = (count for labels, count in family.samples.items() if "subjectaccessreviews" in labels)
    return sum(int(count) for count in counts if isinstance(count, float))


def test_no_page_names_what_its_reader_may_not_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, [*objects(), *ROLES, *OPERATOR]) as bastion:
            for user, names in MAY.items():
                while not (found := await bastion.get("/ui/catalog", user)).json["complete"]:
                    await asyncio.sleep(0.1)
                assert {one["name"] for one in found.json["items"]} == names
                texts = {
                    path: (await bastion.get(path, user, accept=HTML, sec_fetch_mode="navigate")).text
                    for path in PATHS
                }
                texts["events"] = await events(bastion, "for=portal", user)
                texts["status events"] = await events(bastion, "for=status", user)
                for path, text in texts.items():
                    for _, name in SERVICES:
                        assert name in names or not re.search(rf"\b{name}\b", text), (user, path, name)
                    for namespace in NAMESPACES:
                        seen = any(name.startswith(namespace) for name in names)
                        text = (
                            text.replace("q=secret", "").replace('value="secret"', "").replace(">secret<", "")
                        )
                        assert seen or not re.search(rf"\b{namespace}\b", text), (user, path, namespace)
                operates = (await bastion.get("/ui/ops", user)).status == 200
                assert operates is (user == "one")
                assert ("/ui/ops" in texts["/"]) is operates
            for path in PATHS:
                answer = await bastion.get(path, "", accept=HTML, sec_fetch_mode="navigate")
                assert (answer.status, answer.fields["location"]) == (303, "/login"), path
                if path.partition("?")[0] != "/":  # which is no page for programs
                    assert (await bastion.get(path, "")).status == 401

    run(main())


def test_a_page_of_what_may_not_be_opened_is_the_same_whether_or_not_it_is_there(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, [*objects(), *ROLES]) as bastion:
            bodies = []
            for name in ("secret-1", "secret-7"):
                answer = await bastion.get(
                    f"/ui/namespaces/secret/services/{name}", "one", accept=HTML, sec_fetch_mode="navigate"
                )
                assert answer.status == 403
                text = answer.text.replace(name, "NAME")
                bodies.append(DIFFERENT.sub("", text))
            assert bodies[0] == bodies[1]
            missing = "/ui/namespaces/red/services/red-9"
            assert (await bastion.get(missing, "red-team")).status == 404
            answer = await bastion.get(missing, "red-team", accept=HTML, sec_fetch_mode="navigate")
            assert "You are signed in as red-team" in answer.text
            for n in range(3):
                assert f'href="/ui/namespaces/red/services/red-{n}">red-{n}</a>' in answer.text
            assert (await bastion.get("/ui/namespaces/red/services/red-1", "red-team")).status == 200
            assert (await bastion.get("/ui/namespaces/red/secrets/x", "all")).status == 404

    run(main())


def test_few_reviews_list_many_services(tmp_path: Path) -> None:
    """One for all of 2 100; 41 for 20 of 40 namespaces; and none for the next page."""
    many = [(f"ns-{n % 40:02}", f"web-{n}") for n in range(2100)]
    half = [one for n in range(20) for one in may("half", ["get"], ["services/proxy"], f"ns-{n:02}")]

    async def main() -> None:
        there = [*(service(name, namespace) for namespace, name in many), *half]
        async with world(tmp_path, there) as bastion:
            for user, most, listed in (("all", 1, 2100), ("half", 41, 1060)):
                before = reviews(bastion)
                while not (found := await bastion.get("/ui/catalog?limit=0", user)).json["complete"]:
                    await asyncio.sleep(0.1)
                assert found.json["total"] == listed
                assert reviews(bastion) - before == most
                page = await bastion.get("/", user, accept=HTML, sec_fetch_mode="navigate")
                assert f"{listed} services, in" in page.text
                assert reviews(bastion) - before == most + 1  # whether there is a link to operations

    run(main())


@pytest.mark.parametrize(
    ("public", "status", "seen"), [(("--public-status",), 200, True), ((), 401, False)], ids=["on", "off"]
)
def test_the_public_status_is_title_and_state(tmp_path: Path, public: Any, status: int, seen: bool) -> None:
    shown = PROBE | {"bastion.dev/status": "public", "bastion.dev/title": "Storefront"}
    untitled = PROBE | {"bastion.dev/status": "public"}
    there = [
        service("front", annotations=shown),
        service("nameless", annotations=untitled),
        service("hidden", annotations=PROBE | {"bastion.dev/title": "Vault"}),
        pod("front-1", 1),
    ]

    async def main() -> None:
        async with (
            backend(1, says={b"/": response(b"secret reason", 500)}),
            world(tmp_path, there, "", "--probe-interval", "1s", *public) as bastion,
        ):
            await until_state(bastion, "services/shop/front:http/", "down")
            for path in ("/status", "/status.json", "/status.rss"):
                answer = await bastion.get(path, "")
                assert answer.status == status
                assert ("Storefront" in answer.text) is seen
                for name in ("shop", "nameless", "Vault", "127.73", "500", "front-1"):
                    assert (
                        name not in re.sub(r"<style.*?</style>|\d\d:\d\d|v?\d+h?", "", answer.text)
                        or not seen
                    )

    run(main())


def test_values_come_as_events_and_never_as_html(tmp_path: Path) -> None:
    there = [service("front", annotations=PROBE), pod("front-1", 1), pod("front-2", 2)]

    async def main() -> None:
        async with (
            backend(1, says={b"/": response()}),
            backend(2, says={b"/": response()}),
            world(tmp_path, there, "", "--probe-interval", "1s") as bastion,
        ):
            await until_state(bastion, "services/shop/front:http/", "up")
            text = await events(bastion, "for=portal", "all", b'"up"')
            (data,) = re.findall(r"event: values\ndata: (.*)\n\n", text)[:1]
            (row,) = json.loads(data)["rows"]
            assert row[:3] == ["shop/services/front", "up", "Up"]
            assert row[4:6] == [2, 2]
            assert "<" not in row[6]
            text = await events(
                bastion, "for=target&path=/ui/namespaces/shop/services/front", "all", b"ep:front-2"
            )
            assert "ep:front-1" in text
            assert (await bastion.get("/ui/events?for=nothing", "all")).status == 400
            refused = await events(bastion, "for=target&path=/ui/namespaces/shop/services/front", "none")
            assert "front-1" not in refused
            assert "event: end" in refused

    run(main())


def test_many_listeners_cost_no_call_to_the_api_server(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, [service("front", annotations=PROBE)]) as bastion:
            await bastion.get("/ui/catalog", "all")
            before = dict(bastion.bastion.cluster.calls.families()[0].samples)
            answers = [Answer() for _ in range(200)]
            tasks = [
                asyncio.create_task(bastion.get("/ui/events?for=portal", "all", into=one)) for one in answers
            ]
            async with asyncio.timeout(10):
                while not all(b"event: values" in one.body for one in answers):
                    await asyncio.sleep(0.05)
            assert dict(bastion.bastion.cluster.calls.families()[0].samples) == before
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


def test_near_names_are_those_of_what_the_reader_may_open(tmp_path: Path) -> None:
    """A right to a name that is not there, and to one of the two that are near it."""
    there = [service("orders-1"), service("orders-2")]
    rights = may("eve", ["get"], ["services/proxy"], "shop", resourceNames=["orders-2", "orders-3"])

    async def main() -> None:
        async with world(tmp_path, [*there, *rights]) as bastion:
            page = "/ui/namespaces/shop/services/orders-3"
            answer = await bastion.get(page, "eve", accept=HTML, sec_fetch_mode="navigate")
            assert answer.status == 404
            assert 'href="/ui/namespaces/shop/services/orders-2"' in answer.text
            assert "orders-1" not in answer.text
            for path in (page, "/api/v1/namespaces/shop/services/orders-3/proxy/"):
                program = await bastion.get(path, "eve")
                assert [one["field"] for one in program.json["details"]["causes"]] == ["service", "near"]

    run(main())


def test_what_is_not_verified_is_seen(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority().pem)
    there = [
        service("plain"),
        service("secure", annotations={"bastion.dev/backend-protocol": "h2"}),
    ]

    async def main(verified: bool, *flags: str) -> None:
        async with world(tmp_path, there, "", *flags) as bastion:
            items = {one["name"]: one for one in (await bastion.get("/ui/catalog")).json["items"]}
            assert items["plain"]["tls"] == ""
            assert items["secure"]["tls"] == ("verified" if verified else "unverified")
            portal = (await bastion.get("/", accept=HTML, sec_fetch_mode="navigate")).text
            assert portal.count("TLS <b>unverified</b>") == (0 if verified else 1)
            path = "/ui/namespaces/shop/services/secure"
            page = (await bastion.get(path, accept=HTML, sec_fetch_mode="navigate")).text
            assert ("its certificate is verified" in page) is verified
            assert ("no authority for its certificate is known" in page) is not verified

    run(main(False))
    run(main(True, "--backend-certificate-authority", str(tmp_path / "ca.pem")))


def test_who_may_have_some_paths_sees_the_service_and_where_these_begin(tmp_path: Path) -> None:
    by_path = {"bastion.dev/path-groups": "metrics=/metrics,/-/healthy; admin=/admin/*"}
    there = [service("web", annotations=by_path), service("api", annotations=by_path), service("other")]
    rights = [
        *may("scraper", ["get"], ["services/proxy-metrics"], "shop"),
        *may("boss", ["get"], ["services/proxy-admin"], "shop", resourceNames=["web:http"]),
    ]

    async def main() -> None:
        async with world(tmp_path, [*there, *rights]) as bastion:
            for user, paths in (
                ("scraper", {"api": "api/proxy/metrics", "web": "web/proxy/metrics"}),
                ("boss", {"web": "web:http/proxy/admin/"}),
            ):
                while not (found := await bastion.get("/ui/catalog", user)).json["complete"]:
                    await asyncio.sleep(0.1)
                whole = "/api/v1/namespaces/shop/services/"
                items = {one["name"]: one for one in found.json["items"]}
                assert {name: one["path"] for name, one in items.items()} == {
                    name: whole + path for name, path in paths.items()
                }
                assert items["web"]["url"] == "https://bastion.test" + items["web"]["path"]
                page = await bastion.get(
                    "/ui/namespaces/shop/services/web", user, accept=HTML, sec_fetch_mode="navigate"
                )
                assert page.status == 200
                group = {"scraper": "metrics", "boss": "admin"}[user]
                assert f"of the paths in its group <b>{group}</b> alone" in page.text
                assert f"resources: [services/proxy-{group}]" in page.text
                assert items["web"]["path"] in page.text
                assert "svc/shop/web" + paths["web"].removeprefix("web").replace("/proxy", "") in page.text
                status = (await bastion.get("/status", user, accept=HTML, sec_fetch_mode="navigate")).text
                assert "other" not in re.sub("<style.*?</style>", "", status)

    run(main())
