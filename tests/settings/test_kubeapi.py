"""What may be asked for about the API server?"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bastion.runtime.errors import ConfigError
from bastion.settings import kubeapi
from bastion.settings.config import Config, serve_config
from bastion.settings.kubeapi import KubeApi
from bastion.settings.sections import Limits


def asked(*flags: object) -> Config:
    return serve_config([*map(str, flags)])


def test_by_default_it_is_the_kubeconfigs_and_all_of_it() -> None:
    assert asked().kube_api == KubeApi("", (), (), 200.0, 400.0)
    assert asked().limits.lookup_qps == 20


def test_every_flag_arrives() -> None:
    given = asked(
        *(
            "--context",
            "prod",
            "--apiserver",
            "https://10.0.0.1:6443",
            "--apiserver=https://api.example/",
            "--namespaces",
            "a,b",
        ),
        *("--kube-api-qps", 50, "--kube-api-burst", 70, "--max-lookup-qps", 5),
    )
    assert given.kube_api == KubeApi(
        "prod", ("https://10.0.0.1:6443", "https://api.example"), ("a", "b"), 50.0, 70
    )
    assert given.limits.lookup_qps == 5


def test_workers_share_the_calls() -> None:
    given = asked("--workers", 3, "--kube-api-qps", 50, "--kube-api-burst", 10, "--max-lookup-qps", 20)
    assert given.kube_api.qps == pytest.approx(50 / 3)
    assert (given.kube_api.burst, given.limits.lookup_qps) == (4, 7)
    assert asked("--workers", 3, "--kube-api-qps", 0).kube_api.qps == 0, "no limit stays none"


@pytest.mark.parametrize("limit", [field.name for field in fields(Limits)])
def test_workers_share_every_limit(limit: Any) -> None:
    flag = f"--max-{limit.replace('_', '-')}"
    assert getattr(asked("--workers", 3, flag, 10).limits, limit) == 4, "a part of one is one"
    assert getattr(asked("--workers", 3, flag, 0).limits, limit) == 0, "no limit stays none"


SERVERS = [
    ("https://10.0.0.1:6443", "https://10.0.0.1:6443"),
    ("https://10.0.0.1:6443/", "https://10.0.0.1:6443"),
    ("http://api", "http://api"),
    ("https://[fd00::1]:6443", "https://[fd00::1]:6443"),
    ("10.0.0.1:6443", None),
    ("ftp://api", None),
    ("https://api/path", None),
    ("https://api?x", None),
    ("https://user@api", None),
    ("https://", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "url"), SERVERS)
def test_a_server_is_scheme_host_and_port(text: Any, url: Any) -> None:
    if url is None:
        with pytest.raises(ValueError):
            kubeapi.server(text)
    else:
        assert kubeapi.server(text) == url


NAMESPACES = [
    ("a,b", ("a", "b")),
    ("a,,b,a", ("a", "b")),
    ("", ()),
    ("A", None),
    ("a b", None),
    ("a/b", None),
    ("-a", None),
    ("x" * 64, None),
]


@pytest.mark.parametrize(("text", "names"), NAMESPACES)
def test_namespaces_are_names_with_commas_between_them(text: Any, names: Any) -> None:
    if names is None:
        with pytest.raises(ValueError):
            kubeapi.NAMESPACES.of_flags([text])
    else:
        assert kubeapi.NAMESPACES.of_flags([text]) == names


@pytest.mark.parametrize("flags", [["--context", "x"], ["--apiserver", "https://x"]])
def test_manifests_have_no_cluster(tmp_path: Path, flags: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        asked("--manifests", tmp_path, *flags)
    assert caught.value.mistakes == [
        "--manifests needs no cluster: --context and --apiserver have no meaning beside it"
    ]
