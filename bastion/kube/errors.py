"""· The bastion's own errors: a `Status` that has a word of the table and says what helps.

kube-apiserver's words come first, the useful sentence after `: `: kubectl prints the message and nothing of
the causes.  `Retry-After` is given only where waiting helps, because clients wait and ask ten times before
they show the message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bastion.kube import status
from bastion.kube.attributes import Attributes
from bastion.kube.errorword import REASONS, Word
from bastion.kube.errorwords import (
    ADDRESS_REFUSED,
    IMPERSONATION_NOT_ALLOWED,
    INTERNAL_ERROR,
    METHOD_NOT_SERVED,
    MISSING_RULE,
    NO_CREDENTIALS,
    NO_SUCH_PORT,
    NODE_NOT_FOUND,
    OVERLOADED,
    POD_HAS_NO_ADDRESS,
    POD_NOT_FOUND,
    SERVICE_NOT_FOUND,
    TOKEN_NOT_ACCEPTED,
    UNREADABLE_REQUEST,
)
from bastion.kube.missingrule import MissingRule
from bastion.kube.status import Cause, StatusError, quoted
from bastion.kube.user import ANONYMOUS

RULE = "rbac"  # the field of the cause that holds a rule
NEAR = "near"  # the field of a cause that is a target whose name is near
POD = "pod"  # the field of a cause that counts pods
ROUTE_NOT_FOUND = "the server could not find the requested resource"
NOT_ALLOWED = "the server does not allow this method on the requested resource"
UNREACHED = "error trying to reach service"
_CHALLENGE = ((b"WWW-Authenticate", b'Bearer realm="kubernetes"'),)
_PROXY_CHALLENGES = (
    (b"Proxy-Authenticate", b'Bearer realm="bastion"'),
    (b"Proxy-Authenticate", b'Basic realm="bastion, the token as password"'),
)
_PROXY_CODES: dict[tuple[Word | None, int], int] = {
    (NO_SUCH_PORT, 503): 404,
    (NO_SUCH_PORT, 400): 404,
    (POD_HAS_NO_ADDRESS, 400): 503,
    (ADDRESS_REFUSED, 400): 503,
}
_NOT_FOUND = {"pods": POD_NOT_FOUND, "services": SERVICE_NOT_FOUND, "nodes": NODE_NOT_FOUND}


def error_of(
    word: Word,
    said: str,
    sentence: str = "",
    *,
    code: int = 0,
    details: Mapping[str, Any] | None = None,
    causes: tuple[Cause, ...] = (),
    headers: tuple[tuple[bytes, bytes], ...] = (),
    retry_after: int | None = None,
    close: bool = False,
    cause: str = "",
) -> StatusError:
    """`said`: kube-apiserver's words for it; `sentence`: what helps; `causes` beside the first one.

    `code`: where the word has several, and it is not the first.  `retry_after` in seconds, None where a retry
    will not help.  `cause` is for the log.
    """
    code = code or word.codes[0]
    if retry_after is not None:
        details = {**(details or {}), "retryAfterSeconds": retry_after}
        headers = (*headers, (b"Retry-After", str(retry_after).encode()))
    return StatusError(
        code,
        REASONS[code],
        f"{said}: {sentence}" if sentence else said,
        details,
        headers=headers,
        close=close,
        cause=cause,
        word=word,
        causes=(Cause(word.name, sentence or said, word.hop), *causes),
    )


# --- the client's


def unreadable(message: str, *, code: int = 400, close: bool = False) -> StatusError:
    """The request itself is malformed, too large or too slow."""
    return error_of(UNREADABLE_REQUEST, message, code=code, close=close)


def unauthorized(
    word: Word = TOKEN_NOT_ACCEPTED, sentence: str = "", cause: str = "", said: str = "Unauthorized"
) -> StatusError:
    """401.  `sentence` tells only what the client sent itself; `cause` is for the log only."""
    return error_of(word, said, sentence, code=401, headers=_CHALLENGE, cause=cause)


def no_credentials(cause: str = "") -> StatusError:
    return unauthorized(NO_CREDENTIALS, "the request carries no credentials", cause)


def asked_of_a_proxy(error: StatusError) -> StatusError:
    """As a proxy says it: with HTTP's codes, kube-apiserver's are for `…/proxy`.

    Any client knows one of the two schemes that a 407 names (RFC 9110, 15.5.8).
    """
    code = 407 if error.code == 401 else _PROXY_CODES.get((error.word, error.code), error.code)
    if code == error.code:
        return error
    return StatusError(
        code,
        REASONS[code],
        error.message,
        error.details,
        headers=_PROXY_CHALLENGES if code == 407 else error.headers,
        close=error.close,
        cause=error.cause,
        word=error.word,
        causes=error.causes,
    )


def forbidden(
    user: str,
    attributes: Attributes,
    reason: str = "",
    *,
    word: Word = MISSING_RULE,
    rule: MissingRule | None = None,
) -> StatusError:
    """403 with the rule that would allow it; `reason` is the authorizer's.

    `rule`: another one than that which the attributes ask for; None: that one.  Nobody is asked to give
    rights to everyone: the anonymous user is told to sign in.
    """
    plain = status.forbidden(user, attributes, reason)
    if user == ANONYMOUS:
        return error_of(
            word, plain.message, "the request carries no credentials that count", details=plain.details
        )
    if rule is None and word is IMPERSONATION_NOT_ALLOWED:
        return error_of(word, plain.message, details=plain.details)
    rule = rule or MissingRule(user, attributes)
    if not rule.attributes.verb:  # of OPTIONS: no rule has an empty verb but that for all of them
        return error_of(word, plain.message, "only a rule with the verb * allows it", details=plain.details)
    return error_of(
        word,
        plain.message,
        f"to allow it: {rule.command()}",
        details=plain.details,
        causes=(Cause(word.name, rule.yaml(), RULE),),
    )


def too_large(most: int) -> StatusError:
    """In kube-apiserver's words; the rest of the body is not read."""
    return unreadable(f"Request entity too large: limit is {most}", code=413, close=True)


# --- the bastion's


def refused(word: Word, message: str, kind: str = "", name: str = "") -> StatusError:
    """403 for a request that is authorized, but that this bastion does not serve."""
    details = {key: value for key, value in (("name", name), ("kind", kind)) if value}
    return error_of(word, message, details=details)


def not_found(
    kind: str, name: str, sentence: str = "", word: Word | None = None, near: Sequence[str] = ()
) -> StatusError:
    """`near`: targets that the user may open instead, as `kind/NAMESPACE/NAME`."""
    word = word or _NOT_FOUND[kind]
    if near:
        names = ", ".join(one.rpartition("/")[2] for one in near)
        sentence = f"near it there {'are' if len(near) > 1 else 'is'} {names}"
    return error_of(
        word,
        f"{kind} {quoted(name)} not found",
        sentence,
        details={"name": name, "kind": kind},
        causes=tuple(Cause(word.name, one, NEAR) for one in near),
    )


def method_not_allowed(*allowed: str, method: str = "") -> StatusError:
    """`allowed`: the methods for `Allow` (RFC 9110, 15.5.6), which kube-apiserver's router omits."""
    headers = ((b"Allow", ", ".join(allowed).encode()),)
    return error_of(METHOD_NOT_SERVED, NOT_ALLOWED, method, details={}, headers=headers)


def overloaded(message: str, retry_after: int = 1, code: int = 429) -> StatusError:
    """`message` tells whose limit is reached, and by which flag it is set."""
    return error_of(OVERLOADED, message, code=code, retry_after=retry_after)


def internal_error(message: str = "Internal error occurred") -> StatusError:
    return error_of(INTERNAL_ERROR, message)
