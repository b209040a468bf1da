"""Certificates of every kind, also those that no authority should have issued."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bastion.authn.x509 import UID

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = 1_800_000_000.0  # what the clock of these tests shows
DAY = 86400.0

CLIENT, SERVER, ANY = (
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
)
CN, O = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME  # noqa: E741
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def issue(
    by: Issued | None,
    common_name: str | None = None,
    *organizations: str,
    uids: Iterable[str] = (),
    usage: Iterable[x509.ObjectIdentifier] | None = (CLIENT,),
    authority: bool = False,
    begins: float = -DAY,
    ends: float = DAY,
    key: Key | None = None,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    now: float = NOW,
) -> Issued:
    """`by` None: signed by itself.  `begins` and `ends` in seconds from `now`."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(CN, common_name)] if common_name is not None else []
    names += [x509.NameAttribute(O, organization) for organization in organizations]
    names += [x509.NameAttribute(UID, uid, _validate=False) for uid in uids]
    subject = x509.Name(names)
    signer = by.key if by is not None else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now + begins))
        .not_valid_after(_moment(now + ends))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(usage)), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return Issued(
        builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()), key
    )


def authority(name: str = "CA", by: Issued | None = None, **more: object) -> Issued:
    return issue(by, name, authority=True, **({"usage": None} | more))  # type: ignore[arg-type]


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
