"""Which options count anew while the program runs?  Those that the table calls reloadable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bastion.authn.cached import CachedAuthenticator
from bastion.authz.cached import CachedAuthorizer
from bastion.network.dial import Dialer
from bastion.network.transport import Transport
from bastion.observe import logs
from bastion.proxy.drain import Drains
from bastion.proxy.forward import Forwarder
from bastion.proxy.guard import Guard
from bastion.runtime.limits import Rate, Shares
from bastion.server.door import Door
from bastion.server.state import ServerState
from bastion.settings.config import Config


def nothing(config: Config) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Adjustable:
    """What holds reloadable options, and reads them each time; `passed_on`: what passes calls on."""

    guard: Guard
    door: Door
    waiting: Shares
    forwarder: Forwarder
    drains: Drains
    lookups: Rate
    authenticator: CachedAuthenticator
    authorizer: CachedAuthorizer
    dialer: Dialer
    transport: Transport
    server: ServerState
    passed_on: Callable[[Config], None] = nothing
    set_verbosity: Callable[[int], None] = logs.set_verbosity

    def __call__(self, config: Config) -> None:
        self.guard.limit(config.limits)
        self.door.limit(config.limits.connections_per_address)
        self.waiting.most = config.limits.waiting_per_target
        self.forwarder.max_body = config.limits.body_size
        self.drains.timeout = config.streams.endpoint_drain
        self.lookups.per_second = self.lookups.burst = config.limits.lookup_qps
        self.authenticator.ttl = config.cache.authentication_ttl
        self.authorizer.lifetimes = config.cache
        self.dialer.connect_timeout = config.timeouts.connect
        self.transport.timeouts = self.server.timeouts = config.timeouts
        self.passed_on(config)
        self.set_verbosity(config.observing.verbosity)
