"""When do the certificates expire that the bastion shows or trusts?  A warning in time, and a gauge.

In a file with several (a chain, a bundle of authorities) the first to expire counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cryptography import x509

from bastion.runtime.certificates import Certificate
from bastion.settings.authentication import Authentication
from bastion.settings.passthrough import PassThrough
from bastion.settings.sections import Serving
from bastion.settings.targets import Kubelet

EARLY = 30 * 86400.0  # seconds
LOOK_EVERY = 60.0  # seconds; files are renewed while the program runs
SAY_EVERY = 86400.0  # seconds

_log = logging.getLogger("bastion.start")


@dataclass(frozen=True, slots=True)
class End:
    """`at` in seconds of the epoch; `subject` of the certificate that expires then."""

    at: float
    subject: str


def end_of(pem: bytes) -> End:
    """Raises ValueError where there is no certificate."""
    certificates = x509.load_pem_x509_certificates(pem)
    first = min(certificates, key=lambda certificate: certificate.not_valid_after_utc)
    return End(first.not_valid_after_utc.timestamp(), first.subject.rfc4514_string())


def warning(what: str, where: str, end: End, now: float) -> str | None:
    """The warning of today, None where there is time."""
    if end.at - now > EARLY:
        return None
    date = datetime.datetime.fromtimestamp(end.at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    when = (
        f"expires in {(end.at - now) / 86400:.0f} days, at {date}" if end.at > now else f"expired at {date}"
    )
    return (
        f"the {what} certificate {where} ({end.subject}) {when}: renew it, files are read again by themselves"
    )


def certificates_of(
    serving: Serving,
    authentication: Authentication,
    kubelet: Kubelet,
    pass_through: PassThrough,
    of_kubeconfig: Callable[[], Iterable[Certificate]],
) -> Callable[[], list[Certificate]]:
    """All that can be read at the moment: whoever uses the others tells of that."""
    front_proxy = authentication.front_proxy
    files = {
        "serving": serving.tls_cert_file,
        "client-ca": authentication.client_authority,
        "requestheader-client-ca": front_proxy.authority if front_proxy is not None else None,
        "kubelet-ca": kubelet.certificate_authority,
        "kubelet-client": kubelet.client_certificate,
        "front-proxy-client": pass_through.client_certificate,
    }

    def read() -> list[Certificate]:
        found = [*of_kubeconfig()]
        for purpose, file in files.items():
            with contextlib.suppress(OSError):
                found += [Certificate(purpose, str(file), file.read_bytes())] if file is not None else []
        return found

    return read


class Expiry:
    """`certificates` of the moment; `clock`: seconds of the epoch."""

    def __init__(
        self, certificates: Callable[[], Iterable[Certificate]], clock: Callable[[], float] = time.time
    ) -> None:
        self._certificates = certificates
        self._clock = clock
        self._said: dict[tuple[str, End, bool], float] = {}
        self.ends: dict[str, End] = {}

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> list[str]:
        """All warnings of the moment; those that are new, or a day old, are in the log."""
        ends, warnings, now = {}, [], self._clock()
        for one in self._certificates():
            try:
                ends[one.purpose] = end = end_of(one.pem)
            except ValueError:
                continue  # that is reported where it is used
            text = warning(one.purpose, one.where, end, now)
            if text is not None:
                warnings.append(text)
                self._say((one.purpose, end, end.at <= now), text, now)
        self.ends = ends
        return warnings

    def _say(self, key: tuple[str, End, bool], text: str, now: float) -> None:
        if now - self._said.get(key, 0.0) >= SAY_EVERY:
            self._said[key] = now
            _log.warning("%s", text)
