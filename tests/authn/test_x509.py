"""Whose is a certificate?  Rows C-X5-n are those of kube-apiserver's own TestX509 and TestX509Verifier."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bastion.authn.authenticator import Credentials
from bastion.authn.x509 import (
    CREDENTIAL_ID,
    REMEMBERED,
    CertificateAuthenticator,
    CertificateVerifier,
    TrustAnchors,
    VerifiedCertificate,
    user_of,
)
from bastion.kube.user import User
from tests.authn.certificates import ANY, CLIENT, NOW, SERVER, Issued, authority, issue
from tests.fakes import SOMEBODY, run

ROOT = authority("root")
OTHER = authority("root")  # the same name, another key
TRUST = TrustAnchors(ROOT.pem)
MIDDLE = authority("middle", ROOT)
STALE_MIDDLE = authority("stale", ROOT, ends=-60)
SERVERS_MIDDLE = authority("servers", ROOT, usage=[SERVER])
NO_AUTHORITY = issue(ROOT, "no authority")
KEY_USAGE = dict.fromkeys(
    [
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ],
    False,
)
MAY_NOT_SIGN = authority(
    "may not sign",
    ROOT,
    extensions=[(x509.KeyUsage(digital_signature=True, key_cert_sign=False, **KEY_USAGE), True)],
)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


def known(*chain: Issued, trust: TrustAnchors = TRUST, now: float = NOW) -> User | None:
    """Whom a chain, its own certificate first, makes its owner."""
    authenticator = CertificateAuthenticator(CertificateVerifier(lambda: trust, lambda: now))
    return run(authenticator.authenticate(Credentials(certificate=tuple(one.der for one in chain)), SOMEBODY))


def user(of: Issued, name: str, *groups: str, uid: str = "") -> User:
    return User(
        name, uid, (*groups, "system:authenticated"), ((CREDENTIAL_ID, (f"X509SHA256={of.fingerprint}",)),)
    )


MAPPED = {
    "C-X5-5 any usage": (issue(ROOT, "127.0.0.1", "My Org", usage=[ANY]), "127.0.0.1", ("My Org",), ""),
    "C-X5-6 a uid": (
        issue(ROOT, "client_cn", "My Org", uids=["client_id"]),
        "client_cn",
        ("My Org",),
        "client_id",
    ),
    "C-X5-11 three organizations": (
        issue(ROOT, "cn", "My Org", "My Org 1", "My Org 2"),
        "cn",
        ("My Org", "My Org 1", "My Org 2"),
        "",
    ),
    "C-X5-23 valid": (issue(ROOT, "joe"), "joe", (), ""),
    "no usage said": (issue(ROOT, "joe", usage=None), "joe", (), ""),
    "for servers and clients": (issue(ROOT, "joe", usage=[SERVER, CLIENT]), "joe", (), ""),
    "Kubernetes' own names": (
        issue(ROOT, "system:node:a", "system:nodes"),
        "system:node:a",
        ("system:nodes",),
        "",
    ),
    "not Latin": (issue(ROOT, "今日は", "Ελλάδα"), "今日は", ("Ελλάδα",), ""),
    "a uid like a name": (issue(ROOT, "joe", uids=["system:masters"]), "joe", (), "system:masters"),
}


@pytest.mark.parametrize(("certificate", "name", "groups", "uid"), MAPPED.values(), ids=MAPPED)
def test_a_certificate_is_a_user(certificate: Issued, name: str, groups: tuple[str, ...], uid: str) -> None:
    assert known(certificate) == user(certificate, name, *groups, uid=uid)


CHAINS = {
    "C-X5-16, C-X5-28 an intermediate": (issue(MIDDLE, "My Client"), MIDDLE),
    "with the root, as some send it": (issue(MIDDLE, "My Client"), MIDDLE, ROOT),
    "the root alone": (issue(ROOT, "My Client"), ROOT),
    "something else among them": (issue(MIDDLE, "My Client"), OTHER, MIDDLE),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_a_chain_leads_to_the_authority(chain: tuple[Issued, ...]) -> None:
    assert known(*chain) == user(chain[0], "My Client")


def test_an_intermediate_in_the_file_is_an_authority() -> None:
    client = issue(MIDDLE, "joe")
    assert known(client, trust=TrustAnchors(MIDDLE.pem)) == user(client, "joe")
    assert known(issue(ROOT, "joe"), trust=TrustAnchors(MIDDLE.pem)) is None


def test_each_authority_of_a_file_counts() -> None:
    both = TrustAnchors(ROOT.pem + OTHER.pem)
    assert known(issue(ROOT, "joe"), trust=both)
    assert known(issue(OTHER, "joe"), trust=both)


NOBODY = {
    "C-X5-1, 2, 18, 19 none": (),
    "C-X5-3, C-X5-20 self-signed": (issue(None, "joe"),),
    "of a server": (issue(ROOT, "joe", usage=[SERVER]),),
    "another authority": (issue(OTHER, "joe"),),
    "another authority, which it sends along": (issue(OTHER, "joe"), OTHER),
    "the right authority sent along": (issue(OTHER, "joe"), ROOT),
    "C-X5-14, C-X5-26 not yet valid": (issue(ROOT, "joe", begins=60),),
    "C-X5-15, C-X5-27 expired": (issue(ROOT, "joe", ends=-60),),
    "C-X5-17, C-X5-29 a chain, expired": (issue(MIDDLE, "joe", ends=-60), MIDDLE),
    "an expired intermediate": (issue(STALE_MIDDLE, "joe"), STALE_MIDDLE),
    "an intermediate that is missing": (issue(MIDDLE, "joe"),),
    "an intermediate for servers": (issue(SERVERS_MIDDLE, "joe"), SERVERS_MIDDLE),
    "signed by a client": (issue(NO_AUTHORITY, "joe"), NO_AUTHORITY),
    "signed by what may not sign": (issue(MAY_NOT_SIGN, "joe"), MAY_NOT_SIGN),
    "a critical extension that nobody knows": (issue(ROOT, "joe", extensions=[(UNKNOWN, True)]),),
    "no common name": (issue(ROOT, None, "My Org"),),
    "C-X5-10 two uids": (issue(ROOT, "joe", uids=["1", "2"]),),
    "a NUL in the name": (issue(ROOT, "admin\0.example.org"),),
    "a NUL in a group": (issue(ROOT, "joe", "devs\0"),),
    "a line break in the name": (issue(ROOT, "joe\r\nX: y"),),
}


@pytest.mark.parametrize("chain", NOBODY.values(), ids=NOBODY)
def test_a_certificate_is_nobody(chain: tuple[Issued, ...]) -> None:
    assert known(*chain) is None


def test_a_path_may_be_no_longer_than_the_authority_allows() -> None:
    root = issue(None, "short", authority=True, usage=None)
    short = _with_path_length(root, 0)
    middle = authority("middle", short)
    assert known(issue(short, "joe"), trust=TrustAnchors(short.pem))
    assert known(issue(middle, "joe"), middle, trust=TrustAnchors(short.pem)) is None


def test_an_expired_authority_signs_nothing() -> None:
    stale = authority("stale", ends=-60)
    assert known(issue(stale, "joe"), trust=TrustAnchors(stale.pem)) is None


GARBAGE = {
    "empty": (b"",),
    "no DER": (b"\x30\x82",),
    "cut short": (issue(ROOT, "joe").der[:-1],),
    "something after it": (issue(ROOT, "joe").der + b"\0",),
    "garbage beside it": (issue(ROOT, "joe").der, b"garbage"),
}


@pytest.mark.parametrize("chain", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_certificate_is_nobody(chain: tuple[bytes, ...]) -> None:
    assert TRUST.verify(chain, NOW) is None


def test_a_signature_that_does_not_fit_is_nobody() -> None:
    forged = issue(ROOT, "mallory").der.replace(b"mallory", b"masters")
    assert TRUST.verify((forged,), NOW) is None


# --- the UID attribute (1.3.6.1.4.1.57683.2); what is signed does not matter here

TEXT = b"\x0c\x0amarker-uid"  # UTF8String
ODD = {
    "C-X5-9 an integer": b"\x02\x0amarker-uid",
    "C-X5-9 a boolean": b"\x01\x0amarker-uid",
    "C-X5-9 bits": b"\x03\x0amarker-uid",
    "C-X5-9 a sequence": b"\x30\x0amarker-uid",
    "control characters": b"\x0c\x0amarker\0uid",
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_uid_is_text_or_the_certificate_is_nobodys(value: bytes) -> None:
    der = issue(ROOT, "joe", uids=["marker-uid"]).der
    assert der.count(TEXT) == 1
    with pytest.raises((ValueError, TypeError)):
        user_of(x509.load_der_x509_certificate(der.replace(TEXT, value)))


def test_an_empty_uid_is_nobodys() -> None:
    with pytest.raises(ValueError, match="UID cannot be an empty string"):  # C-X5-8
        user_of(issue(ROOT, "joe", uids=[""]).certificate)
    assert known(issue(ROOT, "joe", uids=[""])) is None


def test_of_several_common_names_the_last_counts_as_for_go() -> None:
    client = issue(ROOT, "first")
    key = client.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, cn) for cn in ("first", "last")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
    )
    valid = client.certificate.not_valid_before_utc, client.certificate.not_valid_after_utc
    made = (
        builder.not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .sign(key, client.certificate.signature_hash_algorithm)  # type: ignore[arg-type]
    )
    assert user_of(made).name == "last"


# --- what is remembered


class Counting(TrustAnchors):
    """`verified` counts."""

    verified = 0

    def verify(self, chain: tuple[bytes, ...], now: float) -> VerifiedCertificate | None:
        self.verified += 1
        return super().verify(chain, now)


class Setting:
    """A verifier with its clock and its authority in hand."""

    def __init__(self) -> None:
        self.now = NOW
        self.trust = Counting(ROOT.pem)
        self.verifier = CertificateVerifier(lambda: self.trust, lambda: self.now)


def test_a_chain_is_verified_once_and_not_for_every_request() -> None:
    setting, chain = Setting(), (issue(ROOT, "joe").der,)
    for _ in range(5):
        assert setting.verifier.verify(chain).value
    assert setting.trust.verified == 1


def test_no_certificate_outlives_its_end_or_its_authoritys() -> None:
    middle = authority("middle", ROOT, ends=3600)
    chains = {
        7200.0: (issue(ROOT, "joe", ends=7200).der,),
        3600.0: (issue(middle, "joe", ends=7200).der, middle.der),
    }
    for ends, chain in chains.items():
        setting = Setting()
        setting.now = NOW + ends - 1
        assert setting.verifier.verify(chain).value
        setting.now = NOW + ends + 1
        assert setting.verifier.verify(chain).value is None


def test_what_did_not_verify_may_verify_later() -> None:
    setting, chain = Setting(), (issue(ROOT, "joe", begins=60).der,)
    assert [setting.verifier.verify(chain).value for _ in range(3)] == [None] * 3
    assert setting.trust.verified == 1
    setting.now += 61
    assert setting.verifier.verify(chain).value


def test_a_renewed_authority_file_counts_at_once() -> None:
    setting, old, new = Setting(), (issue(ROOT, "joe").der,), (issue(OTHER, "joe").der,)
    assert (bool(setting.verifier.verify(old).value), bool(setting.verifier.verify(new).value)) == (
        True,
        False,
    )
    setting.trust = Counting(OTHER.pem)
    assert (bool(setting.verifier.verify(old).value), bool(setting.verifier.verify(new).value)) == (
        False,
        True,
    )


def test_the_memory_is_bounded() -> None:
    setting = Setting()
    for number in range(REMEMBERED + 100):
        setting.verifier.verify((b"%d" % number,))
    assert len(setting.verifier._known) == REMEMBERED


# --- files of authorities


@pytest.mark.parametrize(
    "pem", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ROOT.key_pem]
)
def test_a_file_without_an_authority_is_refused(pem: bytes) -> None:
    with pytest.raises(ValueError):
        TrustAnchors(pem)


def test_an_authority_that_could_verify_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="neither RSA nor"):
        TrustAnchors(authority("edwards", key=ed25519.Ed25519PrivateKey.generate()).pem)


BELOW = authority("below", ROOT)
FURTHER = authority("further", BELOW)
RENEWED = authority("root", key=ROOT.key, ends=2 * 86400)  # another certificate of the same key
ALIEN = authority("other")
CROSSED = authority("other", ROOT, key=ALIEN.key)  # what ROOT says of its key

# the front proxies' file, the clients' file, is one of the clients' authorities trusted there as well?
COVERED: dict[str, tuple[tuple[Issued, ...], tuple[Issued, ...], str]] = {
    "apart": ((ROOT,), (ALIEN,), ""),
    "the same": ((ROOT,), (ROOT,), "CN=root"),
    "one of several the same": ((OTHER, MIDDLE), (ROOT, MIDDLE), "CN=middle"),
    "the same key, renewed": ((ROOT,), (RENEWED,), "CN=root"),
    "the same key under another name": ((ROOT,), (authority("users", key=ROOT.key),), "CN=users"),
    "issued by it": ((ROOT,), (BELOW,), "CN=below"),
    "issued by it, its own issuer beside it": ((ROOT,), (FURTHER, BELOW), "CN=further"),
    "issued by its renewed certificate": ((RENEWED,), (BELOW,), "CN=below"),
    "cross-signed, as the clients' file has it": ((ROOT,), (CROSSED,), "CN=other"),
    "cross-signed, both certificates there": ((ROOT,), (ALIEN, CROSSED), "CN=other"),
    "cross-signed, as the front proxies' file has it": ((ROOT, CROSSED), (ALIEN,), "CN=other"),
    "below what is cross-signed": ((ROOT, CROSSED), (authority("tenants", ALIEN),), "CN=tenants"),
    "the front proxies' is below the clients'": ((BELOW,), (ROOT,), ""),
    "of the same name, of another key": ((ROOT,), (authority("root"),), ""),
    "siblings": ((BELOW,), (authority("beside", ROOT),), ""),
}


@pytest.mark.parametrize(("proxies", "clients", "found"), COVERED.values(), ids=COVERED)
def test_an_authority_that_is_trusted_under_another_certificate_is_found(
    proxies: tuple[Issued, ...], clients: tuple[Issued, ...], found: str
) -> None:
    assert _file(*proxies).covers(_file(*clients)) == found


def test_no_chain_through_the_clients_authority_is_a_front_proxys() -> None:
    """Also where neither file shows that it is below: the chain does."""
    between = authority("between", ROOT)
    clients = authority("clients", between)
    proxies = TrustAnchors(ROOT.pem, apart_from=TrustAnchors(clients.pem))
    assert proxies.covers(TrustAnchors(clients.pem)) == ""
    erin = (issue(clients, "erin").der, clients.der, between.der)
    crossed = authority("clients", ROOT, key=clients.key)
    assert TrustAnchors(ROOT.pem).verify(erin, NOW) is not None
    assert proxies.verify(erin, NOW) is None
    assert proxies.verify((erin[0], crossed.der), NOW) is None
    assert (
        proxies.verify((issue(authority("tenants", clients), "erin").der, clients.der, between.der), NOW)
        is None
    )
    assert proxies.verify((issue(ROOT, "aggregator").der,), NOW) is not None
    assert proxies.verify((issue(between, "aggregator").der, between.der), NOW) is not None


def test_an_authority_of_both_files_is_no_stranger() -> None:
    """Which of its certificates are front proxies' their names tell."""
    assert (
        TrustAnchors(ROOT.pem, apart_from=TrustAnchors(RENEWED.pem)).verify(
            (issue(ROOT, "aggregator").der,), NOW
        )
        is not None
    )


def _file(*authorities: Issued) -> TrustAnchors:
    return TrustAnchors(b"".join(one.pem for one in authorities))


def _with_path_length(root: Issued, length: int) -> Issued:
    key, certificate = root.key, root.certificate
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(certificate.subject)
        .issuer_name(certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(certificate.not_valid_before_utc)
        .not_valid_after(certificate.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
    )
    return Issued(builder.sign(key, certificate.signature_hash_algorithm), key)  # type: ignore[arg-type]
