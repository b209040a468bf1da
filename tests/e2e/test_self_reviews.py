"""kubectl against a bastion that passes no call of the API on: what it can say, and what it says is wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import ALICE, BOB, CAROL, Bastion
from tests.e2e.test_clients import KUBECTL, needs_kubectl

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def kubectl(bastion: Bastion, cache: Path, token: str, *words: str) -> subprocess.CompletedProcess[str]:
    how = ("--server", bastion.url, "--certificate-authority", str(bastion.cluster.ca), "--token", token)
    return subprocess.run(
        [str(KUBECTL), *how, "--cache-dir", str(cache), *words], capture_output=True, text=True
    )


@needs_kubectl
@pytest.mark.parametrize(
    ("token", "words", "said"),
    [
        (ALICE, ("auth", "whoami"), "alice"),
        (ALICE, ("auth", "can-i", "get", "services/pair", "--subresource=proxy"), "yes"),
        (BOB, ("auth", "can-i", "create", "services/pair", "--subresource=proxy"), "no"),
        (CAROL, ("auth", "can-i", "get", "pods", "--subresource=proxy"), "no"),
        (ALICE, ("auth", "can-i", "get", "/metrics"), "yes"),
        (ALICE, ("version",), "Server Version: v1."),
        (ALICE, ("get", "pods"), "this is a bastion: only /api/v1/namespaces/<namespace>/{services|pods}/"),
    ],
)
def test_kubectl_says(
    bastion: Bastion, tmp_path: Path, token: str, words: tuple[str, ...], said: str
) -> None:
    done = kubectl(bastion, tmp_path, token, *words)
    assert said in done.stdout + done.stderr


def test_reviews_in_json(bastion: Bastion) -> None:
    with bastion.http() as http:
        whoami = http.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={})
        assert (whoami.status_code, whoami.json()["status"]["userInfo"]["username"]) == (201, "alice")
        asked = {"resource": "pods", "subresource": "proxy", "verb": "get", "namespace": "default"}
        review = http.post(REVIEWS, json={"spec": {"resourceAttributes": asked}})
        assert (review.status_code, review.json()["status"]["allowed"]) == (201, True)
        bodies: tuple[object, ...] = ({"spec": {}}, {"kind": "Pod"}, [])
        for body in bodies:
            assert http.post(REVIEWS, json=body).status_code == 400
        assert http.post(REVIEWS, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
        assert http.post(REVIEWS, json={}, headers={"Impersonate-User": "bob"}).status_code == 400
        assert http.get(REVIEWS).status_code == 405
        assert http.post("/api", json={}).status_code == 405


def test_nobody_in_particular_gets_the_version_alone(bastion: Bastion) -> None:
    assert bastion.get("/version", token="").json()["major"] == "1"
    for path in ("/api", "/apis", "/api/v1"):
        assert bastion.get(path, token="").status_code == 401
    assert bastion.get("/.bastion/version", token="").json()["compiler"] == "cpython"
