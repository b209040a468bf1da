"""Which authenticators are there, and in which order are they tried?

kube-apiserver's order (`pkg/kubeapiserver/authenticator/config.go`): front proxy, client certificate, bearer
token (file, issuers, TokenReview), anonymous.  The first one that knows the credentials decides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bastion.authn.anonymous import AnonymousAuthenticator
from bastion.authn.authenticator import (
    Authenticator,
    Credentials,
    FirstOf,
    LocalAuthenticator,
    RememberingAuthenticator,
    first_known,
)
from bastion.authn.cached import CachedAuthenticator
from bastion.authn.rejection import Issuers, Rejections
from bastion.authn.requestheader import FrontProxyAuthenticator, FrontProxyHeaders
from bastion.authn.tokenfile import TokenFileAuthenticator, TokenTable, read_token_file
from bastion.authn.tokenreview import TokenReviewAuthenticator
from bastion.authn.x509 import CertificateAuthenticator, CertificateVerifier, TrustAnchors
from bastion.cluster.reviews import ReviewClient
from bastion.kube.status import quoted
from bastion.kube.user import ANONYMOUS, User
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Followed, follow
from bastion.runtime.validity import CachedResult, Generation
from bastion.settings.authentication import Authentication, FrontProxy

if TYPE_CHECKING:
    from bastion.authn.provider import Provider


@dataclass(frozen=True, slots=True)
class Authenticators:
    """`remembering` is for requests; `fresh`, without a cache, for streams, which ask rarely.

    `connections` knows users by certificates alone, `tokens` by those tokens that no API server is asked
    about; None where no users are known so.

    `known`: what `remembering` returns without asking a server, and until when.  `headers`: those of a front
    proxy, None where there is none.  `followed`: the files they were made from.  `cache`: the users of tokens
    in `remembering`.  `rejections`: what those are told whom none of them knows.  `providers`: the issuers,
    by their URLs; `sessions`: of people who signed in there, None where nobody does.
    """

    fresh: Authenticator
    remembering: Authenticator
    connections: Authenticator | None
    tokens: Authenticator | None
    known: Callable[[Credentials], CachedResult[User | None] | None]
    headers: FrontProxyHeaders | None
    followed: tuple[Followed[Any], ...]
    cache: CachedAuthenticator
    rejections: Rejections
    providers: Callable[[], Mapping[str, Provider]]
    sessions: RememberingAuthenticator | None

    def remembers(self, credentials: Credentials) -> bool:
        """Whether these are known to be those of a user who is not anonymous."""
        known = self.known(credentials)
        return known is not None and known.value is not None and known.value.name != ANONYMOUS


async def open_authenticators(
    settings: Authentication,
    token_file: Path | None,
    reviews: ReviewClient,
    stack: AsyncExitStack,
    *,
    anonymous: bool,
    ttl: float,
    generation: Generation | None = None,
    sessions: RememberingAuthenticator | None = None,
) -> Authenticators:
    """`ttl`: seconds for which the user of a token is cached.  `generation` counts the changes of files.
    `sessions` knows the users of those that began at an issuer.

    Raises StartError, or OSError where a file cannot be read.
    """
    certificates, files, headers, followed = _local(settings, token_file, generation)
    local: list[RememberingAuthenticator] = [*certificates, *files]
    local += [sessions] if sessions is not None else []
    answered: list[Authenticator] = [*files]
    tokens: Authenticator = TokenReviewAuthenticator(reviews, settings.audiences)
    issuers: Issuers = dict
    known_providers: Callable[[], Mapping[str, Provider]] = dict
    if settings.issuers:
        from bastion.authn.oidc import OidcAuthenticator  # only here: nothing else needs its libraries

        known_providers = providers = _providers(settings, stack, generation)
        followed.append(providers)
        issuers = partial(_audiences, providers)
        tokens = OidcAuthenticator(providers, tokens, time.time, settings.clock_skew)
        answered.append(OidcAuthenticator(providers, FirstOf(()), time.time, settings.clock_skew))
    rejections = Rejections(settings.audiences, issuers, time.time)
    cached = CachedAuthenticator(tokens, ttl, accepted=rejections.accepted)
    task = asyncio.create_task(follow(followed), name="authentication files")
    stack.callback(task.cancel)

    last = [AnonymousAuthenticator()] if anonymous else []
    fresh, remembering = _first_of([*local, tokens, *last]), _first_of([*local, cached, *last])
    at_once = partial(first_known, (*local, cached, *last))
    return Authenticators(
        fresh=fresh,
        remembering=remembering,
        connections=_first_of([*certificates]) if certificates else None,
        tokens=_first_of(answered) if answered else None,
        known=at_once,
        headers=headers,
        followed=tuple(followed),
        cache=cached,
        rejections=rejections,
        providers=known_providers,
        sessions=sessions,
    )


def _local(
    settings: Authentication, token_file: Path | None, generation: Generation | None
) -> tuple[list[LocalAuthenticator], list[LocalAuthenticator], FrontProxyHeaders | None, list[Followed[Any]]]:
    """The authenticators by certificates and by tokens that ask no server, the headers of a front proxy, and
    the files of all.
    """
    local: list[LocalAuthenticator] = []
    tokens: list[LocalAuthenticator] = []
    followed: list[Followed[Any]] = []
    headers = None
    if settings.authorities:
        trusts = Followed(
            _authorities(settings), settings.authorities, lambda: trusts_of(settings), generation
        )
        followed.append(trusts)
        if settings.front_proxy is not None:
            headers = _headers(settings.front_proxy)
            local.append(
                FrontProxyAuthenticator(
                    _verifier(trusts, settings.front_proxy.authority), settings.front_proxy.allowed_names
                )
            )
        if settings.client_authority is not None:
            local.append(CertificateAuthenticator(_verifier(trusts, settings.client_authority)))
    if token_file is not None:
        known = Followed(
            f"the token file {token_file}",
            (token_file,),
            lambda: TokenTable(read_token_file(token_file)),
            generation,
        )
        followed.append(known)
        tokens.append(TokenFileAuthenticator(known))
    return local, tokens, headers, followed


def _providers(
    settings: Authentication, stack: AsyncExitStack, generation: Generation | None
) -> Followed[Mapping[str, Provider]]:
    from bastion.authn.provider import Providers
    from bastion.settings.authentication import issuers_of

    providers = Providers(lambda: issuers_of(settings), time.monotonic)
    stack.callback(providers.close)
    file = settings.issuers_file or settings.issuer_authority
    try:
        return Followed(f"the issuers' settings ({file})", (file,), providers.read, generation)
    except ValueError as error:
        raise StartError(f"cannot use the issuers' settings: {error}") from error


def _audiences(providers: Followed[Mapping[str, Provider]]) -> dict[str, Sequence[str]]:
    """By the issuer's URL."""
    return {url: provider.issuer.audiences for url, provider in providers().items()}


def _verifier(trusts: Followed[dict[Path, TrustAnchors]], authority: Path) -> CertificateVerifier:
    return CertificateVerifier(lambda: trusts()[authority], time.time)


def _authorities(settings: Authentication) -> str:
    return "the authority " + " or ".join(map(str, settings.authorities))


def trusts_of(settings: Authentication) -> dict[Path, TrustAnchors]:
    """Raises StartError, also where the two authorities overlap; then a new file changes nothing."""
    front_proxy, client = settings.front_proxy, settings.client_authority
    trusts = {client: _trust(client)} if client is not None else {}
    if front_proxy is not None and front_proxy.authority not in trusts:
        # Also with allowed names: a certificate of the clients' authority is a user's, whatever its name.
        trusts[front_proxy.authority] = _trust(
            front_proxy.authority, trusts[client] if client is not None else None
        )
    if front_proxy is not None and client is not None and not front_proxy.allowed_names:
        _refuse_covered(trusts[front_proxy.authority].covers(trusts[client]))
    return trusts


def _trust(path: Path, apart_from: TrustAnchors | None = None) -> TrustAnchors:
    try:
        return TrustAnchors(path.read_bytes(), apart_from)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise StartError(f"cannot use the authority {path}: {cause}") from error


def _refuse_covered(authority: str) -> None:
    """Else every user with a certificate would be a front proxy, and could name any other user."""
    if authority:
        raise StartError(
            f"the authority {quoted(authority)} of --client-ca-file shares a key with"
            " --requestheader-client-ca-file, or is issued by it: use separate authorities, or"
            " --requestheader-allowed-names must say which certificates are a front proxy's"
        )


def _headers(front_proxy: FrontProxy) -> FrontProxyHeaders:
    kinds = (front_proxy.usernames, front_proxy.groups, front_proxy.uids, front_proxy.extra_prefixes)
    return FrontProxyHeaders(*(tuple(name.lower().encode() for name in names) for names in kinds))


def _first_of(authenticators: list[Authenticator]) -> Authenticator:
    return authenticators[0] if len(authenticators) == 1 else FirstOf(authenticators)
