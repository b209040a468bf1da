"""Which credentials of a request count?

A cookie, or what headers and the connection show; never by another site's doing.
"""

from __future__ import annotations

from bastion.authn.authenticator import Credentials
from bastion.authn.requestheader import FrontProxyHeaders
from bastion.authn.subprotocol import request_credentials
from bastion.kube.hostname import Application
from bastion.message.ownorigin import RULES, CrossSite
from bastion.message.upgrade import Asked
from bastion.proxy.exchange import Exchange
from bastion.proxy.origin import Origins
from bastion.proxy.signin import NoSignIn
from bastion.signin.crosssite import credential_counts, provenance

_NONE = Credentials(note="credentials that another site's page made the browser send")


class CredentialReader:
    """`front_proxy`: the headers in which one names a user, None where there is none."""

    def __init__(self, sign_in: NoSignIn, origins: Origins, front_proxy: FrontProxyHeaders | None) -> None:
        self._sign_in = sign_in
        self._origins = origins
        self._front_proxy = front_proxy

    def read(self, exchange: Exchange, asked: Asked | None, application: Application | None) -> Credentials:
        """`asked` is the upgrade that is wanted.  Raises StatusError 400 or 401."""
        cookie = self._sign_in.credentials(exchange, asked, application)
        if cookie is not None:
            return cookie
        found = request_credentials(
            exchange.fields,
            websocket=asked is not None and asked.websocket,
            certificate=exchange.certificate,
            front_proxy=self._front_proxy,
        )
        rule = RULES[found.kind].cross_site
        if rule is CrossSite.COUNTS:
            return found
        seen = self._origins.seen(exchange.client, exchange.scheme, exchange.host, exchange.fields)
        said = provenance(exchange.method, exchange.fields, *seen, upgrade=asked is not None)
        return found if credential_counts(rule, said) else _NONE
