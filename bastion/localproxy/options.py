"""· What may be asked of `bastion proxy`?  kubectl's flags with kubectl's defaults, and our own behind
them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bastion.localproxy.pflag import Flag, boolean, duration, integer, level, parse, terse_duration

ACCEPT_HOSTS = r"^localhost$,^127\.0\.0\.1$,^\[::1\]$"
REJECT_PATHS = "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach"
PORT = 8001
_TIMEOUT = (
    "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by"
    " a corresponding"
    " time unit (e.g. 1s | 2m | 3h)"
)


@dataclass(frozen=True, slots=True)
class Connection:
    """What overrides the kubeconfig; empty strings override nothing."""

    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    user: str = ""
    server: str = ""
    token: str = ""
    username: str = ""
    password: str = ""
    as_user: str = ""
    as_groups: tuple[str, ...] = ()
    as_uid: str = ""
    certificate_authority: str = ""
    client_certificate: str = ""
    client_key: str = ""
    tls_server_name: str = ""
    proxy_url: str = ""
    insecure_skip_tls_verify: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """`command` is what stands behind `--`; durations are in seconds."""

    connection: Connection
    address: str
    port: int
    unix_socket: str
    accept_hosts: str
    accept_paths: str
    reject_paths: str
    reject_methods: str
    disable_filter: bool
    api_prefix: str
    append_server_path: bool
    www: str
    www_prefix: str
    keepalive: float
    disable_compression: bool
    verbosity: int
    contexts: tuple[str, ...] = ()
    all_contexts: bool = False
    rewrite: bool = False
    pass_authorization: bool = False
    allow_impersonation: bool = False
    only_user: bool = False
    auth_token: bool = False
    tls: bool = False
    access_log: bool = False
    metrics_bind_address: str = ""
    websocket_ping: float = 0.0
    command: tuple[str, ...] = ()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


CONNECTION = (
    Flag("kubeconfig", "", "Path to the kubeconfig file to use."),
    Flag("context", "", "The name of the kubeconfig context to use."),
    Flag("cluster", "", "The name of the kubeconfig cluster to use."),
    Flag("user", "", "The name of the kubeconfig user to use."),
    Flag("namespace", "", "Accepted as everywhere; the proxy serves all namespaces.", short="n"),
    Flag("server", "", "The address of the Kubernetes API server.", short="s"),
    Flag("token", "", "Bearer token for authentication to the API server."),
    Flag("username", "", "Username for basic authentication to the API server."),
    Flag("password", "", "Password for basic authentication to the API server."),
    Flag("as", "", "Username to impersonate."),
    Flag("as-group", (), "Group to impersonate, this flag can be repeated.", repeated=True),
    Flag("as-uid", "", "UID to impersonate."),
    Flag("certificate-authority", "", "Path to a file with the certificate authority."),
    Flag("client-certificate", "", "Path to a client certificate file for TLS."),
    Flag("client-key", "", "Path to a client key file for TLS."),
    Flag("tls-server-name", "", "Server name to use for server certificate validation."),
    Flag("insecure-skip-tls-verify", False, "Do not check the API server's certificate.", boolean),
    Flag("proxy-url", "", "The proxy (http, https or socks5) through which the API server is reached."),
    Flag("request-timeout", "0", "Checked, and without effect on proxied requests, as in kubectl."),
    Flag("v", 0, "Verbosity of the log.", level, short="v"),
)
# kubectl takes them everywhere; here they change nothing.
IGNORED = (
    Flag("disable-compression", False, "Do not ask the API server for compressed responses.", boolean),
    Flag("match-server-version", False, "Without effect.", boolean),
    Flag("warnings-as-errors", False, "Without effect.", boolean),
    Flag("cache-dir", "", "Without effect."),
    Flag("kuberc", "", "Without effect."),
    Flag("log-flush-frequency", 5.0, "Without effect.", terse_duration),
    Flag("profile", "none", "Without effect."),
    Flag("profile-output", "profile.pprof", "Without effect."),
    Flag("vmodule", "", "Without effect."),
)
PROXY = (
    Flag("accept-hosts", ACCEPT_HOSTS, "Regular expressions (RE2) for hosts that the proxy should accept."),
    Flag("accept-paths", "^.*", "Regular expressions (RE2) for paths that the proxy should accept."),
    Flag("address", "127.0.0.1", "The IP address on which to serve on."),
    Flag("api-prefix", "/", "Prefix to serve the proxied API under."),
    Flag("append-server-path", False, "Put the path of the cluster's server before each request.", boolean),
    Flag("disable-filter", False, "Disable all filters. Any web page may act as you then.", boolean),
    Flag("keepalive", 0.0, "TCP keep-alive period towards the API server. 0s for 30s.", duration),
    Flag("port", PORT, "The port on which to run the proxy. 0 picks a random one.", integer, short="p"),
    Flag("reject-methods", "^$", "Regular expressions (RE2) for HTTP methods that the proxy should reject."),
    Flag("reject-paths", REJECT_PATHS, "Regular expressions (RE2) for paths to reject, accepted or not."),
    Flag("unix-socket", "", "Unix socket on which to run the proxy.", short="u"),
    Flag("www", "", "Also serve static files from the given directory under the prefix.", short="w"),
    Flag("www-prefix", "/static/", "Prefix to serve static files under, if a directory is given.", short="P"),
)
OWN = (
    Flag("contexts", (), "Serve these contexts under /contexts/NAME/ and http://NAME.localhost.", _names),
    Flag("all-contexts", False, "Serve every context of the kubeconfig so.", boolean),
    Flag(
        "rewrite", False, "Keep web applications behind services working, by path and by host name.", boolean
    ),
    Flag(
        "pass-authorization",
        False,
        "Pass a client's Authorization on; ours as X-Bastion-Authorization.",
        boolean,
    ),
    Flag("allow-impersonation", False, "A client's Impersonate-User replaces the configured one.", boolean),
    Flag("only-user", False, "Serve connections of this operating system user alone.", boolean),
    Flag("auth-token", False, "Ask for a token, which is printed once as part of a URL.", boolean),
    Flag("tls", False, "Serve HTTPS with a certificate made at the start.", boolean),
    Flag("access-log", False, "One line for each request on standard error.", boolean),
    Flag("metrics-bind-address", "", "Serve /metrics on this HOST:PORT."),
    Flag("websocket-ping", 0.0, "Ping idle WebSockets this often. 0s for never.", duration),
)
FLAGS = CONNECTION + IGNORED + PROXY + OWN


def read(argv: Sequence[str]) -> Options:
    """Raises pflag's FlagError and HelpRequested, and ValueError for what contradicts itself."""
    values, _, command = parse(FLAGS, argv)
    _check_timeout(values["request-timeout"])
    if values["unix-socket"] and values["port"] != PORT:
        raise ValueError("cannot set --unix-socket and --port at the same time")
    renamed = {"as": "as_user", "as-group": "as_groups", "v": "verbosity"}
    given = {renamed.get(name, name.replace("-", "_")): value for name, value in values.items()}
    return Options(
        connection=_taken(Connection, given),
        command=tuple(command),
        **{name: given[name] for name in Options.__slots__ if name in given},
    )


def _taken(kind: Any, given: dict[str, Any]) -> Any:
    return kind(**{name: given[name] for name in kind.__slots__})


def _check_timeout(text: str) -> None:
    if re.fullmatch(r"[+]?[0-9]{1,18}", text):
        return
    try:
        duration(text)
    except ValueError:
        raise ValueError(_TIMEOUT) from None
