"""`bastion serve | standalone | demo | version`: flags in, one run function called.

argparse, not a CLI library: kube-apiserver's flags need repetition, `--flag=false` and one-line errors, no
colours, and `bastion version` should not import half a framework.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from bastion.settings import authentication, browsers, config, kubeapi, observing
from bastion.settings.issuer import CLOCK_SKEW

TIMEOUTS = {
    "request_header": "a request's head, from its first byte (or the connection) to its end",
    "keep_alive": "between two requests",
    "request_body_idle": "between two pieces of a request's body",
    "response_stall": "a client that takes nothing of its answer",
    "connect": "a connection to a backend, TLS included",
    "response_header": "the head of a backend's answer, once the request is sent",
    "response_idle": "between two pieces of a backend's answer",
}


LIMITS = {
    "connections_per_address": "connections from one client address; trusted proxies are exempt",
    "exchanges_per_user": "requests of one user under way",
    "tunnels_per_user": "upgraded connections of one user",
    "waiting_per_target": "requests that wait for one target's answer",
    "authentication_failure_qps": "failed authentications per second from one address",
    "authentication_failure_burst": "failed authentications at once from one address",
    "lookup_qps": "names of one user per second that only the API server can know",
}


class Parser(argparse.ArgumentParser):
    """A mistake in the usage is one line on stderr, exit 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    parser = Parser(
        prog="bastion",
        description="A standalone, apiserver-style bastion proxy for Kubernetes.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    _serve_flags(
        commands.add_parser(
            "serve", help="serve pods, services and nodes of a cluster, or of manifests", allow_abbrev=False
        )
    )
    _standalone_flags(
        commands.add_parser(
            "standalone", help="serve manifests as a small Kubernetes API", allow_abbrev=False
        )
    )
    _demo_flags(
        commands.add_parser(
            "demo", help="sample workloads and the bastion in front of them", allow_abbrev=False
        )
    )
    commands.add_parser("version", help="print the version")
    return parser


def _serve_flags(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group("where objects and decisions come from")
    _path(
        source, "--kubeconfig", "the cluster; without it KUBECONFIG, ~/.kube/config, or the pod this runs in"
    )
    source.add_argument(
        "--context", default="", metavar="NAME", help="of the kubeconfig; default its current one"
    )
    _repeated(
        source,
        "--apiserver",
        kubeapi.server,
        "URL",
        "instead of the kubeconfig's; of several one that is well (may be repeated)",
    )
    source.add_argument(
        "--namespaces",
        type=kubeapi.namespaces,
        default=(),
        metavar="A,B",
        help="watch and serve these alone; default all",
    )
    for name, default, what in (("qps", 200, "per second"), ("burst", 400, "at once")):
        help = f"calls to the API server {what}, shared by all workers; default {default}"
        source.add_argument(f"--kube-api-{name}", type=config.count, default=default, metavar="N", help=help)
    _repeated(
        source,
        "--manifests",
        Path,
        "PATH",
        "no cluster: serve these manifests (a file or folder; may be repeated)",
    )
    _path(source, "--token-auth-file", 'static tokens, a CSV of token,user,uid,"group,group"')
    _switch(source, "--anonymous-auth", "let requests without credentials in as system:anonymous")

    _authentication_flags(
        parser.add_argument_group("who is asking, besides bearer tokens that the API server knows")
    )
    remembered = parser.add_argument_group("how long an answer of the API server counts")
    memory = config.Memory()
    _duration(
        remembered, "--authentication-token-webhook-cache-ttl", memory.authentication, "whose a token is"
    )
    _duration(
        remembered, "--authorization-webhook-cache-authorized-ttl", memory.authorized, "that somebody may"
    )
    _duration(
        remembered,
        "--authorization-webhook-cache-unauthorized-ttl",
        memory.unauthorized,
        "that somebody may not",
    )

    serving = parser.add_argument_group("serving")
    serving.add_argument(
        "--bind-address",
        type=config.address,
        default="127.0.0.1",
        metavar="IP",
        help="default %(default)s; 0.0.0.0 for all",
    )
    serving.add_argument(
        "--port", type=config.port, default=8443, metavar="PORT", help="HTTPS; default %(default)s"
    )
    serving.add_argument(
        "--insecure-port",
        type=config.port,
        default=0,
        metavar="PORT",
        help="plain HTTP on loopback only; default off",
    )
    _path(
        serving,
        "--tls-cert-file",
        "the certificate shown to clients, with its chain (PEM); without it one is made",
    )
    _path(serving, "--tls-private-key-file", "its private key (PEM)")
    serving.add_argument(
        "--workers",
        type=config.positive,
        default=1,
        metavar="N",
        help="whole processes on one port; default %(default)s",
    )
    serving.add_argument(
        "--shutdown-delay-duration",
        type=config.duration,
        default=0.0,
        metavar="DURATION",
        help="after SIGTERM: not ready, but still accepting, for so long; default 0s",
    )
    _repeated(
        serving,
        "--trusted-proxy-cidr",
        config.network,
        "CIDR",
        "whose X-Forwarded-* headers count (may be repeated)",
    )

    _repeated(
        serving,
        "--allow-request-header",
        config.odd_header,
        "NAME",
        "a header such as X_Tenant that reaches backends although its name is not of letters, digits and '-'"
        " alone (may be repeated)",
    )

    streams = parser.add_argument_group(
        "streams: upgraded connections, and exchanges that outlive --stream-recheck-interval"
    )
    defaults = config.Streams()
    _duration(
        streams,
        "--stream-recheck-interval",
        defaults.recheck_interval,
        "access is checked again so often; 0 never",
    )
    _duration(
        streams,
        "--stream-recheck-grace",
        defaults.recheck_grace,
        "how long a check may fail to get an answer",
    )
    _duration(
        streams, "--stream-idle-timeout", defaults.idle_timeout, "without a byte for so long it ends; 0 never"
    )
    _duration(
        streams, "--stream-max-duration", defaults.max_duration, "the longest a stream lives; 0 for ever"
    )
    _duration(streams, "--stream-drain", defaults.drain, "what streams get after SIGTERM")
    streams.add_argument(
        "--upgrade-require-create",
        type=config.resources,
        default=defaults.require_create,
        metavar="RESOURCES",
        help="of pods,services,nodes: where an upgrade needs verb create as well; default nodes",
    )

    pages = parser.add_argument_group("pages under the path prefix")
    _switch(
        pages,
        "--rewrite-html",
        "put links in HTML under the prefix (off per request: X-Bastion-Rewrite: none)",
        default=True,
    )
    _switch(
        pages,
        "--sandbox-pages",
        "answers that a session cookie got are sandboxed: all applications share this origin",
        default=True,
    )

    pages = parser.add_argument_group("browsers")
    _switch(
        pages,
        "--sign-in",
        "serve /login, take its cookie for a credential, and send visitors of pages there",
        default=True,
    )
    _path(
        pages,
        "--session-key-file",
        "a secret of 32 bytes or more for those cookies, the same for all replicas; without it one is made",
    )
    pages.add_argument(
        "--proxy-host-suffix",
        type=browsers.host_suffix,
        default="",
        metavar="DOMAIN",
        help="a host name per application: [https--]<name>[--<port>]--<namespace>.svc.DOMAIN (or .pod.)",
    )
    pages.add_argument(
        "--public-url", type=browsers.public_url, default="", metavar="URL", help="where to sign in for those"
    )

    timeouts = parser.add_argument_group("timeouts")
    for field, what in TIMEOUTS.items():
        _duration(timeouts, f"--{field.replace('_', '-')}-timeout", getattr(config.Timeouts(), field), what)

    limits = parser.add_argument_group("limits (0 for none); with --workers each takes its part")
    for field, what in LIMITS.items():
        default = int(getattr(config.Limits(), field))
        limits.add_argument(
            f"--max-{field.replace('_', '-')}",
            type=config.count,
            default=default,
            metavar="N",
            help=f"{what}; default {default}",
        )

    targets = parser.add_argument_group("targets")
    _repeated(
        targets,
        "--allow-target-cidr",
        config.network,
        "CIDR",
        "addresses that may be dialled although refused by default (may be repeated)",
    )
    help = (
        "a path that a generated client (OpenAPI-Generator/…, Swagger-Codegen/…) sends as one segment: its"
        " %%2F is a slash"
    )
    _switch(targets, "--decode-generated-client-paths", help, default=True)
    _switch(targets, "--enable-node-proxy", "serve /api/v1/nodes/<name>/proxy")
    _path(targets, "--kubelet-certificate-authority", "who signs the kubelets' serving certificates")
    _path(targets, "--kubelet-client-certificate", "shown to kubelets, and to nobody else")
    _path(targets, "--kubelet-client-key", "its private key")
    _switch(targets, "--kubelet-insecure-skip-tls-verify", "take any kubelet's certificate")
    _observing_flags(parser.add_argument_group("what is told of what happens"))
    _switch(
        parser.add_argument_group("other"),
        "--check",
        "say what a start would say, what is missing included, and end: status 0 or 1",
    )
    _verbosity(parser)


def _observing_flags(group: argparse._ArgumentGroup) -> None:
    _log_format(group)
    help = "how many pods, services and nodes /metrics tells apart, by namespace and name; default 0"
    group.add_argument("--metrics-targets", type=config.count, default=0, metavar="N", help=help)
    _switch(
        group,
        "--metrics-authorization",
        "/metrics is for those who may `get` that path (RBAC's nonResourceURLs)",
        default=True,
    )
    group.add_argument(
        "--metrics-bind-address",
        type=observing.listen_address,
        default=None,
        metavar="[IP:]PORT",
        help=(
            "/metrics in plain HTTP and for whoever can reach it, on loopback where no address is given;"
            " default off"
        ),
    )


def _log_format(parser: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    help = "of the access log and of stderr; default text at a terminal, else json"
    parser.add_argument("--log-format", choices=observing.LOG_FORMATS, default="", help=help)


def _authentication_flags(group: argparse._ArgumentGroup) -> None:
    _listed(group, "--api-audiences", "a token must be for one of these (TokenReview)")
    _path(
        group,
        "--client-ca-file",
        "who signs clients' certificates: the common name is the user, organizations are groups",
    )
    _path(
        group,
        "--requestheader-client-ca-file",
        "who signs the certificates of front proxies, whose headers name the user",
    )
    _listed(group, "--requestheader-allowed-names", "common names of such certificates; default any")
    _listed(group, "--requestheader-username-headers", "headers that name the user, such as X-Remote-User")
    _listed(group, "--requestheader-group-headers", "headers that name groups, such as X-Remote-Group")
    _listed(group, "--requestheader-uid-headers", "headers with the user's UID, such as X-Remote-Uid")
    _listed(
        group,
        "--requestheader-extra-headers-prefix",
        "what headers with extras begin with, such as X-Remote-Extra-",
    )
    _path(
        group,
        "--authentication-config",
        "an AuthenticationConfiguration with any number of OpenID Connect issuers, instead of --oidc-*",
    )
    _text(group, "--oidc-issuer-url", "an OpenID Connect issuer whose tokens are taken, https", "URL")
    _text(group, "--oidc-client-id", "the audience they must be for", "ID")
    _text(group, "--oidc-username-claim", "which of their claims is the user's name", "CLAIM", "sub")
    _text(group, "--oidc-username-prefix", "put before it; mandatory", "PREFIX")
    _text(group, "--oidc-groups-claim", "which claim lists groups; default none", "CLAIM")
    _text(group, "--oidc-groups-prefix", "put before each", "PREFIX")
    _repeated(
        group,
        "--oidc-required-claim",
        authentication.claim,
        "CLAIM=VALUE",
        "what a token must have as well (may be repeated)",
    )
    _path(group, "--oidc-ca-file", "who signs the issuer's certificate; default the system's authorities")
    _listed(group, "--oidc-signing-algs", "default RS256", authentication.algorithms)
    _duration(
        group, "--oidc-clock-skew", CLOCK_SKEW, "by how much the clocks of issuers may differ, at most 5m"
    )


def _standalone_flags(parser: argparse.ArgumentParser) -> None:
    _repeated(parser, "--manifests", Path, "PATH", "the objects (a file or folder; may be repeated)")
    _path(parser, "--token-auth-file", 'static tokens, a CSV of token,user,uid,"group,group"')
    parser.add_argument(
        "--bind-address", type=config.address, default="127.0.0.1", metavar="IP", help="default %(default)s"
    )
    parser.add_argument(
        "--port", type=config.port, default=6443, metavar="PORT", help="HTTPS, 0 for any; default %(default)s"
    )
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        default=Path("kubeconfig"),
        metavar="PATH",
        help="written here; default ./%(default)s",
    )
    _log_format(parser)
    _verbosity(parser)


def _demo_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=config.port,
        default=None,
        metavar="PORT",
        help="HTTPS on loopback; default the first free from 8443",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=None,
        metavar="PATH",
        help="for CA, tokens, kubeconfig; default ./.demo, or the next that is free",
    )
    _log_format(parser)
    _verbosity(parser)


def _path(parser: argparse._ArgumentGroup | argparse.ArgumentParser, flag: str, help: str) -> None:
    parser.add_argument(flag, type=Path, default=None, metavar="PATH", help=help)


def _repeated(
    parser: argparse._ArgumentGroup | argparse.ArgumentParser,
    flag: str,
    kind: Callable[[str], object],
    metavar: str,
    help: str,
) -> None:
    parser.add_argument(flag, type=kind, action="append", default=[], metavar=metavar, help=help)


def _text(parser: argparse._ArgumentGroup, flag: str, help: str, metavar: str, default: str = "") -> None:
    parser.add_argument(
        flag, default=default, metavar=metavar, help=f"{help}; default {default}" if default else help
    )


def _listed(
    parser: argparse._ArgumentGroup,
    flag: str,
    help: str,
    kind: Callable[[str], list[str]] = authentication.words,
) -> None:
    parser.add_argument(
        flag, type=kind, action="extend", default=[], metavar="A,B", help=f"{help} (may be repeated)"
    )


def _switch(parser: argparse._ArgumentGroup, flag: str, help: str, *, default: bool = False) -> None:
    help = f"{help}; default {str(default).lower()}"
    parser.add_argument(
        flag, type=config.boolean, nargs="?", const=True, default=default, metavar="true|false", help=help
    )


def _duration(parser: argparse._ArgumentGroup, flag: str, default: float, help: str) -> None:
    parser.add_argument(
        flag, type=config.duration, default=default, metavar="DURATION", help=f"{help}; default {default:g}s"
    )


def _verbosity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-v",
        "--v",
        type=int,
        dest="verbosity",
        default=0,
        metavar="LEVEL",
        help="0 what needs attention, 1 what happens, 4 each call; default %(default)s",
    )
