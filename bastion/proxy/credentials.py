"""Which credentials of a request count?

What its header fields and its connection show, or one of the bastion's own cookies; never what another site's
page made the browser send.
"""

from __future__ import annotations

from collections.abc import Callable

from bastion.authn.authenticator import Credentials
from bastion.authn.requestheader import FrontProxyHeaders
from bastion.authn.subprotocol import request_credentials
from bastion.http.fields import values
from bastion.kube.hostname import Application, host_name
from bastion.message.cookies import APPLICATION, SESSION, own_pieces
from bastion.message.ownorigin import RULES, CredentialKind, CrossSite
from bastion.message.upgrade import UpgradeRequest
from bastion.proxy.exchange import Request
from bastion.proxy.origin import Origins
from bastion.signin.crosssite import credential_counts, provenance
from bastion.signin.session import Session, Sessions

_NONE = Credentials(note="credentials that another site's page made the browser send")


class CredentialReader:
    """`front_proxy`: the headers in which a front proxy names a user, None where there is none; `sessions`:
    of cookies, None where nobody signs in; `now` in seconds since the epoch.
    """

    def __init__(
        self,
        origins: Origins,
        front_proxy: FrontProxyHeaders | None,
        sessions: Sessions | None,
        now: Callable[[], float],
    ) -> None:
        self._origins = origins
        self._front_proxy = front_proxy
        self._sessions = sessions
        self._now = now

    def read(
        self, request: Request, upgrade: UpgradeRequest | None, application: Application | None
    ) -> Credentials:
        """Raises StatusError 400 or 401.

        What is in header fields comes before a cookie; but on an application's host Authorization may be the
        application's own, whose scripts log in, too.  No cookie counts for what is asked of a proxy.
        """
        if (
            application is not None
            and not values(request.fields, b"x-bastion-authorization")
            and (cookie := self._session(request, APPLICATION, upgrade)) is not None
        ):
            return cookie
        found = request_credentials(
            request.fields,
            websocket=upgrade is not None and upgrade.websocket,
            certificate=request.certificate,
            front_proxy=self._front_proxy,
            to_proxy=request.to_proxy,
        )
        if (
            application is None
            and not request.to_proxy
            and found.token is None
            and (cookie := self._session(request, SESSION, upgrade)) is not None
        ):
            return cookie
        rule = RULES[found.kind].cross_site
        return found if rule is CrossSite.COUNTS or self._counts(request, rule, upgrade) else _NONE

    def _session(self, request: Request, kind: bytes, upgrade: UpgradeRequest | None) -> Credentials | None:
        """None where there is no cookie of a session, or it does not count."""
        value = own_pieces(request.fields, kind) if self._sessions is not None else b""
        if self._sessions is None or not value:
            return None
        if not self._counts(request, RULES[CredentialKind.COOKIE].cross_site, upgrade):
            return None
        session = self._sessions.open(kind, host_name(request.host), value, self._now())
        if session is None:
            return None
        return session_credentials(session, explicit=kind == APPLICATION)

    def _counts(self, request: Request, rule: CrossSite, upgrade: UpgradeRequest | None) -> bool:
        seen = self._origins.seen(request.client, request.scheme, request.host, request.fields)
        return credential_counts(
            rule, provenance(request.method, request.fields, *seen, upgrade=upgrade is not None)
        )


def session_credentials(session: Session, *, explicit: bool = False) -> Credentials:
    """`explicit`: Authorization is the application's own."""
    return Credentials(session.token or None, explicit=explicit, session=True, signed_in=session.signed_in)
