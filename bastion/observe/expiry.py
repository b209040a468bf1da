"""When do the certificates end that the bastion shows or trusts?  A warning in time, and a gauge to alert on.

Of a file with several (a chain, a bundle of authorities) the one that ends first counts: whatever stands on it fails then.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography import x509

from bastion.config import Config

EARLY = 30 * 86400.0  # seconds
LOOK_EVERY = 60.0  # seconds; files are renewed while the program runs
SAY_EVERY = 86400.0  # seconds

_log = logging.getLogger("bastion.start")


@dataclass(frozen=True, slots=True)
class End:
    """`at` in seconds of the epoch; `subject` of the certificate that ends then."""

    at: float
    subject: str


def end_of(pem: bytes) -> End:
    """Raises ValueError where there is no certificate."""
    certificates = x509.load_pem_x509_certificates(pem)
    first = min(certificates, key=lambda certificate: certificate.not_valid_after_utc)
    return End(first.not_valid_after_utc.timestamp(), first.subject.rfc4514_string())


def warning(what: str, file: Path, end: End, now: float) -> str | None:
    """What is to be said of it today, None where there is time."""
    if end.at - now > EARLY:
        return None
    date = datetime.datetime.fromtimestamp(end.at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    when = f"expires in {(end.at - now) / 86400:.0f} days, at {date}" if end.at > now else f"expired at {date}"
    return f"the {what} certificate {file} ({end.subject}) {when}: renew the file, it is read again by itself"


def files_of(config: Config, kubeconfig_client: Callable[[], Path | None]) -> dict[str, Callable[[], Path | None]]:
    """What each is for, and where it is."""
    proofs = config.authentication
    files = {
        "serving": config.serving.certificate,
        "client-ca": proofs.client_authority,
        "requestheader-client-ca": proofs.front_proxy.authority if proofs.front_proxy is not None else None,
        "kubelet-client": config.kubelet.client_certificate,
    }
    return {**{what: partial(_same, file) for what, file in files.items()}, "kubeconfig-client": kubeconfig_client}


def _same(file: Path | None) -> Path | None:
    return file


class Expiry:
    """`files`: what each certificate is for, and where it is at the moment (None: there is none).  `clock`: seconds of the epoch."""

    def __init__(self, files: Mapping[str, Callable[[], Path | None]], clock: Callable[[], float] = time.time) -> None:
        self._files = files
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
        for what, where in self._files.items():
            file = where()
            if file is None:
                continue
            try:
                ends[what] = end = end_of(file.read_bytes())
            except (OSError, ValueError):
                continue  # whoever uses the file tells of that
            text = warning(what, file, end, now)
            if text is not None:
                warnings.append(text)
                self._say((what, end, end.at <= now), text, now)
        self.ends = ends
        return warnings

    def _say(self, key: tuple[str, End, bool], text: str, now: float) -> None:
        if now - self._said.get(key, 0.0) >= SAY_EVERY:
            self._said[key] = now
            _log.warning("%s", text)
