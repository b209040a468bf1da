"""`bastion login`: a bearer token for kubectl, as its exec credential plugin.

Standard output has the ExecCredential and nothing else; all talk is on standard error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.login import Login, LoginOptions, check_issuer

OPTIONS = LoginOptions
MANUAL = Manual(
    "bastion login",
    "Signs in at an OpenID Connect issuer with the browser, or with a code on another device, and prints the"
    " token as kubectl's exec credential plugin. The token is kept and refreshed.",
    first=("issuer-url", "client-id"),
    examples=(
        ("with the browser", "bastion login --issuer-url https://id.example.test --client-id bastion-cli"),
        ("over SSH", "bastion login --issuer-url https://id.example.test --client-id bastion-cli --device"),
    ),
    notes=("`bastion kubeconfig` writes a kubeconfig entry that calls it.",),
)
INFO = "KUBERNETES_EXEC_INFO"
VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


def run(argv: Sequence[str]) -> int:
    given = loaded(OPTIONS, argv, MANUAL)
    if given is None:
        return 0
    mistakes = given.collect()
    asked = given.options.login
    check_issuer(asked, mistakes, "login")
    if mistakes.lines:
        raise ConfigError(mistakes.lines)
    token, expires = _token(asked)
    told = os.environ.get(INFO, "")
    if told or not sys.stdout.isatty():
        sys.stdout.write(credential(token, expires, told) + "\n")
    else:  # a person: the token would stay in the scrollback
        sys.stderr.write(f"signed in, until {_date(expires)}\n")
    return 0


def _token(asked: Login) -> tuple[str, float]:
    """(the token, when it expires).  Raises StartError."""
    from bastion.authn.claims import InvalidToken
    from bastion.authn.tokenendpoint import Away, Refused
    from bastion.cli.login.cache import TokenCache
    from bastion.cli.login.signing import SigningIn
    from bastion.kube.status import StatusError

    folder = asked.cache_dir or Path.home() / ".kube" / "cache" / "bastion"
    try:
        cache = TokenCache(folder, asked.issuer_url, asked.client_id, asked.scopes)
        with cache.locked():  # kubectl starts several plugins at once: one of them signs in
            return asyncio.run(SigningIn(asked, cache, time.time).token())
    except Refused as no:
        raise StartError(f"the issuer refused: {no}") from no
    except InvalidToken as no:
        raise StartError(f"the issuer's token is not good: {no}") from no
    except StatusError as error:
        raise StartError(f"the issuer {asked.issuer_url} does not answer: {error.message}") from error
    except TimeoutError as error:
        raise StartError(f"nobody signed in within {asked.timeout:g}s") from error
    except (Away, OSError, ValueError) as error:
        raise StartError(" ".join(str(error).split())) from error


def credential(token: str, expires: float, told: str) -> str:
    """`told`: what kubectl says of the call; it gets the version that it speaks."""
    try:
        version = json.loads(told)["apiVersion"] if told else VERSIONS[0]
    except (ValueError, LookupError, TypeError):
        version = VERSIONS[0]
    return json.dumps(
        {
            "apiVersion": version if version in VERSIONS else VERSIONS[0],
            "kind": "ExecCredential",
            "status": {"token": token, "expirationTimestamp": _date(expires)},
        }
    )


def _date(seconds: float) -> str:
    from bastion.identity.compact import date

    return date(seconds)
