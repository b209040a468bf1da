"""Who sees what of status, history, targets and badges: exactly what they may open."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from tests.fakes import run
from tests.probe.world import backend, may, pod, response, service, until_state, world

PROBE = {"bastion.dev/probe": "true", "bastion.dev/probe-path": "/", "bastion.dev/probe-port": "http"}
NAMESPACES = ("red", "blue", "green", "secret")
SERVICES = [(namespace, f"{namespace}-{n}") for namespace in NAMESPACES for n in range(10)]
ROLES = [
    *may("everything", ["get"], ["services/proxy"]),
    *may("red-team", ["*"], ["services/proxy"], "red"),
    *may("one", ["get"], ["services/proxy"], "blue", resourceNames=["blue-3:http"]),
    *may("pods-only", ["get"], ["pods/proxy"]),
    *may("lister", ["get", "list", "watch"], ["services", "pods", "endpoints"]),
]
MAY = {
    "everything": {name for _, name in SERVICES},
    "red-team": {name for namespace, name in SERVICES if namespace == "red"},
    "one": {"blue-3"},
    "pods-only": set(),
    "lister": set(),
    "none": set(),
}


def target(namespace: str, name: str) -> str:
    return f"services/{namespace}/{name}:http/"


def test_six_users_and_forty_targets(tmp_path: Path) -> None:
    objects = [service(name, namespace, annotations=PROBE) for namespace, name in SERVICES]

    async def main() -> None:
        async with world(tmp_path, [*objects, *ROLES], "", "--probe-interval", "1s") as bastion:
            await until_state(bastion, target(*SERVICES[0]), "down")
            for user, names in MAY.items():
                wanted = {target(namespace, name) for namespace, name in SERVICES if name in names}
                groups = (await bastion.get("/probe/targets", user)).json
                assert {one["targets"][0] for one in groups} == wanted
                status = await bastion.get("/probe/status", user)
                assert {one["target"] for one in status.json["targets"]} == wanted
                page = await bastion.get("/probe/status", user, accept="text/html", sec_fetch_mode="navigate")
                assert (page.status, page.fields["location"]) == (303, "../status")
                table = await bastion.get("/probe/status", user, accept="text/html")
                assert (table.status, table.fields["content-type"]) == (200, "text/html; charset=utf-8")
                assert all(f"<td>{one}</td>" in table.text for one in wanted)
                feed = await bastion.get("/probe/changes.rss", user)
                for namespace, name in SERVICES:
                    for text in (page.text, table.text, feed.text, status.text):
                        assert name in names or f"{namespace}/{name}:" not in text
                for path in ("history", "badge.svg", "badge.json"):
                    for namespace, name in SERVICES[::7]:
                        asked = f"/probe/{path}?target={quote(target(namespace, name))}"
                        answer = await bastion.get(asked, user)
                        assert answer.status == (200 if name in names else 403)
            for path in ("targets", "status", "changes.rss"):
                assert (await bastion.get(f"/probe/{path}", "")).status == 401

    run(main())


def test_what_is_public_is_shown_to_everybody_where_that_is_on(tmp_path: Path) -> None:
    objects = [
        service("open", annotations=PROBE | {"bastion.dev/status": "public"}),
        service("shut", annotations=PROBE),
    ]
    badge = "/probe/badge.svg?target=services/shop/{}:http/"

    async def main(*flags: str) -> list[object]:
        async with world(tmp_path, objects, "", *flags) as bastion:
            status = await bastion.get("/probe/status", "")
            shown = [one["name"] for one in status.json["targets"]] if status.status == 200 else status.status
            codes = [(await bastion.get(badge.format(name), "")).status for name in ("open", "shut")]
            return [shown, *codes, (await bastion.probe("services/shop/open:http/", user="")).status]

    assert run(main()) == [401, 401, 401, 401]
    assert run(main("--public-status")) == [["open"], 200, 401, 401]


def test_what_asks_is_probed_and_told_in_history_and_metrics(tmp_path: Path) -> None:
    objects = [
        service("web", annotations=PROBE),
        pod("web-0", 20),
        service("quiet"),
        service("folk", annotations={"prometheus.io/probe": "true", "prometheus.io/port": "8080"}),
        service("theft", annotations=PROBE | {"bastion.dev/probe-module": "secret"}),
        pod("theft-0", 21),
    ]
    modules = "modules: {http_2xx: {prober: http}, secret: {prober: http, http: {bearer_token: hush}}}"

    async def main() -> None:
        async with (
            backend(20, says={b"/": response()}) as there,
            backend(21) as thief,
            world(tmp_path, objects, modules, "--probe-interval", "1s") as bastion,
        ):
            await until_state(bastion, "services/shop/web:http/", "up")
            history = (await bastion.get("/probe/history?target=services/shop/web:http/")).json
            assert history["uptime"]["24h"] == 1.0
            assert history["endpoints"][0]["pod"] == "web-0"
            assert history["results"][0]["success"] is True
            badge = (await bastion.get("/probe/badge.json?target=services/shop/web:http/&window=1h")).json
            assert badge["message"] == "100.00%"
            groups = (await bastion.get("/probe/targets")).json
            assert {one["targets"][0] for one in groups} == {
                "services/shop/web:http/",
                "services/shop/folk:8080",
                "services/shop/theft:http/",
            }
            assert there.seen
            assert thief.seen == []
            status = {
                one["name"]: one["state"] for one in (await bastion.get("/probe/status")).json["targets"]
            }
            assert status == {"web": "up", "folk": "unknown", "theft": "unknown"}

    run(main())
