"""How people sign in with a browser."""

from __future__ import annotations

import logging
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bastion.http.ownpaths import LOGIN, PREFIX
from bastion.kube.hostname import HostNames
from bastion.proxy.origin import Origins
from bastion.proxy.signin import NoSignIn, SignIn
from bastion.proxy.standing import Standings
from bastion.runtime.errors import StartError
from bastion.settings.browsers import Browsers
from bastion.settings.config import Config
from bastion.signin.handoff import Handoff, UsedIds
from bastion.signin.newest import NewestSessions
from bastion.signin.notes import FolderNotes, NoNotes
from bastion.signin.once import FolderUsedIds, ProcessUsedIds
from bastion.signin.pending import SignInsUnderWay
from bastion.signin.revoked import Revocations
from bastion.signin.sealed import KEY_BYTES, Sealer, key_of
from bastion.signin.session import Sessions
from bastion.signin.shared import SecretApi, SharedRevocations
from bastion.web.visit import Desk, Issuers
from bastion.wiring.access import Access
from bastion.wiring.background import in_background

if TYPE_CHECKING:
    from bastion.proxy.renewal import Renewals

_log = logging.getLogger("bastion.start")


@dataclass(frozen=True, slots=True)
class SigningIn:
    """`sign_in` is for proxied requests, `desk` for the pages; None where people cannot sign in; `renewals`
    of sessions that began at an issuer, None where none do.
    """

    hosts: HostNames | None
    sign_in: NoSignIn
    desk: Desk | None
    renewals: Renewals | None = None


def standings_of(config: Config) -> Standings:
    names = [one.name for one in config.sign_in]
    return Standings(names, NewestSessions(), Revocations(config.browsers.ended, time.time))


def share_revocations(config: Config, api: SecretApi, standings: Standings, stack: AsyncExitStack) -> None:
    """With all replicas, where there is a Secret for it."""
    if not config.sign_in:
        return
    if not config.browsers.revocations:
        _log.info("a sign-out ends a session in this replica alone (--sign-in-revocations)")
        return
    namespace, _, name = config.browsers.revocations.partition("/")
    shared = SharedRevocations(api, namespace, name, standings.revocations, time.time)
    standings.revocations.told = shared.tell
    in_background(stack, shared.run(), "sessions that were ended")


def signing_in(
    config: Config, access: Access, standings: Standings, origins: Origins, *, strict_transport: bool
) -> SigningIn:
    """Raises StartError, or OSError where the key file cannot be read."""
    browsers = config.browsers
    hosts = HostNames(browsers.host_suffix) if browsers.host_suffix else None
    if not browsers.sign_in:
        return SigningIn(hosts, NoSignIn(), None)
    sealer = Sealer(session_key(browsers), os.urandom)
    sessions = Sessions(sealer)
    used: UsedIds = ProcessUsedIds() if browsers.used is None else FolderUsedIds(browsers.used)
    handoff = Handoff(sealer, used)
    issuers, renewals = _issuers(config, access, standings, sealer, used)
    short_paths = not config.pass_through.enabled
    desk = Desk(
        sessions=sessions,
        handoff=handoff,
        identify=access.guard.identify,
        client=origins.client,
        seen=origins.seen,
        now=time.time,
        public_url=browsers.public_url,
        hosts=hosts,
        strict_transport=strict_transport,
        token_form=browsers.sign_in_token,
        issuers=issuers,
        root="" if short_paths else PREFIX.decode(),
    )
    sign_in = SignIn(sessions, handoff, hosts, browsers.public_url, time.time, short_paths=short_paths)
    return SigningIn(hosts, sign_in, desk, renewals)


def redirect_uri(config: Config, name: str) -> str:
    """Where the issuer of this name sends browsers back to."""
    login = PREFIX + LOGIN if config.pass_through.enabled else LOGIN
    return f"{config.browsers.public_url}{login.decode()}/{name}/callback"


def _issuers(
    config: Config, access: Access, standings: Standings, sealer: Sealer, used: UsedIds
) -> tuple[Issuers | None, Renewals | None]:
    if not config.sign_in:
        return None, None
    # only here: nothing else needs the libraries of issuers
    from bastion.proxy.identityprovider import IdentityProvider
    from bastion.proxy.renewal import Renewals

    skew = config.authentication.clock_skew
    providers = {}
    for one in config.sign_in:
        uri = redirect_uri(config, one.name)
        _log.info("people sign in at %s; its redirect URI to register is %s", one.issuer, uri)
        known = access.authenticators.providers
        providers[one.name] = IdentityProvider(one, uri, known, os.urandom, time.time, skew)
    issuers = Issuers(providers, SignInsUnderWay(sealer), used, standings, skew)
    folder = config.browsers.used
    notes = NoNotes() if folder is None else FolderNotes(folder)
    return issuers, Renewals(providers, Sessions(sealer), standings, used, notes, time.time)


def session_key(browsers: Browsers) -> bytes:
    """Raises StartError, OSError."""
    if browsers.key or browsers.key_file is None:
        return browsers.key or os.urandom(KEY_BYTES)
    try:
        return key_of(browsers.key_file.read_bytes())
    except ValueError as error:
        raise StartError(f"--session-key-file: {browsers.key_file} {error}") from error
