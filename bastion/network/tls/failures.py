"""· What does a TLS handshake that failed say of the backend?

By the code and the reason of the ssl module, never by its text.  It does not tell a certificate that was
refused: that is looked at over a connection of its own, which verifies nothing and sends nothing.
"""

from __future__ import annotations

import ssl
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from bastion.kube.errorword import Word
from bastion.kube.errorwords import BACKEND_SPEAKS_PLAIN, CERTIFICATE_NOT_TRUSTED, CLOSED_BEFORE_ANSWER

# OpenSSL's reasons where what came is no TLS record.
_PLAIN = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
)
# X509_verify_cert's codes: include/openssl/x509_vfy.h
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAME, _OTHER_ADDRESS = 62, 64
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21, 24, 26, 27)
MOST_NAMES = 4
LONGEST = 128  # characters of a name


def word_of(error: ssl.SSLError) -> Word:
    if isinstance(error, ssl.SSLCertVerificationError):
        return CERTIFICATE_NOT_TRUSTED
    return BACKEND_SPEAKS_PLAIN if error.reason in _PLAIN else CLOSED_BEFORE_ANSWER


def cause_of(error: ssl.SSLError, wanted: str, shown: bytes) -> str:
    """`wanted`: the name that was verified; `shown`: the certificate in DER, empty where it is not known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verification failed: {_refused(error, wanted, shown)}"
    return (error.reason or "protocol error").lower().replace("_", " ")


def _refused(error: ssl.SSLCertVerificationError, wanted: str, shown: bytes) -> str:
    code = error.verify_code
    try:
        certificate = x509.load_der_x509_certificate(shown) if shown else None
        if certificate is None:
            return str(error.verify_message)
        if code == _EXPIRED:
            return f"it expired at {_time(certificate.not_valid_after_utc)}"
        if code == _NOT_YET_VALID:
            return f"it is valid from {_time(certificate.not_valid_before_utc)} on"
        if code in (_OTHER_NAME, _OTHER_ADDRESS):
            return f"it is for {_names(certificate)}, not for {wanted}"
        if code in _UNKNOWN_AUTHORITY:
            return f"it is of an authority that is not trusted here: {_issuer(certificate)}"
    except ValueError:
        pass
    return str(error.verify_message)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _names(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "no name"
    told = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    more = f" and {len(told) - MOST_NAMES} more" if len(told) > MOST_NAMES else ""
    return ", ".join(map(_plain, told[:MOST_NAMES])) + more if told else "no name"


def _issuer(certificate: x509.Certificate) -> str:
    common = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _plain(str(common[0].value) if common else certificate.issuer.rfc4514_string())


def _plain(text: str) -> str:
    """A backend writes its certificate: what is not printable is not told."""
    return "".join(char for char in text[:LONGEST] if char.isprintable())
