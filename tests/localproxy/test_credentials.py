"""Credentials that stay alive: files, plugins, 401s, and who a client may be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bastion.localproxy.loading import Kubeconfig
from bastion.localproxy.options import Connection
from bastion.localproxy.server import parse_server
from bastion.runtime.certificates import Authority
from bastion.runtime.errors import StartError
from tests.fakes import run
from tests.localproxy.ground import NO, OK, Api, kubeconfig, proxy, secure


def plugin(folder: Path, *lines: str, name: str = "plugin") -> dict[str, object]:
    """A program that counts its runs in `runs`; `$n` is the number of this one."""
    script = folder / name
    script.write_text(
        "#!/bin/sh\necho x >> runs\nn=$(wc -l < runs)\n".replace("runs", f"{folder}/runs") + "\n".join(lines)
    )
    script.chmod(0o755)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(script),
            "interactiveMode": "Never",
        }
    }


def says(token: str, expires: str = "") -> str:
    status = f'\\"token\\":\\"{token}\\"' + (f',\\"expirationTimestamp\\":\\"{expires}\\"' if expires else "")
    api = "client.authentication.k8s.io/v1"
    return (
        f'echo "{{\\"apiVersion\\":\\"{api}\\",\\"kind\\":\\"ExecCredential\\",\\"status\\":{{{status}}}}}"'
    )


def tokens(api: Api) -> list[str]:
    return [sent.one("authorization").removeprefix("Bearer ") for sent in api.sent]


def test_a_token_file_counts_as_soon_as_it_changes(tmp_path: Path) -> None:
    async def conversation() -> None:
        (tmp_path / "token").write_text("one\n")
        async with secure(tmp_path, user={"tokenFile": "token"}) as (made, api):
            await made.get("/a")
            (tmp_path / "token").write_text("another\n")

            async def renewed() -> bool:
                await made.get("/b")
                return tokens(api)[-1] == "another"

            while not await renewed():
                await asyncio.sleep(0.02)
            (tmp_path / "token").write_text("")  # half written: what there was stays
            await asyncio.sleep(0.12)
            assert (await made.get("/c")).status == 200
            assert tokens(api)[-1] == "another"

    run(conversation())


def test_a_plugin_runs_when_it_is_needed_and_once(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with secure(tmp_path, user=plugin(tmp_path, says("t$n"))) as (made, api):
            assert not (tmp_path / "runs").exists()
            await asyncio.gather(*(made.get(f"/{n}") for n in range(5)))
            assert set(tokens(api)) == {"t1"}

    run(conversation())


@pytest.mark.parametrize("body", [b"", b"x" * 100_000], ids=["without a body", "with one"])
def test_a_401_runs_the_plugin_again_and_the_request_is_answered(tmp_path: Path, body: bytes) -> None:
    async def conversation() -> None:
        answer = lambda sent: OK if sent.one("authorization") == "Bearer t2" else NO  # noqa: E731
        async with secure(tmp_path, user=plugin(tmp_path, says("t$n")), answer=answer) as (made, api):
            got = await made.get("/x", method="POST" if body else "GET", body=body)
            assert (got.status, tokens(api)) == (200, ["t1", "t2"])
            assert [len(sent.body) for sent in api.sent] == [len(body)] * 2

    run(conversation())


def test_a_401_to_new_credentials_is_the_clients(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with secure(tmp_path, user=plugin(tmp_path, says("same")), answer=lambda sent: NO) as (
            made,
            _,
        ):
            assert [(await made.get("/x")).status for _ in range(3)] == [401] * 3
            # the same again is asked for once, not for every request
            assert (tmp_path / "runs").read_text().count("x") == 2

    run(conversation())


def test_a_401_to_the_clients_own_credentials_is_its_own_affair(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with secure(tmp_path, user=plugin(tmp_path, says("t")), answer=lambda sent: NO) as (made, api):
            assert (await made.get("/x", b"Authorization: Bearer mine\r\n")).status == 401
            assert tokens(api) == ["mine"]

    run(conversation())


def test_an_expired_plugin_token_is_renewed_before_it_is_sent(tmp_path: Path) -> None:
    async def conversation() -> None:
        user = plugin(tmp_path, says("t$n", "2020-01-01T00:00:00Z"))
        async with secure(tmp_path, user=user) as (made, api):
            await made.get("/a")
            await made.get("/b")
            assert tokens(api) == ["t1", "t2"]

    run(conversation())


def test_a_plugin_that_fails_is_tried_again_and_says_why(tmp_path: Path) -> None:
    async def conversation() -> None:
        user = plugin(tmp_path, "[ $n -gt 1 ] || { echo please log in >&2; exit 3; }", says("t$n"))
        async with secure(tmp_path, user=user) as (made, api):
            got = await made.get("/a")
            assert got.status == 500
            assert b"please log in" in got.body
            assert not api.sent
            assert (await made.get("/b")).status == 200

    run(conversation())


def test_a_renewed_client_certificate_gets_connections_of_its_own(tmp_path: Path) -> None:
    async def conversation() -> None:
        clients = Authority("clients")
        for number in (1, 2):
            pair = clients.issue([], common_name=f"user-{number}", client=True)
            (tmp_path / f"{number}.crt").write_bytes(pair.certificate)
            (tmp_path / f"{number}.key").write_bytes(pair.key)
        for kind in ("crt", "key"):
            (tmp_path / f"now.{kind}").write_bytes((tmp_path / f"1.{kind}").read_bytes())
        user = {"client-certificate": "now.crt", "client-key": "now.key"}
        async with secure(tmp_path, user=user) as (made, _):
            upstream = next(iter(made.local.upstreams.values()))
            await made.get("/a")
            before = upstream.endpoint
            for kind in ("key", "crt"):
                (tmp_path / f"now.{kind}").write_bytes((tmp_path / f"2.{kind}").read_bytes())

            async def changed() -> bool:
                assert (await made.get("/b")).status == 200
                return upstream.endpoint != before

            while not await changed():
                await asyncio.sleep(0.02)

    run(conversation())


AS = {"token": "t", "as": "dave", "as-groups": ["devs"]}
CLAIMS = b"Impersonate-User: admin\r\nImpersonate-Group: system:masters\r\nImpersonate-Extra-X: y\r\n"


@pytest.mark.parametrize(
    ("user", "flags", "users", "groups"),
    [
        (AS, [], ["dave"], ["devs"]),
        (AS, ["--as=erin"], ["erin"], ["devs"]),
        (AS, ["--allow-impersonation"], ["admin"], ["system:masters"]),
        ({"token": "t"}, [], ["admin"], ["system:masters"]),
    ],
    ids=["configured", "by flag", "allowed", "nobody configured"],
)
def test_a_client_does_not_change_whom_it_acts_as(
    tmp_path: Path, user: dict[str, object], flags: list[str], users: list[str], groups: list[str]
) -> None:
    async def conversation() -> None:
        async with secure(tmp_path, *flags, user=user) as (made, api):
            await made.get("/x", CLAIMS)
            sent = api.sent[0].fields
            assert (sent["impersonate-user"], sent["impersonate-group"]) == (users, groups)

    run(conversation())


@pytest.mark.parametrize(
    ("flags", "ours", "theirs"),
    [([], "", "Bearer mine"), (["--pass-authorization"], "Bearer t", "Bearer mine")],
    ids=["kubectl's way", "passed"],
)
def test_the_applications_own_authorization(tmp_path: Path, flags: list[str], ours: str, theirs: str) -> None:
    async def conversation() -> None:
        async with secure(tmp_path, *flags, user={"token": "t"}) as (made, api):
            await made.get("/x", b"Authorization: Bearer mine\r\n")
            sent = api.sent[0]
            assert (sent.one("x-bastion-authorization"), sent.one("authorization")) == (ours, theirs)

    run(conversation())


def test_nothing_secret_goes_over_plain_http(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with Api().serving() as api, proxy(kubeconfig(api.url, {"token": "t"}), tmp_path) as made:
            await made.get("/x")
            assert api.sent[0].one("authorization") == ""

    run(conversation())


def two() -> dict[str, object]:
    config = kubeconfig("https://127.0.0.1:1", {"token": "t"})
    config["contexts"] += [
        {"name": "broken", "context": {"cluster": "nowhere", "user": "main"}},
        {"name": "nouser", "context": {"cluster": "main", "user": "nobody"}},
    ]
    return config


STARTS = [
    (two(), ["--context=north"], 'context "north" does not exist'),
    (two(), ["--cluster=north"], 'cluster "north" does not exist'),
    (two(), ["--user=north"], 'auth info "north" does not exist'),
    (two(), ["--context=broken"], 'cluster "nowhere" does not exist'),
    (two(), ["--context=nouser"], 'auth info "nobody" does not exist'),
    (two(), ["--all-contexts"], 'cluster "nowhere" does not exist'),
    (
        two() | {"current-context": ""},
        [],
        "no current context is set: choose one with --context (main, broken",
    ),
    (two(), ["--username=u"], "more than one authentication method found for main; found [token"),
    (kubeconfig(""), [], "server: must be set"),
    (
        kubeconfig("https://x", {"auth-provider": {"name": "gcp"}}),
        [],
        "The gcp auth plugin has been removed.",
    ),
    (kubeconfig("https://127.0.0.1:1", {"tokenFile": "none"}), [], "none cannot be read"),
    (kubeconfig("https://127.0.0.1:1", None, {"certificate-authority": "none.crt"}), [], "none.crt"),
]


@pytest.mark.parametrize(("config", "flags", "says"), STARTS, ids=[says for _, _, says in STARTS])
def test_what_cannot_work_is_said_at_the_start(
    tmp_path: Path, config: dict[str, object], flags: list[str], says: str
) -> None:
    async def conversation() -> None:
        async with proxy(config, tmp_path, *flags):
            raise AssertionError("it serves")

    with pytest.raises(StartError) as caught:
        run(conversation())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_kubeconfig_it_says_where_it_looked(tmp_path: Path) -> None:
    for environ, said in (
        ({"HOME": str(tmp_path)}, str(tmp_path / ".kube/config")),
        ({"HOME": "/", "KUBECONFIG": f"{tmp_path}/a:{tmp_path}/b"}, f"{tmp_path}/a:{tmp_path}/b"),
    ):
        with pytest.raises(StartError, match="no kubeconfig") as caught:
            Kubeconfig(Connection(), environ)
        assert said in str(caught.value)


def test_a_server_by_flag_needs_no_kubeconfig(tmp_path: Path) -> None:
    server, _ = Kubeconfig(Connection(server="http://127.0.0.1:1/x"), {"HOME": str(tmp_path)}).reach("")
    assert (server.netloc, server.path) == ("127.0.0.1:1", "/x")
    assert parse_server("https://api/ä b/", secret=True).path == "/%C3%A4%20b"


def test_in_a_pod_it_is_the_service_account(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-the-pod\n")
    (tmp_path / "ca.crt").write_bytes(Authority().pem)
    environ = {"HOME": "/", "KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    server, credentials = Kubeconfig(Connection(), environ, tmp_path).reach("")
    assert (server.scheme, server.netloc) == ("https", "10.0.0.1:6443")
    assert (credentials.now.authorization or "").lower() == "bearer of-the-pod"
