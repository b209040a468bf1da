"""What a TLS connection showed: when its certificates expire, whom they name, version and cipher."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from bastion.probe.samples import Labels, Samples

UNVERIFIED = -62135596800.0  # the time that Go has for none
_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.5": "SERIALNUMBER",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.17": "POSTALCODE",
}
_VERSIONS = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}
_DER = 2  # ssl's own constant is not public
_PRINTABLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")


def tls_samples(
    samples: Samples, tls: ssl.SSLObject, *, chain_expiry: bool = True, cipher: bool = False
) -> None:
    shown = [_read(der) for der in _chain(tls, "get_unverified_chain")]
    verified = [_read(der) for der in _chain(tls, "get_verified_chain")] if _verifies(tls) else []
    if not shown:
        return
    samples.set("probe_ssl_earliest_cert_expiry", min(one.ends for one in shown))
    if chain_expiry:
        ends = min((one.ends for one in verified), default=UNVERIFIED)
        samples.set("probe_ssl_last_chain_expiry_timestamp_seconds", ends)
    version = tls.version() or ""
    samples.set("probe_tls_version_info", 1.0, (("version", _VERSIONS.get(version, version)),))
    used = tls.cipher()
    if cipher and used is not None:
        samples.set("probe_tls_cipher_info", 1.0, (("cipher", iana_cipher(used[0])),))
    samples.set("probe_ssl_last_chain_info", 1.0, shown[0].labels)


class _Certificate:
    __slots__ = ("ends", "labels")

    def __init__(self, der: bytes) -> None:
        read = x509.load_der_x509_certificate(der)
        serial = f"{read.serial_number:x}"
        self.ends = read.not_valid_after_utc.timestamp()
        self.labels: Labels = (
            ("fingerprint_sha256", read.fingerprint(hashes.SHA256()).hex()),
            ("issuer", distinguished_name(read.issuer)),
            ("serialnumber", serial if len(serial) % 2 == 0 else f"0{serial}"),
            ("subject", distinguished_name(read.subject)),
            ("subjectalternative", ",".join(_dns_names(read))),
        )


@lru_cache(maxsize=4096)
def _read(der: bytes) -> _Certificate:
    return _Certificate(der)


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return found.value.get_values_for_type(x509.DNSName)


def _verifies(tls: ssl.SSLObject) -> bool:
    return tls.context.verify_mode != ssl.CERT_NONE


def _chain(tls: ssl.SSLObject, which: str) -> list[bytes]:
    if hasattr(tls, which):  # from Python 3.13 on
        return list(getattr(tls, which)())
    inner: Any = getattr(tls, "_sslobj", None)
    chain = getattr(inner, which)() if inner is not None else None
    return [one.public_bytes(_DER) for one in chain or ()]


def distinguished_name(name: x509.Name) -> str:
    """RFC 2253, as Go writes it: the last RDN first, and those whose type has no name behind all others."""
    parts = ["+".join(map(_attribute, rdn)) for rdn in name.rdns[::-1]]
    return ",".join(sorted(parts, key=lambda part: part[:1].isdigit()))


def _attribute(one: x509.NameAttribute[Any]) -> str:
    oid, value = one.oid.dotted_string, str(one.value)
    if oid in _NAMES:
        return f"{_NAMES[oid]}={_escaped(value)}"
    data = value.encode()
    kind = 0x13 if _PRINTABLE.issuperset(value) else 0x0C  # PrintableString where it can be, else UTF8String
    return f"{oid}=#{(bytes([kind]) + _length(len(data)) + data).hex()}"


def _length(count: int) -> bytes:
    if count < 128:
        return bytes([count])
    size = (count.bit_length() + 7) // 8
    return bytes([0x80 | size]) + count.to_bytes(size, "big")


def _escaped(value: str) -> str:
    last = len(value) - 1
    return "".join(
        f"\\{char}"
        if char in ',+"\\<>;' or (char == "#" and at == 0) or (char == " " and at in (0, last))
        else char
        for at, char in enumerate(value)
    )


def iana_cipher(name: str) -> str:
    """OpenSSL's `ECDHE-RSA-AES128-GCM-SHA256` as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256."""
    if name.startswith("TLS_"):
        return name
    words = name.split("-")
    at = next((n for n, word in enumerate(words) if word.startswith(("AES", "CHACHA20", "CAMELLIA"))), 0)
    exchange = "_".join(words[:at]) or "RSA"
    cipher = "_".join(words[at:])
    for bits in ("128", "256"):
        cipher = cipher.replace(f"AES{bits}_", f"AES_{bits}_")
    if words[at:] and "GCM" not in cipher and "CHACHA20" not in cipher and "CCM" not in cipher:
        cipher = cipher.replace("_SHA", "_CBC_SHA", 1)
    if cipher.endswith("POLY1305"):
        cipher += "_SHA256"
    return f"TLS_{exchange}_WITH_{cipher}"
