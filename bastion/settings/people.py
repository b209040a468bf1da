"""· The options of the commands for people: which bastion is asked, as whom, and for what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.settings.kinds import BOOLEAN, PATH, TEXT, Kind, named, several
from bastion.settings.option import option, section

FORMATS = ("wide", "json", "yaml", "name")
JSONPATH = "jsonpath="


def _format(text: str) -> str:
    if text not in FORMATS and not text.startswith(JSONPATH):
        raise ValueError(f"must be one of {', '.join(FORMATS)}, {JSONPATH}TEMPLATE")
    return text


@dataclass(frozen=True, slots=True)
class Asked:
    """Which bastion is asked, and as whom."""

    server: str = option(
        "server", named("URL"), "", "the bastion (--bastion is the same); without it a kubeconfig's context"
    )
    token: str = option(
        "token", TEXT, "", "the bearer token; without it --token-file or the variable BASTION_TOKEN"
    )
    token_file: Path | None = option("token-file", PATH, None, "a file with the token, read for each use")
    certificate_authority: Path | None = option(
        "certificate-authority", PATH, None, "signs the bastion's certificate; without it the system's"
    )
    client_certificate: Path | None = option(
        "client-certificate", PATH, None, "a certificate to show to the bastion, with --client-key"
    )
    client_key: Path | None = option("client-key", PATH, None, "the key of --client-certificate")
    insecure_skip_tls_verify: bool = option(
        "insecure-skip-tls-verify", BOOLEAN, False, "accept any certificate of the bastion"
    )
    kubeconfig: Path | None = option(
        "kubeconfig", PATH, None, "the kubeconfig; without it those of KUBECONFIG, or ~/.kube/config"
    )
    context: str = option("context", TEXT, "", "the context of it that is for the bastion")
    namespace: str = option(
        "namespace", TEXT, "", "of what is named without one (default), or the only one listed", short="n"
    )


@dataclass(frozen=True, slots=True)
class AskedOptions:
    asked: Asked = section(Asked, "flags")


@dataclass(frozen=True, slots=True)
class Shown:
    output: str = option(
        "output",
        Kind("FORMAT", _format, words=FORMATS),
        "",
        "wide, json, yaml, name or jsonpath=TEMPLATE; without it a table",
        short="o",
    )


@dataclass(frozen=True, slots=True)
class ShownOptions:
    asked: Asked = section(Asked, "flags")
    shown: Shown = section(Shown, "output")


@dataclass(frozen=True, slots=True)
class Tunnel:
    address: tuple[str, ...] = option(
        "address", several(named("IP")), ("localhost",), "where to listen, with commas between"
    )
    socks: str = option(
        "socks", named("PORT"), "", "be a SOCKS5 proxy on this port of loopback, for any service or pod"
    )
    stdio: bool = option("stdio", BOOLEAN, False, "carry standard input and output, for ssh's ProxyCommand")


@dataclass(frozen=True, slots=True)
class TunnelOptions:
    asked: Asked = section(Asked, "flags")
    tunnel: Tunnel = section(Tunnel, "what is listened on")


@dataclass(frozen=True, slots=True)
class Open:
    print_only: bool = option("print", BOOLEAN, False, "print the URL, and open nothing")


@dataclass(frozen=True, slots=True)
class OpenOptions:
    asked: Asked = section(Asked, "flags")
    open: Open = section(Open, "what is opened")
