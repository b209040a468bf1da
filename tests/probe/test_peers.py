"""Replicas know each other by tokens with an audience of their own, which the API server reviews."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from bastion.authn.tokenreview import TokenReviewAuthenticator
from bastion.cluster.election import Election, Holder
from bastion.probe.history import History, Key, Outcome
from bastion.probe.hub import Hub
from bastion.probe.peers import AUDIENCE, PeerServer
from bastion.probe.peertokens import PeerTokens
from tests.fakes import run
from tests.probe.test_election import Api, Sweeping

BASTION = "system:serviceaccount:bastion:bastion"
OTHER = "system:serviceaccount:shop:web"
SERVER = "https://kubernetes.default.svc"


class Reviews:
    """TokenReview as kube-apiserver does it: a token of another audience is nobody's."""

    def __init__(self) -> None:
        self.tokens = {  # token -> (whose it is, for whom)
            "mine": (BASTION, [AUDIENCE]),
            "renewed": (BASTION, [AUDIENCE, SERVER]),
            "others": (OTHER, [AUDIENCE]),
            "for the API server": (BASTION, [SERVER]),
        }
        self.away = False
        self.asked: list[Any] = []

    async def create(self, path: str, body: bytes, asker: Any) -> bytes:
        assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
        if self.away:
            raise OSError("away")
        spec = orjson.loads(body)["spec"]
        self.asked.append(spec)
        name, audiences = self.tokens.get(spec["token"], ("", []))
        granted = [one for one in spec["audiences"] if one in audiences]
        status = (
            {"authenticated": True, "user": {"username": name}, "audiences": granted}
            if granted
            else {"authenticated": False, "error": "token audiences do not fit"}
        )
        return orjson.dumps({"kind": "TokenReview", "status": status})


@pytest.mark.parametrize(
    ("token", "answered"),
    [
        ("mine", True),
        ("renewed", True),
        ("others", False),
        ("for the API server", False),
        ("nobody's", False),
        ("", False),
    ],
    ids=str,
)
def test_the_holder_has_a_token_reviewed(tmp_path: Path, token: str, answered: bool) -> None:
    async def main() -> None:
        reviews = Reviews()
        report = await asked(tmp_path, reviews, token)
        if answered:
            assert report.prober == {"state": "ok"}
            assert (report.of("services/a/web", "m") or {})["state"] == "up"
        else:
            assert report.prober["state"] == "unavailable"
            assert report.of("services/a/web", "m") is None
        assert all(spec["audiences"] == [AUDIENCE] for spec in reviews.asked)

    run(main())


def test_without_the_api_server_nobody_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        reviews = Reviews()
        reviews.away = True
        assert (await asked(tmp_path, reviews, "mine")).prober["state"] == "unavailable"

    run(main())


async def asked(folder: Path, reviews: Reviews, token: str) -> Any:
    """What a replica that shows `token` is told by the one that probes."""
    judge = TokenReviewAuthenticator(reviews, (AUDIENCE,)).authenticate
    (folder / "holder").write_text("mine\n")
    (folder / "other").write_text(f"{token}\n")
    holder, other = (PeerTokens(None, folder / name, judge) for name in ("holder", "other"))
    history = History()
    history.add(Key("services/a/web", "m", ""), Outcome(1.0, True, 0.1))
    there = Hub(Sweeping(), history, None, None, holder.own, lambda: 2.0)  # type: ignore[arg-type]
    server = PeerServer(there.document, holder.accepts)
    await server.open("127.0.0.1", 0)
    try:
        api = Api()
        place = Holder("r0", server.address, server.fingerprint)
        await Election(api, "a", "probes", place, lambda: 0.0, what="probes").campaign()
        election = Election(api, "a", "probes", Holder("r1"), lambda: 0.0, what="probes")
        await election.campaign()
        here = Hub(Sweeping(), History(), None, election, other.own, lambda: 2.0)  # type: ignore[arg-type]
        reports = [await here.report("services/a/web", "m") for _ in range(3)]
        assert len(reviews.asked) <= 2 * (1 if reports[0].prober["state"] == "ok" else 3)
        return reports[-1]
    finally:
        server.close()
