"""Where is the API server, and what is shown to it?  Real files and a real exec plugin; kubectl's rules where they are known."""

import asyncio
import base64
import json
import ssl
import stat
import sys
import textwrap
import time

import pytest
import yaml

from bastion.certificates import Authority
from bastion.cluster.kubeconfig import KubeconfigError, load_access
from tests.fakes import run, until

AUTHORITY = Authority("kubeconfig tests")
LOOK = 0.01  # seconds between looks at the files


def config(server="https://10.0.0.1:6443", user=None, *, name="a", current=True, cluster=None):
    """A kubeconfig with one context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": name, "user": user if user is not None else {"token": f"token-of-{name}"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        **({"current-context": name} if current else {}),
    }


@pytest.fixture
def write(tmp_path):
    """Puts a kubeconfig (or any text) where it is asked for."""

    def put(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return put


class Plugin:
    """An exec plugin that gives what is in a file, and notes that it was asked."""

    def __init__(self, folder):
        self._answer, self._asked, script = folder / "answer.json", folder / "asked", folder / "plugin"
        source = f"""
            #!{sys.executable}
            import json, os, sys
            info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
            with open({str(self._asked)!r}, "a") as file:
                file.write(" ".join([info["kind"], os.environ.get("GREETING", ""), *sys.argv[1:]]) + "\\n")
            text = open({str(self._answer)!r}).read()
            sys.exit(text) if text.startswith("error") else print(text)
        """
        script.write_text(textwrap.dedent(source).lstrip())
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        self.user = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": str(script),
                "args": ["--for", "tests"],
                "env": [{"name": "GREETING", "value": "hello"}],
                "interactiveMode": "Never",
            }
        }

    def gives(self, *, expires_in=None, **status):
        if expires_in is not None:
            status["expirationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + expires_in))
        self._answer.write_text(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))

    def fails(self):
        self._answer.write_text("error: no credentials today")

    @property
    def asked(self):
        return self._asked.read_text().splitlines() if self._asked.exists() else []


@pytest.fixture
def plugin(tmp_path):
    return Plugin(tmp_path)


def opened(tmp_path, kubeconfig=None, context="", **environ):
    environ = {"HOME": str(tmp_path / "home"), **environ}
    return load_access(kubeconfig, context, environ=environ, service_account=tmp_path / "service-account")


def token(access):
    return run(access.authorization())


def kept(access, check):
    """With `access` being kept up to date; `check` tells when all has come about."""

    async def main():
        keeping = asyncio.create_task(access.keep(LOOK))
        try:
            await check(access)
        finally:
            keeping.cancel()

    run(main())


async def comes_to_be(access, authorization):
    for _ in range(3000):
        if await access.authorization() == authorization:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await access.authorization())


# --- which file counts?


def test_the_order_is_flag_then_environment_then_home_then_pod(tmp_path, write):
    flag, listed = write("flag", config("https://flag")), write("listed", config("https://listed"))
    write("home/.kube/config", config("https://home"))
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    write("service-account/token", "of-the-pod\n")
    write("service-account/ca.crt", AUTHORITY.pem.decode())
    assert opened(tmp_path, flag, KUBECONFIG=str(listed), **pod).server == "https://flag"
    assert opened(tmp_path, KUBECONFIG=str(listed), **pod).server == "https://listed"
    assert opened(tmp_path, **pod).server == "https://home"
    assert opened(tmp_path, KUBECONFIG="", **pod).server == "https://home"
    (tmp_path / "home/.kube/config").unlink()
    in_pod = opened(tmp_path, **pod)
    assert (in_pod.server, token(in_pod)) == ("https://10.96.0.1:443", "bearer of-the-pod")


def test_with_none_of_them_it_says_where_it_looked(tmp_path):
    with pytest.raises(KubeconfigError, match=r"^no kubeconfig \(--kubeconfig, KUBECONFIG, ~/.kube/config\) and not in a cluster"):
        opened(tmp_path)


def test_several_files_are_one_and_the_first_that_says_something_wins(tmp_path, write):
    """As kubectl merges them; the official Python client lets the last current-context win."""
    one = config("https://one", name="one", current=False)
    two = config("https://two", name="two")
    three = config("https://three", name="three") | {"clusters": [{"name": "two", "cluster": {"server": "https://not-this"}}]}
    files = ":".join(str(write(f"{i}/config", content)) for i, content in enumerate([one, two, three]))
    access = opened(tmp_path, KUBECONFIG=f"{files}:{tmp_path / 'not-there'}")
    assert (access.server, token(access)) == ("https://two", "Bearer token-of-two")
    assert opened(tmp_path, context="one", KUBECONFIG=files).server == "https://one"


def test_a_context_is_chosen_by_name(tmp_path, write):
    both = config("https://a")
    other = config("https://b", name="b")
    for kind in ("clusters", "users", "contexts"):
        both[kind] += other[kind]
    path = write("config", both)
    assert opened(tmp_path, path).server == "https://a"
    chosen = opened(tmp_path, path, "b")
    assert (chosen.server, token(chosen)) == ("https://b", "Bearer token-of-b")
    with pytest.raises(KubeconfigError, match="with name c in"):
        opened(tmp_path, path, "c")


BROKEN = [
    pytest.param({"kind": "Config"}, "no current-context", id="nothing-in-it"),
    pytest.param(config() | {"current-context": "b"}, "with name b in", id="no-such-context"),
    pytest.param(config() | {"clusters": []}, "with name a in", id="no-such-cluster"),
    pytest.param(config(cluster={"certificate-authority": "none.crt"}), "none.crt", id="no-such-authority"),
    pytest.param(config(cluster={"certificate-authority-data": "bm9uZQ=="}), "certificates", id="an-authority-that-is-none"),
    pytest.param(config(user={"tokenFile": "none"}), "none cannot be read: No such file", id="no-such-token-file"),
    pytest.param(config(user={"exec": {"apiVersion": "v1", "command": "/none"}}), "'/none' gave no credentials", id="no-such-plugin"),
    pytest.param("a: [", "not a kubeconfig", id="no-yaml"),
    pytest.param("- hunter2", "not a kubeconfig", id="a-list"),
]


@pytest.mark.parametrize(("content", "said"), BROKEN)
def test_what_is_wrong_is_one_line_that_names_the_file(tmp_path, write, content, said):
    path = write("config", content)
    with pytest.raises(KubeconfigError) as caught:
        opened(tmp_path, path)
    text = str(caught.value)
    assert text.startswith(f"kubeconfig {path}: ")
    assert said in text
    assert "\n" not in text and "hunter2" not in text


# --- what is shown


def test_paths_in_a_file_begin_where_the_file_is(tmp_path, write):
    write("deep/token", "from-a-file\n")
    write("deep/ca.crt", AUTHORITY.pem.decode())
    pair = AUTHORITY.issue([], common_name="bastion", client=True)
    write("deep/tls.crt", pair.certificate.decode())
    write("deep/tls.key", pair.key.decode())
    user = {"tokenFile": "token", "client-certificate": "tls.crt", "client-key": "tls.key"}
    access = opened(tmp_path, write("deep/config", config(user=user, cluster={"certificate-authority": "ca.crt"})))
    assert token(access) == "Bearer from-a-file"
    assert [authority["subject"] for authority in access.tls.get_ca_certs()] == [((("commonName", "kubeconfig tests CA"),),)]


def test_what_is_in_the_file_itself_is_read_from_there(tmp_path, write):
    pair = AUTHORITY.issue([], common_name="bastion", client=True)
    ca, certificate, key = (base64.b64encode(data).decode() for data in (AUTHORITY.pem, pair.certificate, pair.key))
    cluster = {"certificate-authority-data": ca, "tls-server-name": "api.example", "proxy-url": "http://proxy.example:3128"}
    user = {"client-certificate-data": certificate, "client-key-data": key}
    access = opened(tmp_path, write("config", config(user=user, cluster=cluster)), HTTPS_PROXY="http://not-this:1")
    assert (token(access), access.server_name, access.proxy) == (None, "api.example", "http://proxy.example:3128")
    assert access.tls.verify_mode is ssl.CERT_REQUIRED


def test_a_password_is_shown_as_one(tmp_path, write):
    access = opened(tmp_path, write("config", config(user={"username": "u", "password": "p"})))
    assert token(access) == "Basic " + base64.b64encode(b"u:p").decode()


def test_verification_is_left_out_only_where_the_file_says_so(tmp_path, write):
    assert opened(tmp_path, write("config", config(cluster={"insecure-skip-tls-verify": True}))).tls.verify_mode is ssl.CERT_NONE
    assert opened(tmp_path, write("config", config())).tls.verify_mode is ssl.CERT_REQUIRED


# --- exec plugins


def test_a_plugin_is_run_as_the_file_says_and_its_token_is_shown(tmp_path, write, plugin):
    plugin.gives(token="of-the-plugin")
    access = opened(tmp_path, write("config", config(user=plugin.user)))
    assert token(access) == "Bearer of-the-plugin"
    assert plugin.asked == ["ExecCredential hello --for tests"]


def test_a_plugin_may_give_a_certificate(tmp_path, write, plugin):
    pair = AUTHORITY.issue([], common_name="bastion", client=True)
    plugin.gives(clientCertificateData=pair.certificate.decode(), clientKeyData=pair.key.decode())
    access = opened(tmp_path, write("config", config(user=plugin.user)))
    assert token(access) is None


def test_a_plugin_is_asked_again_before_its_token_expires(tmp_path, write, plugin):
    plugin.gives(token="first", expires_in=20)
    access = opened(tmp_path, write("config", config(user=plugin.user)))
    plugin.gives(token="second", expires_in=3600)
    kept(access, lambda access: comes_to_be(access, "Bearer second"))
    assert len(plugin.asked) == 2


def test_a_token_that_has_expired_is_not_shown_while_another_can_be_had(tmp_path, write, plugin):
    plugin.gives(token="first", expires_in=-5)
    access = opened(tmp_path, write("config", config(user=plugin.user)))
    plugin.gives(token="second", expires_in=3600)
    assert token(access) == "Bearer second"


def test_a_plugin_that_fails_later_on_leaves_what_there_was_and_is_not_asked_all_the_time(tmp_path, write, plugin, caplog):
    plugin.gives(token="first", expires_in=20)
    access = opened(tmp_path, write("config", config(user=plugin.user)))
    plugin.fails()

    async def check(access):
        await until(lambda: "stay" in caplog.text)
        for _ in range(50):
            assert await access.authorization() == "Bearer first"
            await asyncio.sleep(LOOK)

    kept(access, check)
    assert len(plugin.asked) == 2


# --- what changes


def test_a_token_file_is_read_again_when_it_was_rotated(tmp_path, write):
    write("token", "first\n")
    access = opened(tmp_path, write("config", config(user={"tokenFile": "token"})))
    assert token(access) == "Bearer first"
    write("token", "second\n")
    kept(access, lambda access: comes_to_be(access, "Bearer second"))


def test_a_mounted_token_is_rotated_by_turning_a_link(tmp_path, write):
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    for generation in ("first", "second"):
        write(f"service-account/{generation}/token", generation)
        write(f"service-account/{generation}/ca.crt", AUTHORITY.pem.decode())
    mounted = tmp_path / "service-account"
    (mounted / "..data").symlink_to("first")
    for name in ("token", "ca.crt"):
        (mounted / name).symlink_to(f"..data/{name}")
    access = opened(tmp_path, **pod)
    assert token(access) == "bearer first"
    (mounted / "..new").symlink_to("second")
    (mounted / "..new").rename(mounted / "..data")
    kept(access, lambda access: comes_to_be(access, "bearer second"))


def test_a_token_file_that_breaks_keeps_the_old_token_and_says_so_once(tmp_path, write, caplog):
    write("token", "first\n")
    access = opened(tmp_path, write("config", config(user={"tokenFile": "token"})))
    write("token", "")

    async def check(access):
        await until(lambda: "stay" in caplog.text)
        await asyncio.sleep(20 * LOOK)
        assert await access.authorization() == "Bearer first"
        write("token", "second\n")
        await comes_to_be(access, "Bearer second")

    kept(access, check)
    assert [record.getMessage().count("is empty") for record in caplog.records if record.levelname == "ERROR"] == [1]


def test_the_kubeconfig_itself_is_read_again(tmp_path, write):
    access = opened(tmp_path, write("config", config()))
    write("config", config(user={"token": "renewed"}))
    kept(access, lambda access: comes_to_be(access, "Bearer renewed"))


def test_a_new_authority_makes_a_new_context_and_a_new_token_does_not(tmp_path, write):
    write("ca.crt", AUTHORITY.pem.decode())
    write("token", "first")
    access = opened(tmp_path, write("config", config(user={"tokenFile": "token"}, cluster={"certificate-authority": "ca.crt"})))
    before = access.tls

    async def check(access):
        write("token", "second")
        await comes_to_be(access, "Bearer second")
        assert access.tls is before
        write("ca.crt", Authority("renewed").pem.decode())
        await until(lambda: access.tls is not before)
        assert [authority["subject"] for authority in access.tls.get_ca_certs()] == [((("commonName", "renewed CA"),),)]

    kept(access, check)


def test_what_the_api_server_refused_is_loaded_again_at_once(tmp_path, write):
    write("token", "first")
    access = opened(tmp_path, write("config", config(user={"tokenFile": "token"})))

    async def main():
        refused = await access.authorization()
        write("token", "second")
        assert await access.refused(refused)
        assert await access.authorization() == "Bearer second"
        assert not await access.refused("Bearer second"), "there is no other, and asking all the time helps nobody"

    run(main())
