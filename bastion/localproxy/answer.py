"""What does the proxy itself say to a client?  Plain text, in kubectl's words first."""

from __future__ import annotations

from bastion.http.fields import Field
from bastion.proxy.exchange import Exchange

PLAIN = b"text/plain; charset=utf-8"
REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 500: "InternalError"}


class Refusal(Exception):
    """A response of our own: text for the client."""

    def __init__(self, status: int, text: str, fields: tuple[Field, ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.fields = fields


def forbidden(why: str) -> Refusal:
    """Without a colon: kubectl reads `Forbidden: …` as YAML, hence as an object, and shows nothing of it."""
    return Refusal(403, f"Forbidden, because {why}")


def shortened(refusal: Refusal) -> Refusal:
    """kubectl's one word: what programs compare that say nothing of themselves."""
    return Refusal(403, "Forbidden", refusal.fields)


def send(exchange: Exchange, refusal: Refusal) -> None:
    """Does nothing but abort where a response has begun."""
    if exchange.status:
        exchange.abort()
        return
    body = refusal.text.encode("utf-8", "replace") + b"\n"
    reason = REASONS.get(refusal.status, str(refusal.status)).encode()
    fields = [
        (b"content-type", b"Content-Type", PLAIN),
        (b"x-content-type-options", b"X-Content-Type-Options", b"nosniff"),
        (b"x-bastion-error", b"X-Bastion-Error", reason),
        *refusal.fields,
    ]
    exchange.start(refusal.status, b"", fields, len(body))
    exchange.finish(b"" if exchange.method == "HEAD" else body)


def send_elsewhere(exchange: Exchange, location: bytes) -> None:
    """307, not kubectl's 301 of old: a POST stays one."""
    exchange.start(307, b"", [(b"location", b"Location", location)], 0)
    exchange.finish()
