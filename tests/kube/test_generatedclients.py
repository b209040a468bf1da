"""Whose `%2F` is a slash?

A generated client's, in the one segment that it has for the whole path; nobody else's.
"""

from __future__ import annotations

import pytest

from bastion.kube.generatedclients import with_slashes
from bastion.kube.hostname import Application
from bastion.kube.requestinfo import parse_proxied
from tests.present import present

SERVICE = b"/api/v1/namespaces/ns/services/app:80/proxy"
POD = b"/api/v1/namespaces/ns/pods/app/proxy"
NODE = b"/api/v1/nodes/n1/proxy"
PYTHON = [b"OpenAPI-Generator/37.0.0/python"]

DECODED = [
    (SERVICE, b"/api%2Fv1%2Fquery", b"/api/v1/query"),
    (POD, b"/api%2fv1%2Fquery", b"/api/v1/query"),
    (SERVICE, b"/api%2Fv1%2Fquery?query=a%2Fb/c", b"/api/v1/query?query=a%2Fb/c"),
    (SERVICE, b"/%2Fhealth%2F", b"//health/"),
    (SERVICE, b"/a%2Fb%20c%3Fd%25", b"/a/b%20c%3Fd%25"),
    (SERVICE, b"/a%2F..%2Fb", b"/a/../b"),
]


@pytest.mark.parametrize(
    "agent",
    [
        *PYTHON,
        b"Swagger-Codegen/1.0-SNAPSHOT/java",
        b"Kubernetes Java Client/23.0.0",
        b"OpenAPI-Generator/1.0 x/2",
    ],
)
@pytest.mark.parametrize(("prefix", "rest", "meant"), DECODED)
def test_a_generated_client_means_slashes(prefix: bytes, rest: bytes, meant: bytes, agent: bytes) -> None:
    as_it_came = present(parse_proxied("GET", prefix + rest))
    info = with_slashes(as_it_came, [agent])
    assert (info.prefix, info.rest) == (prefix, meant)
    assert info.attributes == as_it_came.attributes


AS_IT_CAME = {
    "nothing encoded": (SERVICE, b"/query", PYTHON),
    "no path": (SERVICE, b"", PYTHON),
    "no path, a query": (SERVICE, b"?a=b%2Fc", PYTHON),
    "in the query alone": (SERVICE, b"/query?a=b%2Fc", PYTHON),
    "more than one segment": (SERVICE, b"/files/a%2Fb", PYTHON),
    "a segment and a slash": (SERVICE, b"/a%2Fb/", PYTHON),
    "two slashes": (SERVICE, b"//a%2Fb", PYTHON),
    "encoded twice": (SERVICE, b"/a%252Fb", PYTHON),
    "other escapes": (SERVICE, b"/a%5Cb%2E%2E%41", PYTHON),
    "an escape that is none": (SERVICE, b"/a%2", PYTHON),
    "a node": (NODE, b"/metrics%2Fcadvisor", PYTHON),
    "curl": (SERVICE, b"/a%2Fb", [b"curl/8.5.0"]),
    "nobody": (SERVICE, b"/a%2Fb", []),
    "an empty name": (SERVICE, b"/a%2Fb", [b""]),
    "two names": (SERVICE, b"/a%2Fb", [*PYTHON, b"curl/8.5.0"]),
    "twice the same": (SERVICE, b"/a%2Fb", PYTHON * 2),
    "in other letters": (SERVICE, b"/a%2Fb", [b"openapi-generator/37.0.0/python"]),
    "not at the start": (SERVICE, b"/a%2Fb", [b"Mozilla/5.0 OpenAPI-Generator/1.0"]),
    "without a version": (SERVICE, b"/a%2Fb", [b"OpenAPI-Generator"]),
}


@pytest.mark.parametrize(("prefix", "rest", "agents"), AS_IT_CAME.values(), ids=AS_IT_CAME)
def test_everything_else_is_byte_exact(prefix: bytes, rest: bytes, agents: list[bytes]) -> None:
    info = present(parse_proxied("GET", prefix + rest))
    assert with_slashes(info, agents) is info


def test_under_a_host_name_of_its_own_every_path_is_the_applications() -> None:
    info = present(parse_proxied("GET", b"/a%2Fb", Application("services", "ns", "app")))
    assert with_slashes(info, PYTHON) is info
