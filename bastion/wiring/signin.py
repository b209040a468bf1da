"""How people sign in with a browser."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from bastion.kube.hostname import HostNames
from bastion.proxy.guard import Guard
from bastion.proxy.origin import Origins
from bastion.proxy.signin import NoSignIn, SignIn
from bastion.runtime.errors import StartError
from bastion.settings.browsers import Browsers
from bastion.signin.handoff import Handoff
from bastion.signin.once import FolderUsedIds, ProcessUsedIds
from bastion.signin.sealed import KEY_BYTES, Sealer, key_of
from bastion.signin.session import Sessions
from bastion.web.visit import Desk


@dataclass(frozen=True, slots=True)
class SigningIn:
    """`sign_in` is for proxied requests, `desk` for the pages; None where people cannot sign in."""

    hosts: HostNames | None
    sign_in: NoSignIn
    desk: Desk | None


def signing_in(
    browsers: Browsers, guard: Guard, origins: Origins, *, strict_transport: bool, short_paths: bool
) -> SigningIn:
    """Raises StartError, or OSError where the key file cannot be read."""
    hosts = HostNames(browsers.host_suffix) if browsers.host_suffix else None
    if not browsers.sign_in:
        return SigningIn(hosts, NoSignIn(), None)
    sealer = Sealer(session_key(browsers), os.urandom)
    sessions = Sessions(sealer)
    handoff = Handoff(sealer, ProcessUsedIds() if browsers.used is None else FolderUsedIds(browsers.used))
    desk = Desk(
        sessions=sessions,
        handoff=handoff,
        identify=guard.identify,
        client=origins.client,
        seen=origins.seen,
        now=time.time,
        public_url=browsers.public_url,
        hosts=hosts,
        strict_transport=strict_transport,
    )
    sign_in = SignIn(sessions, handoff, hosts, browsers.public_url, time.time, short_paths=short_paths)
    return SigningIn(hosts, sign_in, desk)


def session_key(browsers: Browsers) -> bytes:
    """Raises StartError, OSError."""
    if browsers.key or browsers.key_file is None:
        return browsers.key or os.urandom(KEY_BYTES)
    try:
        return key_of(browsers.key_file.read_bytes())
    except ValueError as error:
        raise StartError(f"--session-key-file: {browsers.key_file} {error}") from error
