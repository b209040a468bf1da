"""Certificates whose names, dates and serial numbers are those that the recorded cases tell."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ORGANIZATION = (NameOID.ORGANIZATION_NAME, "Probe Test")
BEGIN = datetime.datetime(2020, 1, 1)
Name = tuple[tuple[x509.ObjectIdentifier, str], ...]


@dataclass(frozen=True)
class Wanted:
    """`issuer` empty: signed by itself."""

    subject: Name
    issuer: str
    end: tuple[int, ...]
    serial: int
    names: tuple[str, ...] = ()
    addresses: bool = True

    @property
    def authority(self) -> bool:
        return self.serial < 3


def common(name: str) -> Name:
    return ((NameOID.COMMON_NAME, name),)


CERTIFICATES = {
    "ca": Wanted((ORGANIZATION, *common("Probe Test Root")), "", (2049, 12, 31, 23, 59, 59), 1),
    "inter": Wanted((ORGANIZATION, *common("Probe Test Intermediate")), "ca", (2039, 6, 1), 2),
    "good": Wanted(
        ((NameOID.COUNTRY_NAME, "XX"), ORGANIZATION, *common("good.probe.test")),
        "ca",
        (2046, 1, 2, 3, 4, 5),
        0x0A0B0C0D,
        ("good.probe.test", "*.probe.svc"),
    ),
    "self": Wanted(common("self.probe.test"), "", (2045, 1, 1), 0x1F, ("self.probe.test",)),
    "expired": Wanted(common("expired.probe.test"), "ca", (2021, 2, 3, 4, 5, 6), 0x100, ("good.probe.test",)),
    "wrong": Wanted(
        common("wrong.probe.test"), "ca", (2046, 1, 1), 0x7FFFFFFF, ("other.probe.test",), addresses=False
    ),
    "chain": Wanted(
        (
            (NameOID.COUNTRY_NAME, "XX"),
            (NameOID.STATE_OR_PROVINCE_NAME, "A State"),
            (NameOID.LOCALITY_NAME, "Some, Town"),
            (NameOID.ORGANIZATION_NAME, 'Quote "Q" + Co'),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, "#1 Unit"),
            *common("chain.probe.test"),
            (NameOID.EMAIL_ADDRESS, "a@probe.test"),
        ),
        "inter",
        (2046, 1, 1),
        0xFEDC,
        ("good.probe.test", "a.probe.test", "b.probe.test"),
    ),
    "client": Wanted(common("probe-client"), "ca", (2046, 1, 1), 0x33),
}


class Certificates:
    """Written into `folder` as NAME.crt and NAME.key; valid for `addresses`."""

    def __init__(self, folder: Path, addresses: list[str]) -> None:
        self._folder = folder
        self._addresses = addresses
        self._keys = {name: ec.generate_private_key(ec.SECP256R1()) for name in CERTIFICATES}
        self.fingerprints: dict[str, str] = {}
        for name, wanted in CERTIFICATES.items():
            self._write(name, wanted)
        chain, inter = folder / "chain.crt", folder / "inter.crt"
        chain.write_bytes(chain.read_bytes() + inter.read_bytes())

    def server(self, name: str, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        if alpn:
            context.set_alpn_protocols(alpn)
        context.sni_callback = _remember
        return context

    def wanting_a_certificate(self) -> ssl.SSLContext:
        context = self.server("good")
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self._folder / "ca.crt")
        return context

    def _write(self, name: str, wanted: Wanted) -> None:
        subject = _name(wanted.subject)
        issuer = _name(CERTIFICATES[wanted.issuer].subject) if wanted.issuer else subject
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(self._keys[name].public_key())
            .serial_number(wanted.serial)
            .not_valid_before(BEGIN)
            .not_valid_after(datetime.datetime(*wanted.end))  # type: ignore[arg-type]
            .add_extension(x509.BasicConstraints(ca=wanted.authority, path_length=None), critical=True)
            .add_extension(_usage(authority=wanted.authority), critical=True)
        )
        if wanted.names:
            addresses = self._addresses if wanted.addresses else []
            made = made.add_extension(
                x509.SubjectAlternativeName(
                    [
                        *map(x509.DNSName, wanted.names),
                        *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses),
                    ]
                ),
                critical=False,
            )
        signed = made.sign(self._keys[wanted.issuer or name], hashes.SHA256())
        self.fingerprints[f"<sha256 of {name}>"] = signed.fingerprint(hashes.SHA256()).hex()
        (self._folder / f"{name}.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        (self._folder / f"{name}.key").write_bytes(
            self._keys[name].private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def _name(parts: Name) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _remember(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
    connection.server_name_seen = name  # type: ignore[union-attr]
