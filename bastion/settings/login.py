"""· Options of the commands with which a terminal signs in: `bastion login` and `bastion kubeconfig`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.settings.issuer import wrong_url
from bastion.settings.kinds import BOOLEAN, DURATION, NAMES, PATH, named
from bastion.settings.mistakes import Mistakes
from bastion.settings.option import option, section

SCOPES = ("openid", "profile", "email", "offline_access")


@dataclass(frozen=True, slots=True)
class Login:
    """`certificate_authority` signs the issuer's certificate."""

    issuer_url: str = option("issuer-url", named("URL"), "", "the OpenID Connect issuer to sign in at")
    client_id: str = option("client-id", named("ID"), "", "the client, a public one with PKCE")
    client_secret_file: Path | None = option(
        "client-secret-file", PATH, None, "the client's secret, for issuers that have no public clients"
    )
    scopes: tuple[str, ...] = option("scopes", NAMES, SCOPES, "the scopes to ask for")
    certificate_authority: Path | None = option(
        "certificate-authority", PATH, None, "signs the issuer's certificate; without it the system's"
    )
    device: bool = option(
        "device", BOOLEAN, False, "show a code to enter on another device, where no browser is at hand"
    )
    cache_dir: Path | None = option(
        "cache-dir", PATH, None, "where tokens are kept, mode 0600; without it ~/.kube/cache/bastion"
    )
    timeout: float = option("timeout", DURATION, 300.0, "how long to wait for the person")


@dataclass(frozen=True, slots=True)
class LoginOptions:
    login: Login = section(Login, "flags")


@dataclass(frozen=True, slots=True)
class KubeconfigEntry:
    """`certificate_authority` signs the bastion's certificate."""

    bastion: str = option("bastion", named("URL"), "", "the bastion that the entry is for")
    certificate_authority: Path | None = option(
        "certificate-authority", PATH, None, "signs the bastion's certificate; it is put into the entry"
    )
    name: str = option("name", named("NAME"), "bastion", "of the context, the cluster and the user")
    kubeconfig: Path | None = option(
        "kubeconfig", PATH, None, "the file; without it the first of KUBECONFIG, or ~/.kube/config"
    )
    issuer_url: str = option("issuer-url", named("URL"), "", "the OpenID Connect issuer to sign in at")
    client_id: str = option("client-id", named("ID"), "", "the client, a public one with PKCE")
    scopes: tuple[str, ...] = option("scopes", NAMES, (), "the scopes to ask for; without it login's own")
    issuer_certificate_authority: Path | None = option(
        "issuer-certificate-authority", PATH, None, "signs the issuer's certificate"
    )
    device: bool = option("device", BOOLEAN, False, "sign in with a code, where no browser is at hand")
    use: bool = option("use", BOOLEAN, False, "make it the current context, also where there is one")


@dataclass(frozen=True, slots=True)
class KubeconfigOptions:
    kubeconfig_entry: KubeconfigEntry = section(KubeconfigEntry, "flags")


def check_issuer(given: Login | KubeconfigEntry, mistakes: Mistakes, at: str) -> None:
    for name in ("issuer_url", "client_id"):
        if not getattr(given, name):
            mistakes.add("{0} is required", f"{at}.{name}")
    if given.issuer_url and (wrong := wrong_url(given.issuer_url)):
        mistakes.add("{0}: {wrong}", f"{at}.issuer_url", wrong=wrong)
    authority = "certificate_authority" if isinstance(given, Login) else "issuer_certificate_authority"
    for name in (authority, "certificate_authority", "client_secret_file"):
        file = getattr(given, name, None)
        if file is not None and not file.exists():
            mistakes.add("{0}: {file}: no such file", f"{at}.{name}", file=file)
