"""· At which OpenID Connect issuers do people sign in?

Which of their tokens are believed, and which claims are names, is said in one place, the authentication: here
stands only how a browser is sent there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bastion.kube.documents import documents
from bastion.kube.values import duration
from bastion.settings.issuer import Issuer
from bastion.settings.mistakes import Mistakes
from bastion.settings.options import Options
from bastion.settings.yamlreader import Reader

KIND = "SignInConfiguration"
API_VERSION = "bastion.dev/v1alpha1"
OF_FLAGS = "oidc"  # the name of the one that flags describe
DEFAULT_SCOPES = ("openid", "profile", "email")
MOST_SECONDS = 8 * 3600.0

_WORD = re.compile(r"[!-~]+")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")
# They say where the response goes and what it is bound to, or are options of their own.
_OURS = frozenset(
    (
        "client_id",
        "client_secret",
        "response_type",
        "response_mode",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "request",
        "request_uri",
        "registration",
    )
)
_FIELDS = (
    "name",
    "displayName",
    "issuer",
    "clientID",
    "clientSecretFile",
    "scopes",
    "prompt",
    "authorizationParameters",
    "logout",
    "sessionDuration",
)


@dataclass(frozen=True, slots=True)
class SignInProvider:
    """`name` is part of its redirect URI.  `secret_file` None: a public client.

    `parameters` are added to what a browser is sent with.  `id_token_hint`: the issuer wants its ID token
    back to sign out.  `least_seconds`: the session lasts so long although the token does not.
    """

    name: str
    issuer: str
    client_id: str
    display_name: str = ""
    secret_file: Path | None = None
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    parameters: tuple[tuple[str, str], ...] = ()
    id_token_hint: bool = False
    least_seconds: float = 0.0

    @property
    def title(self) -> str:
        return self.display_name or self.name


def providers_of(
    options: Options, issuers: Sequence[Issuer], mistakes: Mistakes
) -> tuple[SignInProvider, ...]:
    """Those of the file, and the one of the flags."""
    file = options.browsers.sign_in_config
    providers = [*_of_flags(options, mistakes), *(_of_file(file, mistakes) if file is not None else ())]
    key = "browsers.sign_in_config" if file is not None else "oidc.display_name"
    for one in providers:
        issuer = next((issuer for issuer in issuers if issuer.url == one.issuer), None)
        if one.issuer and issuer is None:
            why = "is not among the issuers whose tokens are accepted: what would its users be called?"
            mistakes.add("{0}: {issuer} {why}", key, issuer=one.issuer, why=why)
        elif issuer is not None and one.client_id and one.client_id not in issuer.audiences:
            mistakes.add(
                "{0}: {client} is no audience of {issuer}: its tokens would be refused",
                key,
                client=one.client_id,
                issuer=one.issuer,
            )
    names = [one.name for one in providers]
    for name in {name for name in names if names.count(name) > 1}:
        mistakes.add("{0}: the provider {name} is there twice", key, name=name)
    if providers and not options.browsers.sign_in:
        mistakes.add("{0} needs {1}", key, "browsers.sign_in")
    if providers and not options.browsers.public_url:
        mistakes.add("{0} needs {1}: where issuers send people back to", key, "browsers.public_url")
    return tuple(providers)


def _of_flags(options: Options, mistakes: Mistakes) -> tuple[SignInProvider, ...]:
    oidc = options.oidc
    if not oidc.display_name:
        for name in ("client_secret_file", "scopes"):
            if getattr(oidc, name):
                mistakes.add("{0} means nothing without {1}", f"oidc.{name}", "oidc.display_name")
        return ()
    scopes = _scopes(oidc.scopes or DEFAULT_SCOPES)
    one = SignInProvider(
        OF_FLAGS, oidc.issuer_url, oidc.client_id, oidc.display_name, oidc.client_secret_file, scopes
    )
    return (one,)


def _of_file(file: Path, mistakes: Mistakes) -> tuple[SignInProvider, ...]:
    if not file.exists():
        return ()
    try:
        providers, lines = read_configuration(file.read_text(), file.parent)
    except (OSError, ValueError) as error:
        providers, lines = (), [" ".join(str(error).split())]
    for line in lines:
        mistakes.add("{0}: {file}: {line}", "browsers.sign_in_config", file=file, line=line)
    return providers


def read_configuration(text: str, folder: Path) -> tuple[tuple[SignInProvider, ...], list[str]]:
    """The providers, and every mistake by its path; files are relative to `folder`.

    Raises ValueError where it is not YAML of one meaning.
    """
    try:
        read = list(documents(text))
    except ValueError as error:
        raise ValueError(f"not YAML: {error}") from error
    for path in read[0].repeated if read else ():
        raise ValueError(f"{path}: is there twice")
    reader = Reader()
    if len(read) > 1:
        reader.mistakes.append("the file: must be one document")
    top = reader.object(read[0].value if read else None, "", ("apiVersion", "kind", "providers"))
    if top.get("kind") != KIND:
        reader.mistakes.append(f"kind: must be {KIND}")
    if top.get("apiVersion", API_VERSION) != API_VERSION:
        reader.mistakes.append(f"apiVersion: must be {API_VERSION}")
    entries = reader.list(top, "providers", "")
    return tuple(
        _provider(reader, one, f"providers[{i}]", folder) for i, one in enumerate(entries)
    ), reader.mistakes


def _provider(reader: Reader, value: Any, path: str, folder: Path) -> SignInProvider:
    entry = reader.object(value, path, _FIELDS)
    name = reader.text(entry, "name", path)
    if name and not _NAME.fullmatch(name):
        reader.wrong(f"{path}.name", "must be letters a to z, digits and '-': it is part of a URL")
    secret = reader.text(entry, "clientSecretFile", path, required=False)
    if secret and not (folder / secret).exists():
        reader.wrong(f"{path}.clientSecretFile", f"{folder / secret}: no such file")
    scopes = entry.get("scopes")
    logout = reader.text(entry, "logout", path, required=False)
    if logout not in ("", "idTokenHint"):
        reader.wrong(f"{path}.logout", "must be idTokenHint")
    return SignInProvider(
        name,
        reader.text(entry, "issuer", path),
        reader.text(entry, "clientID", path),
        reader.text(entry, "displayName", path, required=False),
        folder / secret if secret else None,
        scopes=_scopes(_texts(reader, scopes, f"{path}.scopes")) if scopes is not None else DEFAULT_SCOPES,
        parameters=_parameters(reader, entry, path),
        id_token_hint=logout == "idTokenHint",
        least_seconds=_seconds(reader, entry, path),
    )


def _scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """Without `openid` there would be no ID token."""
    return tuple(dict.fromkeys(("openid", *scopes)))


def _texts(reader: Reader, value: Any, path: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) and _WORD.fullmatch(one) for one in value):
        reader.wrong(path, "must be a list of words")
        return []
    return value


def _parameters(reader: Reader, entry: Mapping[str, Any], path: str) -> tuple[tuple[str, str], ...]:
    given = entry.get("authorizationParameters")
    prompt = reader.text(dict(entry), "prompt", path, required=False)
    found = {"prompt": prompt} if prompt else {}
    if given is None:
        return tuple(found.items())
    at = f"{path}.authorizationParameters"
    if not isinstance(given, dict) or not all(isinstance(one, str) for pair in given.items() for one in pair):
        reader.wrong(at, "must be an object of strings")
        return tuple(found.items())
    for name in sorted(_OURS & given.keys()):
        reader.wrong(f"{at}.{name}", "is the bastion's own")
    return tuple((found | given).items())


def _seconds(reader: Reader, entry: Mapping[str, Any], path: str) -> float:
    text = reader.text(dict(entry), "sessionDuration", path, required=False)
    try:
        seconds = duration(text) if text else 0.0
    except ValueError as error:
        reader.wrong(f"{path}.sessionDuration", str(error))
        return 0.0
    if seconds > MOST_SECONDS:
        reader.wrong(f"{path}.sessionDuration", "is more than the 8h that a session lasts")
    return seconds
