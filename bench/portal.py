"""How soon does the portal come, and how heavy is it, where a reader may open thousands of services?"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from statistics import median

from bench.client import STARTING
from bench.fixture import GROUP, RBAC, User, manifests, web_services
from bench.ground import Ground, free_port
from bench.outcome import Outcome, Target
from bench.processes import NotRunning, Program
from bench.proxies import bastion
from bench.report import say

PARTS = ("page",)
TARGETS = {
    "first_byte": Target("first byte of the portal of 5 000 services, decisions remembered", 300, " ms"),
    "page": Target("the same page, compressed", 120, " KiB"),
}
SERVICES, NAMESPACES = 5000, 50
TURNS = 9
PERSON = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Accept-Encoding": "gzip"}


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning."""
    if not parts:
        return Outcome()
    port = free_port()
    few = bastion.over_manifests(ground, port, web_services(ground.network, 1))
    ground.file("cluster.yaml", manifests(web_services(ground.network, 1)) + "---\n" + _many())
    program = ground.processes.start("bastion", few, ground.proxy_core)
    user = ground.users[0]
    _await(program, port, user)
    turns = [_page(port, user) for _ in range(TURNS)]
    first, size = 1000 * median(seconds for seconds, _ in turns), turns[-1][1] / 1024
    say(f"portal    {SERVICES} services: first byte {first:.0f} ms, {size:.0f} KiB compressed")
    outcome = Outcome(figures={"portal_first_byte_ms": first, "portal_kib": size})
    outcome.judge(TARGETS["first_byte"], first)
    outcome.judge(TARGETS["page"], size)
    return outcome


def _many() -> str:
    items = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": f"service-{n}",
                "namespace": f"namespace-{n % NAMESPACES:03}",
                "annotations": {"bastion.dev/title": f"Service number {n}"},
            },
            "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": f"service-{n}"}},
        }
        for n in range(SERVICES)
    ]
    metadata = {"name": "everything"}
    rule = {"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["get"]}
    rights = [
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "everything"},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": GROUP}],
        },
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [*rights, *items]})


def _await(program: Program, port: int, user: User) -> None:
    """Until the whole list is known.  Raises NotRunning."""
    deadline = time.monotonic() + STARTING
    while time.monotonic() < deadline:
        program.require()
        try:
            status, body, _ = _get(port, user, "/ui/catalog?limit=0", {})
            if status == 200 and json.loads(body)["complete"]:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise NotRunning(f"{program.name} does not list what may be opened\n{program.last_words()}")


def _page(port: int, user: User) -> tuple[float, int]:
    """Seconds to the first byte, and the size as it travels."""
    status, body, seconds = _get(port, user, "/", PERSON)
    if status != 200 or b"data-folded" in body:
        raise NotRunning(f"the portal is not compressed, or not there: {status}")
    return seconds, len(body)


def _get(port: int, user: User, path: str, fields: dict[str, str]) -> tuple[int, bytes, float]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
    try:
        connection.connect()
        begun = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": user.authorization, **fields})
        response = connection.getresponse()
        seconds = time.perf_counter() - begun
        return response.status, response.read(), seconds
    finally:
        connection.close()
