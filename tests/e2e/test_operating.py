"""What an operator is told while it runs: of rights, of certificates, and of signals."""

from __future__ import annotations

import itertools
import re
import signal
from pathlib import Path

import yaml

from tests.e2e.harness import BOB, Cluster, objects, serving
from tests.e2e.kubeapi import KubeApi
from tests.standalone.objects import binding, role, rule

RIGHTS = [
    binding("bastion-auth-delegator", "ClusterRole/system:auth-delegator", "User/bob"),
    role(
        "bastion-discovery",
        rule("get list watch", "core", "pods services"),
        rule("list watch", "discovery.k8s.io", "endpointslices"),
    ),
    binding("bastion-discovery", "ClusterRole/bastion-discovery", "User/bob"),
]


def test_rights_that_are_lost_are_told_to_everybody_and_turn_nothing_red(
    cluster: Cluster, tmp_path: Path
) -> None:
    """And those that are given make it ready, without a restart."""
    (tmp_path / "bastion").mkdir()
    with KubeApi(tmp_path) as api:
        api.show([*objects(), RIGHTS[0]])
        config = yaml.safe_load(api.kubeconfig.read_text())
        for user in config["users"]:
            user["user"] = {"token": BOB}
        api.kubeconfig.write_text(yaml.safe_dump(config))
        with serving(
            cluster, tmp_path / "bastion", source=("--kubeconfig", api.kubeconfig), ready=False
        ) as bastion:
            bastion.program.until(lambda: "answered 403: bob may not " in bastion.program.stderr)
            assert "create clusterrole bastion-discovery" in bastion.program.stderr
            refused = bastion.get(cluster.pod().path())
            assert (refused.status_code, refused.headers.get("Retry-After")) == (503, None)
            assert (
                "the bastion itself may not list endpointslices, pods, services" in refused.json()["message"]
            )

            api.show([*objects(), *RIGHTS])
            bastion.program.until(lambda: bastion.passes("/readyz"))
            bastion.program.until(lambda: "answers again, after " in bastion.program.stderr)
            bastion.program.until(lambda: '"ready: ' in bastion.program.stderr)
            ready = [line["msg"] for line in bastion.log() if line["msg"].startswith("ready: ")]
            assert re.fullmatch(
                r"ready: \d+ services, \d+ pods, [0-9.]+ s; watching as bob at https://127\.0\.0\.1:\d+",
                ready[0],
            )

            api.show(objects())
            guesses = (f"guess-{number}" for number in itertools.count())
            bastion.program.until(lambda: bastion.get(cluster.pod().path(), next(guesses)).status_code != 401)
            lost = bastion.get(cluster.pod().path(), next(guesses))
            assert (lost.status_code, lost.headers.get("Retry-After")) == (503, None)
            assert (
                "the bastion itself may not check credentials at the Kubernetes API server"
                in lost.json()["message"]
            )
            bastion.program.until(lambda: "bob may not create tokenreviews" in bastion.program.stderr)
            assert bastion.passes("/readyz")


def test_a_hangup_reads_all_files_again_and_metrics_tell_when_certificates_end(
    cluster: Cluster, tmp_path: Path
) -> None:
    flags = ("--client-ca-file", cluster.ca, "-v", 1)
    with serving(cluster, tmp_path, *flags) as bastion:
        bastion.program.until(lambda: "bastion_api_right_granted{" in bastion.get("/metrics").text)
        text = bastion.get("/metrics").text
        for what in ("serving", "client-ca"):
            assert re.search(
                rf'^bastion_certificate_expiry_timestamp_seconds{{certificate="{what}"}} [0-9.e+]+$',
                text,
                re.MULTILINE,
            )
        right = 'namespace="",resource="tokenreviews.authentication.k8s.io",verb="create"'
        assert f"bastion_api_right_granted{{{right}}} 1.0" in text

        def heard() -> bool:
            bastion.program.signal(signal.SIGHUP)
            return bastion.program.stderr.count("SIGHUP: reading all files again") >= 1

        bastion.program.until(heard)
        bastion.program.until(
            lambda: (
                f"the certificate {cluster.serving[0]} with its key was read again" in bastion.program.stderr
            )
        )
        bastion.program.until(lambda: f"the authority {cluster.ca} was read again" in bastion.program.stderr)
        assert bastion.passes("/readyz")
