"""What does the operations page tell, and to whom?"""

from __future__ import annotations

import re
from pathlib import Path

from tests.fakes import run
from tests.probe.world import Document, World, backend, may, pod, response, service, world
from tests.web.test_who_sees import HTML, events

_GROUP = "rbac.authorization.k8s.io"


def operators(*names: str) -> list[Document]:
    """Who may get the page, and its configuration; no more."""
    place = {"name": "operate"}
    return [
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "ClusterRole",
            "metadata": place,
            "rules": [{"nonResourceURLs": ["/ui/ops", "/ui/ops/config", "/metrics"], "verbs": ["get"]}],
        },
        *(
            {
                "apiVersion": f"{_GROUP}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": f"operate-{name}"},
                "subjects": [{"apiGroup": _GROUP, "kind": "User", "name": name}],
                "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": "operate"},
            }
            for name in names
        ),
    ]


async def page(bastion: World, user: str, path: str = "/ui/ops") -> str:
    answer = await bastion.get(path, user, accept=HTML, sec_fetch_mode="navigate")
    assert answer.status == 200
    return re.sub(r"<style.*?</style>", "", answer.text)


def test_targets_and_users_are_named_to_who_may_know_them(tmp_path: Path) -> None:
    there = [service("front"), pod("front-1", 1), service("vault", "secret")]
    there += [pod("vault-1", 2, namespace="secret")]
    rights = [
        *may("limited", ["get"], ["services/proxy"], "shop"),
        *may("lister", ["list"], ["streams"], apiGroups=["bastion.dev"]),
    ]

    async def main() -> None:
        async with (
            backend(1, says={b"/": response()}),
            backend(2, says={b"/": response()}),
            world(tmp_path, [*there, *rights, *operators("limited", "lister", "none")]) as bastion,
        ):
            for path in ("shop/services/front", "secret/services/vault"):
                assert (await bastion.get(f"/api/v1/namespaces/{path}/proxy/")).status == 200
            for user, names in (
                ("limited", {"shop/front"}),
                ("lister", {"shop/front", "secret/vault", "all"}),
                ("none", set()),
            ):
                text = await page(bastion, user)
                found = set(re.findall(r"<b>(shop/front|secret/vault|all)</b>", text))
                assert found == names, user
                if user != "lister":
                    heard = text + await events(bastion, "for=ops", user)
                    assert "vault" not in heard
                    assert not re.search(r"<b>all</b>", heard)

    run(main())


def test_its_numbers_are_those_of_the_metrics_of_the_moment(tmp_path: Path) -> None:
    there = [service("front"), pod("front-1", 1), *operators("all")]

    async def main() -> None:
        async with backend(1, says={b"/": response()}), world(tmp_path, there) as bastion:
            for _ in range(3):
                await bastion.get("/api/v1/namespaces/shop/services/front:http/proxy/")
            text = await page(bastion, "all")
            metrics = await bastion.get("/metrics")
            labels = 'by="backend",code="200",namespace="shop",resource="services",verb="get"'
            counted = metrics.value(f"bastion_requests_total{{{labels}}}")
            (own,) = re.findall(r"<b>all</b>.*?<span>([a-z]+) requests", text, re.DOTALL)
            assert (own, counted) == ("three", 3)
            (streams,) = re.findall(r'data-stat="str">([0-9]+)<', text)
            assert metrics.value("bastion_streams") == float(streams)
            assert "All numbers are its own" in text

    run(main())


def test_no_secret_is_in_the_configuration_and_each_value_says_where_it_is_from(tmp_path: Path) -> None:
    secret = tmp_path / "session.key"
    secret.write_bytes(b"0123456789abcdef0123456789abcdef")

    async def main() -> None:
        flags = ("--session-key-file", str(secret), "--max-tunnels-per-user", "77")
        async with world(tmp_path / "world", [service("front"), *operators("all")], "", *flags) as bastion:
            for path in ("/ui/ops", "/ui/ops?show=all"):
                text = await page(bastion, "all", path)
                assert "0123456789abcdef" not in text
                assert "s3cr3t" not in text
                assert str(secret) in text
                row = re.search(r"max-tunnels-per-user</b></td>(.*?)</tr>", text, re.DOTALL)
                assert row is not None
                assert "77" in row[1]
                assert "--max-tunnels-per-user" in row[1]
                assert ">True<" not in text
                assert ">False<" not in text
            assert (await bastion.get("/ui/ops", "none")).status == 403

    run(main())
