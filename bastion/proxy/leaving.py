"""As what does a request leave for its backend, beside its own fields?  What the bastion says of it."""

from __future__ import annotations

from collections.abc import Callable

from bastion.kube.requestinfo import Proxied
from bastion.message.identity import asserts_identity
from bastion.message.ownorigin import RULES
from bastion.observe.record import Record
from bastion.proxy.admission import Admitted
from bastion.proxy.envelope import Envelope
from bastion.proxy.exchange import Exchange
from bastion.proxy.introduction import NOTHING, Introduction, Introductions
from bastion.proxy.origin import Origins
from bastion.proxy.permit import PolicyOf, nothing_said


class Envelopes:
    """`withheld`: which headers are kept from backends.  `introductions` None: no backend is told who asks;
    `policy_of`: what a service says of that.
    """

    def __init__(
        self,
        origins: Origins,
        withheld: Callable[[bytes], bool] = asserts_identity,
        introductions: Introductions | None = None,
        policy_of: PolicyOf = nothing_said,
    ) -> None:
        self._origins = origins
        self._withheld = withheld
        self._introductions = introductions
        self._policy_of = policy_of

    def of(self, exchange: Exchange, info: Proxied, admitted: Admitted, record: Record) -> Envelope:
        """Raises StatusError: 400 where a proxy does not say clearly where it comes from, or 403."""
        return Envelope(
            self._origins.forwarded(exchange, info),
            admitted.credentials.explicit or exchange.to_proxy,
            RULES[admitted.credentials.kind].ambient,
            self._withheld,
            admitted.asker,
            introduction=self._introduction(admitted),
            trace=record.traced,
        )

    def _introduction(self, admitted: Admitted) -> Introduction:
        """By what the service says now: it is known since it was routed to.  Raises StatusError 403."""
        attributes = admitted.info.attributes
        wishes = self._policy_of(attributes).identity
        if not wishes or self._introductions is None:
            return NOTHING
        return self._introductions.of(wishes, admitted.acting_as, attributes)
