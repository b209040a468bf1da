"""A 403 in a browser: the rule on it, applied as it stands, opens the page; and it tells nothing more."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path

import httpx
import yaml

from tests.e2e.browser import NAVIGATION
from tests.e2e.harness import DAVE, Bastion, Cluster, objects, serving
from tests.e2e.kubeapi import KubeApi
from tests.e2e.test_api_server_away import REMEMBER, backend_at

WITHIN = 60.0  # seconds: what a refusal is remembered for, and what a busy machine takes
CODE = re.compile(r"<code>(apiVersion: rbac.*?)</code>", re.DOTALL)
# ids, nonces, times, and the digest in a role's name
DIFFERENT = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|nonce=\"[^\"]*\"|\d\d:\d\d:\d\d|bastion-dave-\w+")


def opened(bastion: Bastion, path: str) -> httpx.Response:
    with bastion.http(DAVE) as http:
        return http.get(f"{bastion.url}{path}", headers=NAVIGATION)


def path_of(name: str) -> str:
    return f"/api/v1/namespaces/default/pods/{name}/proxy/?bastion-path=1"


def test_the_rule_on_the_page_opens_it_and_says_not_whether_it_is_there(
    cluster: Cluster, tmp_path: Path
) -> None:
    pod = cluster.pod()
    there, absent = f"{pod.name}:8080", f"{pod.name}9:8080"
    (tmp_path / "bastion").mkdir()
    source = ("--kubeconfig", tmp_path / "kubeconfig")
    with (
        KubeApi(tmp_path) as api,
        serving(cluster, tmp_path / "bastion", *REMEMBER, source=source) as bastion,
        backend_at(pod.address),
    ):
        pages = {}
        for name in (there, absent):
            answer = opened(bastion, path_of(name))
            assert (answer.status_code, answer.headers["x-bastion-error"]) == (403, "MissingRule")
            pages[name] = answer.text
        same = {
            DIFFERENT.sub("", text.replace(name.removesuffix(":8080"), "NAME"))
            for name, text in pages.items()
        }
        assert len(same) == 1, "byte for byte but for the name, id and time"
        (code,) = CODE.findall(pages[there])
        role, binding = yaml.safe_load_all(html.unescape(code))
        assert role["metadata"]["namespace"] == "default"
        (rule,) = role["rules"]
        assert (rule["verbs"], rule["resources"], rule["resourceNames"]) == (["get"], ["pods/proxy"], [there])
        api.show([*objects(), role, binding])
        begun = time.monotonic()
        while (answer := opened(bastion, path_of(there))).status_code == 403:
            assert time.monotonic() - begun < WITHIN
            time.sleep(0.2)
        assert answer.status_code == 200
        assert opened(bastion, path_of(absent)).status_code == 403
