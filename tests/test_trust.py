"""Whom do the contexts believe?  Real handshakes, with authorities as old clusters have them."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bastion.authn.provider import tls_context
from bastion.network.tls.contexts import kubelet_context
from bastion.runtime.certificates import Authority
from bastion.runtime.trust import client_context, not_after, show
from bastion.settings.issuer import Issuer
from bastion.settings.targets import Kubelet

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Bare:
    """An authority without keyUsage and key identifiers, as clusters had them; `below` makes one under
    another.
    """

    def __init__(self, name: Any, below: Any = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (below or self).sign(
            self.name, self.key, x509.BasicConstraints(ca=True, path_length=None)
        )

    def sign(self, name: Any, key: Any, *extensions: Any) -> Any:
        builder = (
            x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key())
        )
        builder = (
            builder.serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + 90 * DAY)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(self.key, hashes.SHA256())

    def server(self, *chain: Any) -> Any:
        """PEM of a server's certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api")])
        own = self.sign(name, key, x509.SubjectAlternativeName([x509.DNSName("api.example")]))
        return b"".join(map(pem, (own, *chain))), key_pem(key)


def pem(certificate: Any) -> Any:
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: Any, encryption: Any = None) -> Any:
    encryption = encryption or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def shaken(context: Any, certificate: Any, key: Any, name: str = "api.example") -> Any:
    """A handshake in memory; the client's error, None where it went well."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    show(serving, certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=name)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    return None


ROOT = Bare("old cluster")
BELOW = Bare("below", ROOT)
PEMS = {"root": pem(ROOT.certificate), "intermediate": pem(BELOW.certificate)}


def test_an_authority_without_key_identifiers_is_believed() -> None:
    strict = ssl.create_default_context(cadata=PEMS["root"].decode())
    strict.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 has it
    assert shaken(strict, *ROOT.server()) is not None, "which is what this is for"
    assert shaken(client_context(PEMS["root"]), *ROOT.server()) is None
    assert shaken(client_context(pem(Bare("another").certificate)), *ROOT.server()) is not None


def test_a_bundle_need_not_reach_to_the_root() -> None:
    assert shaken(client_context(PEMS["intermediate"]), *BELOW.server()) is None
    assert shaken(client_context(PEMS["root"]), *BELOW.server(BELOW.certificate)) is None
    assert shaken(client_context(PEMS["root"]), *BELOW.server()) is not None


def test_one_name_is_asked_for_whatever_is_dialled() -> None:
    named = client_context(PEMS["root"], server_name="api.example")
    assert shaken(named, *ROOT.server(), name="10.0.0.1") is None  # type: ignore[misc]
    assert shaken(client_context(PEMS["root"], server_name="other.example"), *ROOT.server()) is not None
    assert shaken(client_context(PEMS["root"]), *ROOT.server(), name="10.0.0.1") is not None  # type: ignore[misc]


def test_what_stands_around_certificates_is_nothing() -> None:
    bundle = "# Prüfstelle\r\n".encode() + PEMS["intermediate"] + b"\n\xff\n" + PEMS["root"]
    assert len(client_context(bundle).get_ca_certs()) == 2


@pytest.mark.parametrize(
    "nothing", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"]
)
def test_no_authority_is_a_mistake(nothing: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        client_context(nothing)


def test_all_contexts_that_verify_are_of_one_kind(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(PEMS["root"])
    kubelet = kubelet_context(Kubelet(tmp_path / "ca.crt", None, None, False))
    issuer = tls_context(
        Issuer("https://issuer.example", ("a",), "oidc:", certificate_authority=PEMS["root"].decode())
    )
    for context in (client_context(), client_context(PEMS["root"]), kubelet, issuer):
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    for context in (kubelet, issuer):
        assert shaken(context, *ROOT.server()) is None


def test_who_is_not_verified_may_be_anybody() -> None:
    assert shaken(client_context(verify=False), *ROOT.server(), name="10.0.0.1") is None  # type: ignore[misc]


def test_an_encrypted_key_is_told_of_and_nobody_is_asked_for_its_password() -> None:
    certificate, _ = ROOT.server()
    key = key_pem(ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"secret"))
    with pytest.raises(ValueError, match="the key is encrypted"):
        show(client_context(), certificate, key)


def test_a_key_of_another_certificate_is_told_of() -> None:
    with pytest.raises(ValueError, match="key values mismatch"):
        show(client_context(), ROOT.server()[0], ROOT.server()[1])


def test_the_first_of_a_bundle_to_end_is_its_end() -> None:
    bundle = Authority("a year").pem + PEMS["root"]
    assert not_after(bundle) == ROOT.certificate.not_valid_after_utc.timestamp()
    assert not_after(b"") is None
    assert not_after(b"nonsense") is None
