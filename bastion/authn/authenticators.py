"""Which ways to prove who one is are there, and in which order are they tried?

As kube-apiserver has it (spec A-1..A-4): front proxy, client certificate, bearer token (file, issuers, TokenReview), and
nobody in particular at last.  The first that knows the credentials answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bastion.authentication import Authentication, FrontProxy, Issuer
from bastion.authn.anonymous import AnonymousAuthenticator
from bastion.authn.authenticator import Authenticator, Credentials, FirstOf, LocalAuthenticator
from bastion.authn.cached import CachedAuthenticator
from bastion.authn.requestheader import FrontProxyAuthenticator, FrontProxyHeaders
from bastion.authn.tokenfile import TokenFileAuthenticator, read_token_file
from bastion.authn.tokenreview import Reviews, TokenReviewAuthenticator
from bastion.authn.x509 import CertificateAuthenticator, CertificateVerifier, Trust
from bastion.config import StartError
from bastion.reload import Followed, follow


@dataclass(frozen=True, slots=True)
class Authenticators:
    """`remembering` is for requests, `fresh` for streams, which ask rarely and want to know.  `remembers` tells at once
    whether credentials are known to be somebody's.  `headers`: those of a front proxy, None where there is none."""

    fresh: Authenticator
    remembering: Authenticator
    remembers: Callable[[Credentials], bool]
    headers: FrontProxyHeaders | None


async def open_authenticators(
    settings: Authentication, token_file: Path | None, reviews: Reviews, stack: AsyncExitStack, *, anonymous: bool, ttl: float
) -> Authenticators:
    """`ttl`: seconds for which the answer about a token counts.  Raises StartError, or OSError where a file cannot be read."""
    trusts = {path: _trust(path) for path in settings.authorities}
    if trusts:
        task = asyncio.create_task(follow(trusts.values()), name="client authorities")
        stack.callback(task.cancel)

    local: list[LocalAuthenticator] = []
    headers = None
    if settings.front_proxy is not None:
        _refuse_shared(settings, trusts)
        headers = _headers(settings.front_proxy)
        verifier = CertificateVerifier(trusts[settings.front_proxy.authority], time.time)
        local.append(FrontProxyAuthenticator(verifier, settings.front_proxy.allowed_names))
    if settings.client_authority is not None:
        local.append(CertificateAuthenticator(CertificateVerifier(trusts[settings.client_authority], time.time)))
    if token_file is not None:
        local.append(TokenFileAuthenticator(read_token_file(token_file)))

    tokens: Authenticator = TokenReviewAuthenticator(reviews, settings.audiences)
    if settings.issuers:
        tokens = await _issued(settings.issuers, tokens, stack)
    cached = CachedAuthenticator(tokens, ttl)

    def remembers(credentials: Credentials) -> bool:
        return any(one.known(credentials) is not None for one in local) or cached.remembers(credentials)

    last = [AnonymousAuthenticator()] if anonymous else []
    return Authenticators(_first_of([*local, tokens, *last]), _first_of([*local, cached, *last]), remembers, headers)


async def _issued(issuers: tuple[Issuer, ...], otherwise: Authenticator, stack: AsyncExitStack) -> Authenticator:
    from bastion.authn.oidc import OidcAuthenticator, Provider  # only here: nobody else needs its libraries

    providers = []
    for issuer in issuers:
        try:
            provider = Provider(issuer, time.monotonic)
        except (OSError, ValueError) as error:
            raise StartError(f"cannot use the authority for {issuer.url}: not a PEM certificate") from error
        providers.append(await stack.enter_async_context(provider))
    return OidcAuthenticator(providers, otherwise, time.time)


def _trust(path: Path) -> Followed[Trust]:
    try:
        return Followed(f"the authority {path}", (path,), lambda: Trust(path.read_bytes()))
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise StartError(f"cannot use the authority {path}: {cause}") from error


def _refuse_shared(settings: Authentication, trusts: dict[Path, Followed[Trust]]) -> None:
    """With one authority for both, everybody who has a certificate would be a front proxy, and so whoever he likes."""
    front_proxy, client = settings.front_proxy, settings.client_authority
    if front_proxy is None or client is None or front_proxy.allowed_names:
        return
    if trusts[front_proxy.authority]().shares(trusts[client]()):
        raise StartError(
            "--client-ca-file and --requestheader-client-ca-file have an authority in common: "
            "--requestheader-allowed-names must say which certificates are a front proxy's"
        )


def _headers(front_proxy: FrontProxy) -> FrontProxyHeaders:
    kinds = (front_proxy.usernames, front_proxy.groups, front_proxy.uids, front_proxy.extra_prefixes)
    return FrontProxyHeaders(*(tuple(name.lower().encode() for name in names) for names in kinds))


def _first_of(authenticators: list[Authenticator]) -> Authenticator:
    return authenticators[0] if len(authenticators) == 1 else FirstOf(authenticators)
