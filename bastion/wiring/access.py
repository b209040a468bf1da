"""Who a request comes from, and what its user may do."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bastion.authn.authenticators import Authenticators, open_authenticators
from bastion.authn.session import SessionAuthenticator
from bastion.authz.cached import CachedAuthorizer
from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.authz.sar import AccessReviewAuthorizer
from bastion.cluster.reviews import Reviews
from bastion.proxy.guard import Guard
from bastion.proxy.origin import Origins
from bastion.proxy.standing import Standings
from bastion.runtime.validity import Generation
from bastion.settings.config import Config


@dataclass(frozen=True, slots=True)
class Access:
    """`authorizer` answers from its cache, `fresh_authorizer` always asks the API server."""

    authenticators: Authenticators
    authorizer: CachedAuthorizer
    fresh_authorizer: AccessReviewAuthorizer
    impersonator: ImpersonationAuthorizer
    guard: Guard


async def open_access(
    config: Config,
    reviews: Reviews,
    origins: Origins,
    stack: AsyncExitStack,
    generation: Generation,
    standings: Standings,
) -> Access:
    """Raises StartError, or OSError where a file cannot be read."""
    authenticators = await open_authenticators(
        config.authentication,
        # with manifests the token file is the embedded API's own
        None if config.source.manifests else config.source.token_file,
        reviews,
        stack,
        anonymous=config.authentication.anonymous,
        ttl=config.cache.authentication_ttl,
        generation=generation,
        sessions=SessionAuthenticator(standings.of, time.time) if config.sign_in else None,
    )
    fresh = AccessReviewAuthorizer(reviews)
    authorizer = CachedAuthorizer(fresh, config.cache)
    return Access(
        authenticators,
        authorizer,
        fresh,
        ImpersonationAuthorizer(authorizer),
        Guard(
            authenticators.remembering,
            authenticators.remembers,
            config.limits,
            origins.foreign,
            authenticators.rejections.of,
        ),
    )
