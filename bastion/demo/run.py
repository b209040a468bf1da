"""`bastion demo`: a small cluster of sample workloads with the bastion in front, and commands to try."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from bastion.demo.issuer import ALGORITHM, CLIENT, Issuer
from bastion.demo.samplehttp import serving
from bastion.demo.workloads import NETWORKS, USERS, Workloads, demo_tokens, manifests_at
from bastion.kube.kubeconfig import kubeconfig
from bastion.runtime.certificates import Authority
from bastion.runtime.errors import StartError
from bastion.runtime.listening import listen
from bastion.runtime.private import write_private
from bastion.runtime.trust import server_context
from bastion.server.negotiated import ALPN
from bastion.server.run import Endings, Server
from bastion.settings.config import Config, serve_config
from bastion.settings.signin import OF_FLAGS
from bastion.wiring.bastion import open_bastion

PORT, MOST = 8443, 100  # the first port tried, and how many are tried
FRONTEND = "/api/v1/namespaces/shop/services/frontend/proxy/"
ORDERS = "/api/v1/namespaces/shop/services/https:orders:/proxy/orders"
TICKER = "/api/v1/namespaces/monitoring/services/ticker/proxy/events"
HOST_SUFFIX = "proxy.localhost"  # browsers take every name under localhost for this machine (RFC 6761, 6.3)
FRONTEND_HOST = f"frontend--shop.svc.{HOST_SUFFIX}"
SITE_HOSTS = (f"guestbook--shop.svc.{HOST_SUFFIX}", f"noticeboard--shop.svc.{HOST_SUFFIX}")
SITE = "/api/v1/namespaces/shop/services/guestbook/proxy/"
CHAT = "/api/v1/namespaces/shop/services/chat/proxy/"
# For a WebSocket's URL, a CA and a token.
SAY_HELLO = (
    "import contextlib, ssl, sys; from websockets.sync.client import connect; url, ca, token = sys.argv[1:];"
    ' tls = ssl.create_default_context(cafile=ca); who = dict(Authorization=f"Bearer {token}"); stack ='
    " contextlib.ExitStack(); chat = stack.enter_context(connect(url, ssl=tls, proxy=None,"
    ' additional_headers=who)); chat.send("hello"); print(chat.recv()); stack.close()'
)

Tokens = dict[str, tuple[str, tuple[str, ...]]]


async def run(folder: Path | None, port: int | None, log_format: str = "") -> int:
    """Serves until it is stopped.  Writes what a client needs (CA, tokens, kubeconfig) into `folder`.

    Where folder or port is None, a free one is found: another demo on this machine may use the first.
    """
    async with contextlib.AsyncExitStack() as stack:
        folder = _own_folder(folder, stack)
        sockets = [_own_socket(port)]
        print("starting the sample workloads and a small cluster ...", flush=True)
        network = await _own_network(folder / "manifests", stack)
        return await _serve(folder, sockets, network, log_format)


def _own_folder(folder: Path | None, stack: contextlib.ExitStack | contextlib.AsyncExitStack) -> Path:
    """One that no other demo uses.  Raises StartError."""
    candidates = (
        [folder]
        if folder is not None
        else [Path(".demo"), *(Path(f".demo-{number}") for number in range(2, MOST))]
    )
    for candidate in candidates:
        candidate.mkdir(exist_ok=True)
        lock = os.open(candidate / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        stack.callback(os.close, lock)
        return candidate.resolve()
    raise StartError(
        f"{candidates[0]} is in use by another demo that is running: choose another folder with --directory"
    )


def _own_socket(port: int | None) -> socket.socket:
    """Raises StartError."""
    for candidate in [port] if port is not None else range(PORT, PORT + MOST):
        try:
            return listen(("127.0.0.1", candidate))
        except OSError as error:
            taken = f"cannot listen on 127.0.0.1:{candidate}: {(error.strerror or str(error)).lower()}"
            if error.errno != errno.EADDRINUSE:
                break
    raise StartError(taken)


async def _own_network(manifests: Path, stack: contextlib.AsyncExitStack) -> str:
    """Starts the workloads in a free network, which it returns; writes `manifests` for it.

    Raises OSError with the address that is not available.
    """
    for number, candidate in enumerate(NETWORKS, 1):
        try:
            await stack.enter_async_context(Workloads(manifests_at(candidate, manifests)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or number == len(NETWORKS):
                raise
        else:
            return candidate
    raise AssertionError("there are networks")


async def _serve(folder: Path, sockets: list[socket.socket], network: str, log_format: str) -> int:
    port = sockets[0].getsockname()[1]
    authority, tokens = Authority("bastion demo"), demo_tokens()
    url = f"https://localhost:{port}"
    issuing = listen(("127.0.0.1", 0))
    issuer = Issuer(
        f"http://127.0.0.1:{issuing.getsockname()[1]}", USERS, (f"{url}/login/{OF_FLAGS}/callback",)
    )
    _write(folder, authority.pem, tokens, url)
    config = _config(folder, url, network, issuer.url, log_format)
    names = dict.fromkeys(("localhost", "127.0.0.1", "::1", *config.browsers.names()))
    tls = server_context(authority.issue([*names], common_name="localhost"))
    tls.set_alpn_protocols(ALPN)
    log = os.open(folder / "access.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    async with serving(issuer.answer, issuing), open_bastion(config, log) as bastion:
        server = Server(bastion.state, Endings(), lambda: tls, _no_sockets(), bastion.app)
        await bastion.synced()
        print(_welcome(folder, tokens, url), flush=True)
        await server.serve(sockets=sockets)
    return 0


def _config(folder: Path, url: str, own_network: str, issuer: str, log_format: str) -> Config:
    flags = {
        "port": url.rpartition(":")[2],
        "manifests": folder / "manifests",
        "token-auth-file": folder / "tokens.csv",
        "allow-target-cidr": own_network,
        "proxy-host-suffix": HOST_SUFFIX,
        "public-url": url,
        "redirect-paths": "true",
        "oidc-issuer-url": issuer,
        "oidc-client-id": CLIENT,
        "oidc-username-prefix": "demo:",
        "oidc-groups-claim": "groups",
        "oidc-signing-algs": ALGORITHM,
        "oidc-display-name": "Demo",
        "probe-interval": "10s",
        "enable-tunnels": "true",
    } | ({"log-format": log_format} if log_format else {})
    return serve_config([f"--{flag}={value}" for flag, value in flags.items()])


def _no_sockets() -> list[socket.socket]:
    return []


def _write(folder: Path, ca: bytes, tokens: Tokens, url: str) -> None:
    (folder / "ca.crt").write_bytes(ca)
    # its server is the bastion, so that `kubectl get --raw` goes through it
    of_users = {user: token for user, (token, _) in tokens.items()}
    rows = [f'{token},{user},{user},"{",".join(groups)}"\n' for user, (token, groups) in tokens.items()]
    for name, text in (("tokens.csv", "".join(rows)), ("kubeconfig", kubeconfig(url, ca, of_users))):
        write_private(folder / name, text.encode())


@dataclass(frozen=True, slots=True)
class _Commands:
    """Commands to paste, each as one of the demo's users."""

    url: str
    ca: Path
    tokens: Tokens

    def curl(self, user: str, path: str, *options: str, at: str = "") -> str:
        token = f"Authorization: Bearer {self.tokens[user][0]}"
        words = ["curl", *options, "--cacert", str(self.ca), "-H", token, (at or self.url) + path]
        return _pasted(words)

    def chat(self, user: str) -> str:
        url = self.url.replace("https", "wss", 1) + CHAT
        return _pasted([sys.executable, "-c", SAY_HELLO, url, str(self.ca), self.tokens[user][0]])


def _pasted(words: list[str]) -> str:
    return "    " + " ".join(map(shlex.quote, words))


def _welcome(folder: Path, tokens: Tokens, url: str) -> str:
    lines = _Commands(url, folder / "ca.crt", tokens)
    port = url.rpartition(":")[2]
    host = f"{FRONTEND_HOST}:{port}"
    sites = "\n".join(f"    https://{site}:{port}/" for site in SITE_HOSTS)
    users = "\n".join(f"    {user:<8}{token}" for user, (token, _) in tokens.items())
    return f"""
The demo is up at {url}: namespaces shop and monitoring, six workloads, three users.

Tokens:
{users}

Allowed: alice develops the shop, so its front page answers (twice, and another pod does):
{lines.curl("alice", FRONTEND, "-s")}

Its orders speak HTTPS behind the bastion:
{lines.curl("alice", ORDERS, "-s")}

Refused with 403: carol may look at the cluster, but not reach into it:
{lines.curl("carol", FRONTEND, "-s")}

Streaming: bob follows the ticker's events as they come (Ctrl-C ends it):
{lines.curl("bob", TICKER, "-sN")}

A WebSocket (it needs the websockets package, a development dependency): alice says hello, the pod repeats it:
{lines.chat("alice")}

In a browser: open {url} and sign in with Demo, as alice; nobody needs a token.
(It warns, and runs no service worker, until it trusts {folder / "ca.crt"}.)
Two sites, each on a host name, and so an origin, of its own:
{sites}
The first of them under a path, where only its pages and links work:
    {url}{SITE}

A host name with curl:
{lines.curl("alice", "/", "-s", "--resolve", f"{host}:127.0.0.1", at=f"https://{host}")}

With kubectl:
    kubectl --kubeconfig {shlex.quote(str(folder / "kubeconfig"))} get --raw {FRONTEND}

Every request is a line in {folder / "access.log"}.  Ctrl-C here ends the demo.
"""
