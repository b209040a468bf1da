"""· Which options contradict each other, or name files that are not there?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from bastion.message.identity import folded, withholding
from bastion.settings.authentication import ORDINARY, fields_of_front_proxies
from bastion.settings.load import value_of
from bastion.settings.mistakes import Mistakes
from bastion.settings.observing import MOST_TARGETS
from bastion.settings.option import options_of
from bastion.settings.options import Options
from bastion.settings.passthrough import NONE, REQUEST_HEADER

TOGETHER = (
    ("serving.tls_cert_file", "serving.tls_private_key_file"),
    ("kubelet.client_certificate", "kubelet.client_key"),
    ("pass_through.client_certificate", "pass_through.client_key"),
)
EXCLUDING = (
    ("source.manifests", "source.kubeconfig", ": the objects come from one place"),
    ("kubelet.insecure_skip_tls_verify", "kubelet.certificate_authority", ""),
)


def contradict(options: Options, mistakes: Mistakes) -> None:
    _pairs(options, mistakes)
    _ports(options, mistakes)
    _header_fields(options, mistakes)
    _api_server(options, mistakes)
    _browsers(options, mistakes)
    _pass_through(options, mistakes)
    _missing_files(options, mistakes)


def _pairs(options: Options, mistakes: Mistakes) -> None:
    values = {row.key: value_of(options, row) for row in options_of(Options)}
    for one, other in TOGETHER:
        if bool(values[one]) != bool(values[other]):
            mistakes.add("{0} and {1} belong together", one, other)
    for one, other, why in EXCLUDING:
        if values[one] and values[other]:
            mistakes.add("{0} and {1} exclude each other{why}", one, other, why=why)


def _ports(options: Options, mistakes: Mistakes) -> None:
    serving, observing = options.serving, options.observing
    if serving.insecure_port and serving.insecure_port == serving.port:
        mistakes.add("{0} and {1} must differ", "serving.insecure_port", "serving.port")
    aside = observing.metrics_bind_address
    if aside is not None and aside[1] in (serving.port, serving.insecure_port):
        mistakes.add("{0} needs a port of its own", "observing.metrics_bind_address", "serving.port")
    if observing.metrics_targets > MOST_TARGETS:
        key = "observing.metrics_targets"
        mistakes.add("{0}: at most {most}: each is some twenty series", key, most=MOST_TARGETS)


def _header_fields(options: Options, mistakes: Mistakes) -> None:
    withheld = withholding(*fields_of_front_proxies(options.request_header))
    for name in options.serving.allow_request_headers:
        usual = folded(name.encode())
        if withheld(usual) or usual.decode() in ORDINARY:
            mistakes.add(
                "{0}: a backend could read {name} as one of the headers that say who asks, or for what",
                "serving.allow_request_headers",
                name=name,
            )


def _api_server(options: Options, mistakes: Mistakes) -> None:
    """With manifests there is none but the embedded one."""
    if options.source.manifests and (options.kube_api.context or options.kube_api.servers):
        mistakes.add(
            "{0} needs no cluster: {1} and {2} have no meaning beside it",
            "source.manifests",
            "kube_api.context",
            "kube_api.servers",
        )
    if options.source.manifests and options.authentication.audiences:
        mistakes.add(
            "{0} means nothing with {1}: the embedded API knows no audiences, and no token would be for one",
            "authentication.audiences",
            "source.manifests",
        )


def _browsers(options: Options, mistakes: Mistakes) -> None:
    if options.browsers.revocations and not (options.browsers.sign_in_config or options.oidc.display_name):
        needed = "browsers.revocations", "browsers.sign_in_config", "oidc.display_name"
        mistakes.add("{0} means nothing without {1} or {2}", *needed)
    suffix, url = options.browsers.host_suffix, options.browsers.public_url
    keys = "browsers.host_suffix", "browsers.public_url"
    if suffix and not url:
        mistakes.add("{0} needs {1}: where to sign in for the applications under it", *keys)
    elif suffix and (urlsplit(url).hostname or "").endswith("." + suffix):
        mistakes.add("{1} may not be under {0}: those names are the applications'", *keys)


def _pass_through(options: Options, mistakes: Mistakes) -> None:
    section = options.pass_through
    for name in () if section.enabled else ("discover", "sessions", "client_certificate"):
        if getattr(section, name):
            mistakes.add("{0} means nothing without {1}", f"pass_through.{name}", "pass_through.enabled")
    for name in () if section.enabled else ("identity", "affinity"):
        if getattr(section, name) != NONE:
            mistakes.add("{0} means nothing without {1}", f"pass_through.{name}", "pass_through.enabled")
    keys = "pass_through.identity", "pass_through.client_certificate"
    if section.enabled and (section.identity == REQUEST_HEADER) != bool(section.client_certificate):
        mistakes.add("{1} is for {0} requestheader, which cannot be without it", *keys)
    if section.sessions and not options.browsers.sign_in:
        mistakes.add("{0} needs {1}", "pass_through.sessions", "browsers.sign_in")


WRITTEN = frozenset(("probing.store",))  # files that are made where they are missing


def _missing_files(options: Options, mistakes: Mistakes) -> None:
    for row in options_of(Options):
        if row.section:
            for path in _paths(value_of(options, row)):
                if not (path.parent if row.key in WRITTEN else path).exists():
                    mistakes.add("{0}: {path}: no such file", row.key, path=path)


def _paths(value: object) -> Iterable[Path]:
    if isinstance(value, Path):
        return [value]
    return [one for one in value if isinstance(one, Path)] if isinstance(value, tuple) else []
