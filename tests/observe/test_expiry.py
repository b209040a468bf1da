"""Is it said in time that a certificate ends, and not every minute?"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bastion.observe.expiry import SAY_EVERY, Expiry, certificates_of, end_of
from bastion.runtime.certificates import Certificate
from bastion.settings.authentication import Authentication
from bastion.settings.passthrough import PassThrough
from bastion.settings.sections import Serving
from bastion.settings.targets import Kubelet

NOW = 1_800_000_000.0
DAY = 86400.0


def certificate(name: Any, end: Any) -> Any:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    after = datetime.datetime.fromtimestamp(end, datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
    )
    builder = builder.not_valid_before(after - datetime.timedelta(days=400)).not_valid_after(after)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


ENDS = [
    pytest.param(NOW - DAY, "expired at 2027-01-14T08:00:00Z", id="yesterday"),
    pytest.param(NOW + 29.5 * DAY, "expires in 30 days, at 2027-02-13T20:00:00Z", id="this-month"),
    pytest.param(NOW + 31 * DAY, None, id="later"),
]


@pytest.mark.parametrize(("end", "said"), ENDS)
def test_a_certificate_that_ends_within_a_month_is_a_warning(
    caplog: pytest.LogCaptureFixture, end: Any, said: Any
) -> None:
    expiry = Expiry(lambda: [Certificate("serving", "tls.crt", certificate("web", end))], lambda: NOW)
    warnings = expiry.look()
    assert expiry.ends["serving"].at == end
    assert caplog.messages == warnings
    assert len(warnings) == (said is not None)
    if said:
        assert warnings[0].startswith(f"the serving certificate tls.crt (CN=web) {said}")


def test_every_file_with_a_certificate_is_looked_at(tmp_path: Path) -> None:
    """By what it is for, and one that cannot be read keeps none of the others from it."""
    files = {name: tmp_path / name for name in ("serving", "kubelet-client", "front-proxy-client")}
    for number, file in enumerate(files.values()):
        file.write_bytes(certificate(file.name, NOW + number * DAY))
    expiry = Expiry(
        certificates_of(
            Serving(tls_cert_file=files["serving"]),
            Authentication(),
            Kubelet(certificate_authority=tmp_path / "absent", client_certificate=files["kubelet-client"]),
            PassThrough(client_certificate=files["front-proxy-client"]),
            list,
        ),
        lambda: NOW,
    )
    expiry.look()
    assert {name: end.at for name, end in expiry.ends.items()} == {
        name: NOW + number * DAY for number, name in enumerate(files)
    }


def test_of_several_the_first_to_end_counts() -> None:
    assert end_of(certificate("later", NOW + DAY) + certificate("sooner", NOW)).subject == "CN=sooner"


def test_it_is_said_once_a_day_and_at_once_where_something_changes(caplog: pytest.LogCaptureFixture) -> None:
    now, pem = NOW, certificate("a", NOW + 10 * DAY)
    expiry = Expiry(lambda: [Certificate("serving", "tls.crt", pem)], lambda: now)
    for passed, lines in ((0, 1), (60, 1), (SAY_EVERY, 2)):
        now = NOW + passed
        expiry.look()
        assert len(caplog.messages) == lines
    pem = certificate("a", NOW + 400 * DAY)
    assert expiry.look() == []
    pem = b"none"
    assert expiry.look() == []
    assert expiry.ends == {}
