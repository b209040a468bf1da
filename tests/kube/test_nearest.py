"""Which path is a client told instead of one that is not served?"""

from __future__ import annotations

import pytest

from bastion.kube.nearest import nearest, not_proxied

SERVICE = "/api/v1/namespaces/shop/services/web:80/proxy/"
PATHS = {
    "/api/v1/namespaces/shop/service/web:80/proxy/": SERVICE,
    "/api/v1/namespaces/shop/services/web:80/": SERVICE,
    "/api/v1/namespaces/shop/services/web:80": SERVICE,
    "/api/v1/ns/shop/svc/web:80/proxy/a/b": SERVICE + "a/b",
    "/namespaces/shop/services/web:80/proxy/a/": SERVICE + "a/",
    "/api/v1/proxy/namespaces/shop/services/web:80/": SERVICE,
    "/api/v1/services/web/proxy/": "/api/v1/namespaces/<namespace>/services/web/proxy/",
    "/api/v1/namespaces/shop/po/web-0/proxy/": "/api/v1/namespaces/shop/pods/web-0/proxy/",
    "/api/v1/node/node-a/proxy/metrics": "/api/v1/nodes/node-a/proxy/metrics",
    "/": "",
    "/favicon.ico": "",
    "/api/v1/namespaces/shop/secrets/x": "",
    "/api/v1/namespaces/shop/services": "",
    "/api/v1/namespaces/shop/services/%0a/proxy/": "",
}


@pytest.mark.parametrize(("path", "near"), PATHS.items())
def test_the_nearest_path_that_is_served(path: str, near: str) -> None:
    assert nearest(path) == near
    message = not_proxied(path.encode() + b"?secret=1").message
    assert message.startswith("the server could not find the requested resource: ")
    assert (f"did you mean {near}?" in message) is bool(near)
    assert "secret" not in message


def test_a_path_without_end_is_not_looked_at() -> None:
    assert "did you mean" not in not_proxied(b"/api/v1/nodes/x/" + b"a" * 5000).message
