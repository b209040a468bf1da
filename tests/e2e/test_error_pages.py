"""What a person sees where a program gets a `Status`: the same facts, as much as this reader may know."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bastion.kube.errorword import Hop
from bastion.kube.errorwords import WORDS
from bastion.standalone.resources import Object
from tests.e2e.harness import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    NETWORK,
    TLS_PORT,
    Bastion,
    Cluster,
    Place,
    serving,
    standalone,
)
from tests.e2e.wire import Visit, ask, backend, client, request
from tests.standalone.objects import binding, pod, role, rule, service

PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
AS_PERSON = tuple(f"{name}: {value}" for name, value in PERSON.items())
# the dots of a request's way: who asks, the bastion, the target, its endpoint
MARKED = {Hop.CLIENT: 1, Hop.BASTION: 1, Hop.API_SERVER: 1, Hop.SERVICE: 2, Hop.ENDPOINT: 3, Hop.BACKEND: 3}
ADDRESSES = {"web": 1, "silent": 2, "plain": 3, "named": 4, "held": 5}
POD = "broken-5c6d-8hk2p"


def target(name: str, port: int = 80, scheme: str = "") -> str:
    return Place(name, "", "services", "shop").path("/", port=port, scheme=scheme)


def objects() -> list[Object]:
    """In `shop`: alice sees pods, bob opens services, carol nothing, dave three ids."""
    crashed = pod(POD, namespace="shop", ip=f"{NETWORK}.9", ready=False, labels={"app": "broken"})
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    crashed["status"]["containerStatuses"] = [{"name": "main", "restartCount": 3, "state": waiting}]
    made = [crashed, service("broken", namespace="shop", selector={"app": "broken"})]
    for name, number in ADDRESSES.items():
        port = TLS_PORT if name == "named" else 8080
        made += [
            pod(
                f"{name}-1",
                namespace="shop",
                ip=f"{NETWORK}.{number}",
                labels={"app": name},
                ports=[("http", port)],
            ),
            service(name, namespace="shop", selector={"app": name}),
        ]
    slow = next(one for one in made if one["kind"] == "Service" and one["metadata"]["name"] == "silent")
    slow["metadata"]["annotations"] = {"bastion.dev/response-timeout": "500ms"}
    return [
        *made,
        service("wep", namespace="shop", selector={"app": "web"}),
        role("see-pods", rule("get", "core", "pods"), namespace="shop"),
        role("open", rule("get", "core", "services/proxy"), namespace="shop"),
        role("three", rule("get", "core", "services/proxy", "web:80 wex:80 silent:80"), namespace="shop"),
        binding("alice", "Role/see-pods", "User/alice", namespace="shop"),
        binding("open", "Role/open", "User/alice", "User/bob", namespace="shop"),
        binding("dave", "Role/three", "User/dave", namespace="shop"),
    ]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bastion, Path]]:
    """And the folder of its manifests."""
    folder = tmp_path_factory.mktemp("shop")
    cluster = Cluster(folder)
    manifests = folder / "manifests"
    manifests.mkdir()
    (manifests / "shop.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects()}))
    source = ("--manifests", manifests, "--token-auth-file", cluster.tokens)
    flags = ("--backend-certificate-authority", cluster.ca, "--max-exchanges-per-user", 2)
    with serving(cluster, folder, *flags, source=source) as running:
        yield running, manifests


def page_of(bastion: Bastion, path: str, token: str) -> httpx.Response:
    with bastion.http(token) as http:
        return http.get(path, headers=PERSON)


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))


def marked(page: str) -> list[int]:
    """The dots that are marked as the one where it failed."""
    way = re.findall(r'<li class="([^"]*)"><span class="dot"', page)
    assert len(way) == 4
    return [at for at, kind in enumerate(way) if "bad" in kind.split()]


def assert_tells(page: httpx.Response | object, status: dict[str, object], word: str, said: str) -> None:
    """What the `Status` of the same request tells."""
    assert isinstance(page, httpx.Response)
    assert page.status_code == status["code"]
    assert page.headers["X-Bastion-Error"] == word
    text = text_of(page.text)
    assert marked(page.text) == [MARKED[WORDS[word].hop]]
    assert f"Reason {word} " in text
    assert f"Request id {page.headers['Audit-Id']} " in text
    assert said in text


CASES = [
    pytest.param(target("web"), "ConnectionRefused", "refuses connections", id="refused"),
    pytest.param(target("silent"), "AnswerTimeout", "did not answer in time", id="timeout"),
    pytest.param(target("broken"), "PodsNotReady", "has no ready endpoint", id="no-endpoints"),
    pytest.param(target("web", 81), "NoSuchPort", "http:80", id="no-such-port"),
    pytest.param(target("plain", 80, "https"), "BackendSpeaksPlain", "http:plain:80", id="wrong-scheme"),
    pytest.param(target("named", 80, "https"), "CertificateNotTrusted", "elsewhere.test", id="TLS-name"),
]


@pytest.mark.parametrize(("path", "word", "said"), CASES)
def test_each_failure_has_its_page_which_marks_where_it_was(
    shop: tuple[Bastion, Path], path: str, word: str, said: str
) -> None:
    async def silent(visit: Visit) -> None:
        await visit.message()
        await visit.ended()

    async def plain(visit: Visit) -> None:
        await visit.reader.read(1)
        await visit.answer(status="400 Bad Request")

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(backend(f"{NETWORK}.2", silent))
            await stack.enter_async_context(backend(f"{NETWORK}.3", plain))
            certificate = bastion.cluster.pair("elsewhere", "elsewhere.test")
            tls = bastion.cluster.backend_tls(f"{NETWORK}.4")
            tls.load_cert_chain(*certificate)
            await stack.enter_async_context(backend(f"{NETWORK}.4", port=TLS_PORT, ssl=tls))
            # more than once: an endpoint that is ejected meanwhile has the same page
            for _ in range(6 if word == "ConnectionRefused" else 1):
                status = await asyncio.to_thread(bastion.get, path)
                page = await asyncio.to_thread(page_of, bastion, path, ALICE)
                assert status.headers["X-Bastion-Error"] == word
                assert_tells(page, status.json(), word, said)

    bastion, _ = shop
    asyncio.run(main())


def test_too_much_at_once_has_a_page_that_tries_again(shop: tuple[Bastion, Path]) -> None:
    async def held(visit: Visit) -> None:
        await visit.message()
        await visit.ended()

    async def main() -> None:
        async with (
            backend(f"{NETWORK}.5", held) as behind,
            client(bastion) as one,
            client(bastion) as another,
        ):
            for wire in (one, another):
                await wire.send(request(target("held"), token=BOB))
            while len(behind.visits) < 2:
                await asyncio.sleep(0.01)
            page = await asyncio.to_thread(page_of, bastion, target("held"), BOB)
            assert_tells(page, {"code": 429}, "Overloaded", "--max-exchanges-per-user")
            assert 'data-retry="' in page.text

    bastion, _ = shop
    asyncio.run(main())


def test_an_api_server_that_is_away_has_a_page_that_tries_again(cluster: Cluster, tmp_path: Path) -> None:
    async def main(bastion: Bastion) -> None:
        answer = await ask(bastion, request(cluster.pod().path(), *AS_PERSON))
        page = answer.body.decode()
        assert (answer.status, answer.one("X-Bastion-Error")) == (503, "ApiServerAway")
        assert marked(page) == [MARKED[Hop.API_SERVER]]
        assert "The API server does not answer" in text_of(page)
        assert f"Request id {answer.one('Audit-Id')} " in text_of(page)
        assert 'data-retry="' in page

    (tmp_path / "api").mkdir()
    with (
        standalone(cluster, tmp_path / "api") as (api, kubeconfig),
        serving(cluster, tmp_path, source=("--kubeconfig", kubeconfig)) as bastion,
    ):
        api.end()
        asyncio.run(main(bastion))


# --- who is told what


def test_who_may_see_pods_is_told_which_are_not_ready_and_others_how_many(shop: tuple[Bastion, Path]) -> None:
    bastion, _ = shop
    told, others = (page_of(bastion, target("broken"), token) for token in (ALICE, BOB))
    for page in (told, others):
        assert page.status_code == 503
        assert "Pods, CrashLoopBackOff 1 " in text_of(page.text)
    assert f"Pod {POD} CrashLoopBackOff" in text_of(told.text)
    assert f"kubectl --namespace shop describe pods {POD}" in told.text
    assert POD not in others.text
    assert POD not in bastion.get(target("broken")).text  # a program is told by the pods themselves


def test_a_404_names_what_is_near_and_may_be_opened(shop: tuple[Bastion, Path]) -> None:
    bastion, _ = shop
    page = page_of(bastion, target("wex"), DAVE)
    assert page.status_code == 404
    assert 'href="/ui/namespaces/shop/services/web"' in page.text
    assert "wep" not in page.text
    assert 'href="/ui/namespaces/shop/services/wep"' in page_of(bastion, target("wex"), ALICE).text


def alike(page: httpx.Response, name: str) -> str:
    """Without what is said of the name that was asked for (a role's has a hash of it), of the request and of
    the time.
    """
    nonce = re.findall(r'nonce="([^"]+)"', page.text)[0]
    text = page.text.replace(nonce, "").replace(page.headers["Audit-Id"], "").replace(name, "NAME")
    return re.sub(r"<dt>Time</dt><dd>.*?</dd>|<time [^>]*>.*?</time>|(?<=carol-)[0-9a-f]{8}", "", text)


def test_a_refusal_is_the_same_whether_it_exists_and_its_rule_is_all_it_takes(
    shop: tuple[Bastion, Path],
) -> None:
    bastion, manifests = shop
    there, nowhere = (page_of(bastion, target(name), CAROL) for name in ("broken", "absent"))
    assert (there.status_code, nowhere.status_code) == (403, 403)
    assert alike(there, "broken") == alike(nowhere, "absent")
    assert marked(there.text) == [MARKED[Hop.CLIENT]]
    rules = [html.unescape(one) for one in re.findall(r"<pre[^>]*>(.*?)</pre>", there.text, re.DOTALL)]
    (yaml,) = (text for text in (re.sub(r"<[^>]*>", "", one) for one in rules) if "kind: Role" in text)
    for exact in ("get", "services/proxy", "broken:80", 'namespace: "shop"'):
        assert exact in yaml
    granted = manifests / "granted.yaml"
    granted.write_text(yaml)
    try:
        bastion.program.until(lambda: page_of(bastion, target("broken"), CAROL).status_code == 503)
        assert page_of(bastion, target("absent"), CAROL).status_code == 403
    finally:
        granted.unlink()
