"""Where do the API servers listen, where their own namespace is not watched?"""

from __future__ import annotations

import json

import pytest

from bastion.cluster.errors import ApiError
from bastion.discovery.apiserver import api_server_sockets, look_once
from bastion.discovery.catalog import Catalog
from tests.fakes import endpoints, run, service


class Api:
    """Answers by the last part of the path; an error is raised."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers

    async def get(self, path: str, query: dict[str, str], asker: object) -> bytes:
        answer = self.answers[path.rpartition("/")[2]]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


def kubernetes(*addresses: str) -> Api:
    one = service("kubernetes", {"port": 443}, namespace="default")
    one["spec"]["clusterIP"] = "10.96.0.1"
    piece = endpoints(
        "kubernetes", {None: 6443}, *({"addresses": [address]} for address in addresses), namespace="default"
    )
    return Api(kubernetes=one, endpointslices={"items": [piece]})


def test_what_the_cluster_says_is_known_and_forgotten() -> None:
    catalog = Catalog()
    run(look_once(kubernetes("10.0.0.1", "10.0.0.2"), catalog))
    assert set(api_server_sockets(catalog)) == {("10.96.0.1", 443), ("10.0.0.1", 6443), ("10.0.0.2", 6443)}
    run(look_once(kubernetes("10.0.0.3"), catalog))
    assert set(api_server_sockets(catalog)) == {("10.96.0.1", 443), ("10.0.0.3", 6443)}


@pytest.mark.parametrize(
    "answer", [ApiError("forbidden", 403), ApiError("away"), TimeoutError(), b"{", b"[]"]
)
@pytest.mark.parametrize("which", ["kubernetes", "endpointslices"])
def test_no_answer_changes_nothing(which: str, answer: object) -> None:
    catalog, api = Catalog(), kubernetes("10.0.0.1")
    run(look_once(api, catalog))
    api.answers[which] = answer
    run(look_once(api, catalog))
    assert set(api_server_sockets(catalog)) == {("10.96.0.1", 443), ("10.0.0.1", 6443)}
