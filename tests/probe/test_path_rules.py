"""Rights by path hold alike through the proxy, by host name and for probes, and `why` tells them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.fakes import run, until
from tests.probe.world import Backend, World, backend, may, pod, response, service, world

RULES = {"bastion.dev/path-groups": "metrics=/metrics,/go,/odd; admin=/admin/*"}
MODULES = """
modules:
  http_2xx: {prober: http, timeout: 3s}
  tcp: {prober: tcp, timeout: 3s}
"""
OBJECTS = [
    pod("web-0", 10),
    service("web", annotations=RULES),
    *may("scraper", ["get"], ["services/proxy-metrics"], "shop"),
    *may("chief", ["get"], ["services/proxy-admin", "services/proxy-metrics"], "shop"),
    *may("podder", ["get"], ["services/proxy-metrics", "pods/proxy"], "shop"),
]
PAGES = {
    b"/metrics": response(b"up 1"),
    b"/admin/x": response(b"secret"),
    b"/": response(b"home"),
    b"/go": response(b"", 302, "Location: /admin/x"),
    b"/odd": response(b"", 302, "Location: /metrics/%2e%2e/admin/x"),
}
PROXY = "/api/v1/namespaces/shop/services/web:8080/proxy"
HOST = "web--8080--shop.svc.apps.example.test"
FLAGS = ("--proxy-host-suffix", "apps.example.test", "--public-url", "https://bastion.test")


def within(tmp_path: Path, test: Any) -> None:
    async def main() -> None:
        async with world(tmp_path, OBJECTS, MODULES, *FLAGS) as bastion, backend(10, says=PAGES) as there:
            await until(lambda: bastion.bastion.cluster.catalog.slices_of("shop", "web"))
            await test(bastion, there)

    run(main())


ASKED = [
    ("scraper", "/metrics", 200),
    ("scraper", "/metrics?x=1", 200),
    ("scraper", "/admin/x", 403),
    ("scraper", "/", 403),
    ("scraper", "/metrics/../admin/x", 400),
    ("scraper", "/metrics%2f..%2fadmin", 400),
    ("chief", "/admin/x", 200),
    ("chief", "/metrics", 200),
    ("chief", "/", 403),
    ("all", "/admin/x", 200),
    ("all", "/", 200),
    ("all", "/%61", 400),
    ("none", "/metrics", 403),
    ("none", "/%61", 403),
]


def test_by_path_by_host_name_and_by_probe_alike(tmp_path: Path) -> None:
    async def test(bastion: World, there: Backend) -> None:
        for user, path, code in ASKED:
            there.seen.clear()
            answers = [
                await bastion.get(PROXY + path, user),
                await bastion.get(path, user, host=HOST),
                await bastion.probe(f"services/shop/web:8080{path}", user=user),
                await bastion.probe(PROXY + path, user=user),
            ]
            assert [answer.status for answer in answers] == [code] * 4, (user, path)
            assert len(there.seen) == (4 if code == 200 else 0)

    within(tmp_path, test)


def test_what_is_no_path_of_the_service_is_no_matter_of_its_groups(tmp_path: Path) -> None:
    async def test(bastion: World, there: Backend) -> None:
        for path in ("/go", "/odd"):  # no redirect to a path that is another right is followed
            found = await bastion.probe(f"services/shop/web:8080{path}", user="scraper")
            assert re.search(r"^probe_http_status_code{.*} 302", found.text, re.MULTILINE)
        assert [head.split(b" ")[1] for head in there.seen] == [b"/go", b"/odd"]
        for module in ("tcp", "declared"):
            assert (await bastion.probe("services/shop/web:8080", module, "chief")).status == 403
            assert (await bastion.probe("services/shop/web:8080", module)).status == 200
        to_pod = "/api/v1/namespaces/shop/pods/web-0:8080/proxy/admin/x"
        assert (await bastion.get(to_pod, "podder")).status == 200
        assert (await bastion.get(f"{PROXY}/metrics", "podder", x_bastion_endpoint="web-0")).status == 200
        assert (await bastion.get(f"{PROXY}/metrics", "scraper", x_bastion_endpoint="web-0")).status == 403

    within(tmp_path, test)


def test_why_names_the_group_to_those_who_have_it(tmp_path: Path) -> None:
    async def test(bastion: World, there: Backend) -> None:
        async def said(user: str, path: str) -> dict[str, Any]:
            answer = await bastion.get(f"/why?target={PROXY}{path}", user)
            found: dict[str, Any] = json.loads(answer.body)
            return {step["step"]: step["says"] for step in found["steps"]} | {"word": found["word"]}

        assert "group metrics; may get services/proxy-metrics" in (await said("scraper", "/metrics"))["rule"]
        assert "group metrics; may get services/proxy:" in (await said("all", "/metrics"))["rule"] + ":"
        denied = await said("scraper", "/admin/x")
        assert denied["word"] == "MissingRule" and "admin" not in denied["rule"]
        assert (await said("scraper", "/a//b"))["word"] == "PathUnclear"
        assert (await said("none", "/a//b"))["word"] == "MissingRule"

    within(tmp_path, test)
