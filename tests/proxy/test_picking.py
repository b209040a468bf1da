"""Whoever names a pod of a service: is that one pod named, and may they?"""

from __future__ import annotations

import pytest

from bastion.http.fields import Field
from bastion.kube.attributes import Attributes
from bastion.kube.requestinfo import Proxied
from bastion.kube.status import StatusError
from bastion.proxy.picking import picked, with_pod

SERVICE = Attributes("update", "", "v1", "ns", "services", "proxy", "web:80")


def field(value: bytes) -> Field:
    return b"x-bastion-endpoint", b"X-Bastion-Endpoint", value


def asked(resource: str) -> Proxied:
    return Proxied(Attributes("get", "", "v1", "ns", resource, "proxy", "web"), b"/prefix", b"/", True)


@pytest.mark.parametrize(
    ("resource", "values", "pod"),
    [
        ("services", [b"web-1"], "web-1"),
        ("services", [], ""),
        ("pods", [b"web-1"], ""),
        ("nodes", [b"web-1"], ""),
    ],
)
def test_the_pod_that_is_named(resource: str, values: list[bytes], pod: str) -> None:
    assert picked(asked(resource), map(field, values)) == pod


@pytest.mark.parametrize("values", [[b"a", b"b"], [b""], [b"a/b"], [b"a b"], [b"A"], [b"\xff"], [b"a" * 254]])
def test_what_names_none(values: list[bytes]) -> None:
    with pytest.raises(StatusError) as refused:
        picked(asked("services"), map(field, values))
    assert refused.value.code == 400


def test_the_same_verb_is_needed_on_the_pod() -> None:
    assert with_pod((SERVICE,), "") == (SERVICE,)
    service, pod = with_pod((SERVICE,), "web-1")
    assert service is SERVICE
    assert pod == Attributes("update", "", "v1", "ns", "pods", "proxy", "web-1")
