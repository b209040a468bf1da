"""· Which user does a client certificate name?  (--client-ca-file; the clock is an argument.)

Mapped as by kube-apiserver (`authentication/request/x509`): the common name is the user, the organizations
are the groups.  The TLS handshake accepts the authorities of users and of front proxies; here a chain is
verified against one of them alone.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from bastion.authn.authenticator import NOBODY, Chain, Credentials
from bastion.kube.user import User, authenticated
from bastion.runtime.turns import Asker
from bastion.runtime.validity import CachedResult, Validity

UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")  # kubernetes.io's own attribute
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
REMEMBERED = 1024  # chains
REFUSED_SECONDS = 10.0  # for which a chain that did not verify is not verified again

_CLIENT = frozenset((ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE))


class VerifiedCertificate(msgspec.Struct, frozen=True):
    """A certificate that is good until `until` (seconds since the epoch).

    `user` is None where it names no user.
    """

    common_name: str
    user: User | None
    until: float


class TrustAnchors:
    """The certificates of one authority file."""

    def __init__(self, pem: bytes, apart_from: TrustAnchors | None = None) -> None:
        """A chain that leads to an authority of `apart_from` alone is not valid.

        Raises ValueError where they cannot be used.
        """
        self._anchors = x509.load_pem_x509_certificates(pem)
        for anchor in self._anchors:
            if not _is_supported(anchor):
                raise ValueError("an authority whose key is neither RSA nor on a NIST curve")
        self._store = Store(self._anchors)
        self._keys = frozenset(map(_key, self._anchors))
        self._foreign = apart_from._keys - self._keys if apart_from is not None else frozenset()

    def covers(self, other: TrustAnchors) -> str:
        """One of the other's authorities that is trusted here as well, by its subject; empty where there is
        none.

        By its key, whichever certificate has it, or because one trusted here issued a certificate of that
        key, directly or through others of both files.  What stands in neither file the chain itself shows,
        when it is verified.
        """
        trusted, rest = list(self._anchors), list(other._anchors)
        for authority in trusted:  # grows as it is walked
            below = [certificate for certificate in rest if _issued(certificate, authority)]
            trusted += below
            rest = [certificate for certificate in rest if certificate not in below]
        keys = frozenset(map(_key, trusted))
        return next(
            (anchor.subject.rfc4514_string() for anchor in other._anchors if _key(anchor) in keys), ""
        )

    def verify(self, chain: Chain, now: float) -> VerifiedCertificate | None:
        """None where the chain is not valid for clients at this time."""
        at = datetime.datetime.fromtimestamp(now, datetime.UTC)
        policy = (
            PolicyBuilder()
            .store(self._store)
            .time(at)
            .extension_policies(ca_policy=_AUTHORITY, ee_policy=_LEAF)
        )
        try:
            leaf, *intermediates = map(x509.load_der_x509_certificate, chain)
            verified = policy.build_client_verifier().verify(leaf, intermediates).chain
            if not self._foreign.isdisjoint(map(_key, verified)):
                return None
            until = min(certificate.not_valid_after_utc.timestamp() for certificate in verified)
            return VerifiedCertificate(_common_name(leaf.subject), _named(leaf), until)
        except (VerificationError, UnsupportedAlgorithm, ValueError, TypeError):
            return None


class CertificateVerifier:
    """Verifies each chain once and not for every request; `clock` is seconds since the epoch.

    `trust` is called each time, so that a renewed authority file counts at once.
    """

    def __init__(self, trust: Callable[[], TrustAnchors], clock: Callable[[], float]) -> None:
        self._trust = trust
        self._clock = clock
        self._against: TrustAnchors | None = None
        self._known: dict[Chain, CachedResult[VerifiedCertificate | None]] = {}

    def verify(self, chain: Chain) -> CachedResult[VerifiedCertificate | None]:
        trust, now = self._trust(), self._clock()
        if trust is not self._against:
            self._against, self._known = trust, {}
        known = self._known.get(chain)
        if known is not None and now < known.validity.expires:
            return known
        verified = trust.verify(chain, now)
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]  # the oldest insertion
        expires = verified.until if verified is not None else now + REFUSED_SECONDS
        self._known[chain] = known = CachedResult(verified, Validity(expires=expires))
        return known


class CertificateAuthenticator:
    def __init__(self, verifier: CertificateVerifier) -> None:
        self._verifier = verifier

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        return self.known(credentials).value

    def known(self, credentials: Credentials) -> CachedResult[User | None]:
        """The user, valid until a certificate of the chain expires."""
        if not credentials.certificate:
            return NOBODY
        verified = self._verifier.verify(credentials.certificate)
        found = verified.value
        return CachedResult(found.user if found is not None else None, verified.validity)


def user_of(certificate: x509.Certificate) -> User:
    """Raises ValueError where it names no user or is ambiguous, TypeError where a name is not text."""
    subject = certificate.subject
    name = _common_name(subject)
    if not name:
        raise ValueError("no common name")
    groups = tuple(
        _text(attribute) for attribute in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    )
    uids = [_text(attribute) for attribute in subject.get_attributes_for_oid(UID)]
    if len(uids) > 1:
        raise ValueError("expected 1 UID, but found multiple")
    if uids == [""]:
        raise ValueError("UID cannot be an empty string")
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    return User(name, "".join(uids), groups, ((CREDENTIAL_ID, (f"X509SHA256={fingerprint}",)),))


def _named(certificate: x509.Certificate) -> User | None:
    try:
        return authenticated(user_of(certificate))
    except (ValueError, TypeError):
        return None


def _common_name(subject: x509.Name) -> str:
    """The last one, as Go reads it; empty where there is none."""
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _text(names[-1]) if names else ""


def _text(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    if not isinstance(value, str):
        raise ValueError("unable to parse a name's attribute into a string")
    # CVE-2025-66220: readers disagree about what follows a NUL.
    if value and not value.isprintable():
        raise ValueError("a control character in a name")
    return value


# --- what the certificates of a chain must contain


def _key(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _is_supported(anchor: x509.Certificate) -> bool:
    return isinstance(anchor.public_key(), (RSAPublicKey, EllipticCurvePublicKey))


def _for_clients(policy: Policy, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    if usage is not None and _CLIENT.isdisjoint(usage):
        raise ValueError("not for clients")


def _may_sign(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("may not sign certificates")


# The library's defaults are for web servers and require a DNS name, which users do not have.
_LEAF = ExtensionPolicy.permit_all().may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_clients)
_AUTHORITY = (
    ExtensionPolicy.permit_all()
    # the CA flag is verified in any case
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_clients)
)
