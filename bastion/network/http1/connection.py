"""One HTTP/1.1 connection to a backend: the request's bytes out, the answer in.

httptools (llhttp, strict) reads the answer; what it lets pass and RFC 9112 does not is refused here.
Backends are hostile: heads are bounded, interim answers counted, and bytes that nobody asked for make the
connection unusable.
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING

import httptools

from bastion.http.fields import Field
from bastion.kube.endpoint import Endpoint
from bastion.network.errors import NetworkError, ReceiveError, SendError, UpstreamTimeout
from bastion.network.http1.answer import Answer, framing, kept_for
from bastion.network.logins import CHALLENGES, binds_answer
from bastion.network.relay import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HEAD = 65536  # bytes of an answer's head
MAX_FIELDS = 200
MAX_INTERIM = 10
# chunks, about, in one turn of the loop: a quarter of a megabyte may hold 43 000, which are 9 ms of work
AT_ONCE = 128
PORTION = 2048  # bytes of a chunked answer given to the parser at once,
LARGE_PORTION = 16384  # after one that held
FEW = 8  # chunks at most

_BODILESS = (204, 304)
_REASON = bytes(b for b in range(256) if b == 0x09 or (b >= 0x20 and b != 0x7F))  # RFC 9112, 4


class Connection(asyncio.Protocol):
    """Used for one exchange at a time.  `lost` is called once, when the connection is gone."""

    def __init__(
        self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop, lost: Callable[[Connection], None]
    ) -> None:
        self.endpoint = endpoint
        self.loop = loop
        self.deadline: float | None = None
        self.used = False  # it has carried an exchange before
        # seconds for which the backend keeps it, where its last answer said so
        self.kept_for: float | None = None
        self.owner: str | None = None  # whose it is: of what they sent, something may have been left unread
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._answer: Answer | None = None
        self._head: asyncio.Future[Answer] | None = None
        self._busy = False
        self._last = False  # no exchange after this one, whatever its end
        self._sending = False  # of the request at hand not all is sent
        self._with_body = False
        self._to_head = False  # the request was HEAD: its answer has no body
        self._surplus = False
        self._closed = False
        self._until_close = False
        self._moved = False  # the segment at hand brought some of the body
        self._unmoved = 0  # bytes since then
        self._chunks = 0  # of bodies, since others had a turn
        self._portion = PORTION
        self._unread = b""  # for the loop's next turn; reading is paused
        self._to_switch = False  # the request asked for an upgrade: a 101 ends HTTP here
        self._switched_over = False  # it did, and whoever takes the connection over may not be there yet
        self._early = b""  # what followed a 101
        self._early_end = False
        self._body_idle = 0.0
        self._write_waiter: asyncio.Future[None] | None = None
        self._writable = True
        self._answer_within = 0.0
        # What has come of the answer's head:
        self._fields: list[Field] = []
        self._reason = b""
        self._interim = 0
        self._head_pieces: list[bytes] = []
        self._head_size = self._field_bytes = 0
        self._keep_alive = self._chunked = False

    # --- one exchange

    def begin(
        self,
        head: bytes,
        *,
        to_head: bool,
        answer_within: float,
        body_idle: float,
        to_switch: bool = False,
        with_body: bool = False,
    ) -> None:
        """Send a request head.

        In seconds: the answer is due `answer_within` after `sent`, each piece of its body within `body_idle`.
        """
        self._busy = self._sending = True
        self._with_body = with_body
        self._to_head = to_head
        self._to_switch = to_switch
        self._answer = None
        self._surplus = self._until_close = self._keep_alive = self._chunked = False
        self._answer_within, self._body_idle = answer_within, body_idle
        self._fields, self._reason, self._interim, self._head_size, self._field_bytes = [], b"", 0, 0, 0
        self._head = self.loop.create_future()
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        if self._transport is None or self._closed:
            self._broken(SendError(f"{self.endpoint} closed the connection"))
        else:
            self._transport.write(head)

    def sent(self) -> None:
        """The request is wholly sent: from here on the backend is waited for."""
        self._sending = False
        if self._answer is None:
            self.deadline = self.loop.time() + self._answer_within

    def answer(self) -> asyncio.Future[Answer]:
        """The answer, once its head is there; or a NetworkError."""
        assert self._head is not None
        return self._head

    def send(self, data: bytes) -> None:
        """A piece of the request's body, framed as the head said.

        Does nothing once the connection is lost.
        """
        if self._transport is not None and not self._closed:
            self._transport.write(data)

    @property
    def writable(self) -> bool:
        return self._writable

    async def drain(self) -> None:
        """Returns when the backend takes more bytes, or is gone."""
        if self._answer is None:
            self.deadline = self.loop.time() + self._answer_within
        while not self._writable and not self._closed:
            if self._write_waiter is None:
                self._write_waiter = self.loop.create_future()
            await self._write_waiter
        if self._answer is None:
            self.deadline = None

    @property
    def reusable(self) -> bool:
        """The exchange ended cleanly: the answer wholly read, nothing left over, the backend keeps the
        connection, and nothing tells against the next exchange on it.
        """
        answer = self._answer
        if (
            answer is None
            or not answer.complete
            or not self._keep_alive
            or self._surplus
            or self._closed
            or self._last
        ):
            return False
        # Who refuses or redirects may not have read the body, and what is left of it would be the next
        # request.
        return not self._with_body or 200 <= answer.status < 300

    def retire(self) -> None:
        """It is not used again after the exchange under way."""
        self._last = True
        if not self._busy:
            self.close()

    def rest(self) -> None:
        """Between exchanges: a byte that comes now was not asked for."""
        self._busy = False
        self.used = True
        self._answer = None
        self._head = None
        self.deadline = None

    @property
    def alive(self) -> bool:
        return not self._closed and not self._surplus

    @property
    def busy(self) -> bool:
        """An exchange is under way, or is about to be: a new connection is for somebody."""
        return self._busy or not self.used

    def has_ended(self) -> bool:
        """Between exchanges: whether the system has an end, or a byte that nobody asked for, which the loop
        has yet to read.
        """
        if self._transport is None or self._closed:
            return True
        looking = select.poll()
        looking.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        return bool(looking.poll(0))

    def close(self) -> None:
        """At once, whatever is under way."""
        self._until_close = False  # an end of our making is not the end of a body
        if not self._closed and self._transport is not None:
            self._transport.abort()

    def take_over(self) -> Stream:
        """The raw connection, after a 101: whoever takes it sets a protocol of its own and resumes
        reading.
        """
        assert self._transport is not None
        self.deadline = None
        self._let_go()
        return Stream(self._transport, self._early, lambda: self._lost(self), self._early_end)

    def _switched(self, rest: bytes) -> None:
        """The parser stands behind a 101 (or behind an answer that names another protocol, which it takes for
        one).
        """
        answer = self._answer
        if answer is None or answer.status != 101 or self._head is None or self._transport is None:
            self._malformed("an unasked switch of protocols")
            return
        self._transport.pause_reading()
        self._switched_over = True
        self._early = rest
        if not self._head.done():
            self._head.set_result(answer)

    def resume_reading(self) -> None:
        if self._transport is not None and not self._closed and not self._unread:
            self._transport.resume_reading()
            if self._answer is not None and not self._answer.complete:
                self.deadline = self.loop.time() + self._body_idle

    def pause_reading(self) -> None:
        """A reader who does not read is the client's affair, so the backend's deadline rests too."""
        if self._transport is not None and not self._closed:
            self._transport.pause_reading()
            self.deadline = None

    def expired(self) -> None:
        what = "answer" if self._answer is None else "rest of its answer"
        self._broken(UpstreamTimeout(f"timed out waiting for the {what} from {self.endpoint}"))
        self.close()

    def _unsent(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._switched_over:  # a paused TLS transport still hands over what it had read
            self._early += data
            return
        if not self._busy or self._parser is None:
            self._surplus = True
            self.close()
        elif self._unread:  # TLS hands over what it had read
            self._unread += data
        elif len(data) <= PORTION and self._chunks <= AT_ONCE:
            self._received(data)
        else:
            self._in_portions(data)

    def _in_portions(self, data: bytes) -> None:
        """As long as chunks may come: nobody can tell beforehand how many they are."""
        at = 0
        while at < len(data) and self._transport is not None and not self._transport.is_closing():
            answer = self._answer
            end = at + self._portion if self._chunked or answer is None else len(data)
            if self._switched_over:
                self._early += data[at:end]
            elif answer is not None and answer.complete:
                # Said at once: were it kept for the next turn, it would be read as the beginning of the next
                # answer.
                self._surplus = True
            elif self._chunks > AT_ONCE:
                self._unread = data[at:]
                self._transport.pause_reading()
                self.loop.call_soon(self._read_on)
                return
            else:
                before = self._chunks
                self._received(data[at:end])
                self._portion = PORTION if self._chunks - before > FEW else LARGE_PORTION
            at = end

    def _read_on(self) -> None:
        """Everybody else had a turn."""
        data, self._unread = self._unread, b""
        if not data or self._closed:
            return
        self._chunks = 0
        self._in_portions(data)
        if not self._unread and not self._switched_over and (self._answer is None or not self._answer.full):
            self.resume_reading()

    def _received(self, data: bytes) -> None:
        self._moved = False
        if self._answer is not None:
            self.deadline = self.loop.time() + self._body_idle
        else:
            if not self._head_size:
                if not data.startswith(b"HTTP/1."[: len(data)]):
                    self._malformed("malformed HTTP response")
                    return
                if self._sending or (self._with_body and self._unsent()):
                    self._last = True  # who answers before the body is there may leave it unread
            self._head_size += len(data)
            self._head_pieces.append(data)
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]
        except httptools.HttpParserUpgrade as error:
            self._switched(data[error.args[0] :])
        except httptools.HttpParserCallbackError as error:
            self._malformed(str(error.__context__ or error))
        except httptools.HttpParserError:
            self._malformed("malformed HTTP response")
        else:
            if (
                self._answer is not None
                and self._answer.status == 101
                and self._head is not None
                and not self._head.done()
            ):
                self._malformed("a 101 that names no protocol")
        answer = self._answer
        self._unmoved = 0 if self._moved or answer is None or answer.complete else self._unmoved + len(data)
        if self._unmoved > MAX_HEAD:
            self._malformed(f"more than {MAX_HEAD} bytes of trailers or of a chunk's size line")
        if self._answer is None and self._head_size > MAX_HEAD:
            self._malformed(f"the answer's head is larger than {MAX_HEAD} bytes")

    def eof_received(self) -> bool:
        if self._switched_over:
            self._early_end = True
            return True
        if self._unread:  # TLS had read the end already
            data, self._unread = self._unread, b""
            self._received(data)
        if self._until_close and self._answer is not None:
            self._answer.end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self._unread = b""
        if self._until_close and self._answer is not None and exc is None:
            self._answer.end()
        if self._answer is None and self._head_size == 0:
            self._broken(SendError(f"{self.endpoint} closed the connection without an answer"))
        else:
            self._broken(ReceiveError(f"{self.endpoint} closed the connection in the midst of its answer"))
        self.deadline = None
        self._writable = True
        self._release_writer()
        self._let_go()
        self._lost(self)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._release_writer()

    def _release_writer(self) -> None:
        if self._write_waiter is not None:
            if not self._write_waiter.done():
                self._write_waiter.set_result(None)
            self._write_waiter = None

    # --- the parser's callbacks

    def on_message_begin(self) -> None:
        if self._answer is not None:
            self._surplus = True

    def on_status(self, reason: bytes) -> None:
        if reason.translate(None, _REASON):
            raise ValueError("a control character in the reason phrase")
        self._reason += reason

    def on_header(self, name: bytes, value: bytes | None) -> None:
        if self._surplus or self._answer is not None:  # a trailer: never a header
            self._count(name, value)
            return
        stripped = (value or b"").strip(b" \t")
        if stripped != value and name.lower() == b"transfer-encoding":
            raise ValueError("blanks behind a Transfer-Encoding")  # the parser would not take it for chunked
        lower = name.lower()
        if len(lower) > 15 and lower in CHALLENGES and binds_answer(stripped):
            self._last = True  # whoever comes next on it would be taken for the one who logs in
        elif lower == b"keep-alive":
            self.kept_for = kept_for(stripped)
        self._fields.append((lower, name, stripped))
        self._count(name, value)
        if len(self._fields) > MAX_FIELDS:
            raise ValueError(f"the answer has more than {MAX_FIELDS} header fields")

    def _count(self, name: bytes, value: bytes | None) -> None:
        self._field_bytes += len(name) + len(value or b"") + 4
        if self._field_bytes > MAX_HEAD:
            raise ValueError(f"the answer's fields are larger than {MAX_HEAD} bytes")

    def on_headers_complete(self) -> None:
        if self._surplus:
            return
        parser = self._parser
        assert parser is not None
        status: int = parser.get_status_code()
        version: str = parser.get_http_version()
        if status < 100 or version not in ("1.1", "1.0") or (self._interim and not self._speaks_http()):
            raise ValueError("no HTTP/1 answer")
        # HTTP/1.0 knows no upgrade (RFC 9110, 7.8)
        if status == 101 and self._to_switch and version == "1.1":
            self._answer = Answer(self, status, self._reason, self._fields, None, bodiless=True)
            self.deadline = None
            return
        if 100 <= status < 200:
            self._interim += 1
            if status == 101 or self._interim > MAX_INTERIM:
                raise ValueError(
                    "an unasked switch of protocols"
                    if status == 101
                    else f"more than {MAX_INTERIM} interim answers"
                )
            self._fields, self._reason = [], b""
            return
        length, chunked = framing(self._fields)
        if chunked and version == "1.0":  # RFC 9112, 6.1: faulty framing
            raise ValueError("chunks in HTTP/1.0")
        bodiless = self._to_head or status in _BODILESS
        self._keep_alive = parser.should_keep_alive()
        self._chunked = chunked and not bodiless
        self._until_close = not bodiless and length is None and not chunked
        self._answer = answer = Answer(self, status, self._reason, self._fields, length, bodiless)
        self._head_pieces.clear()
        self.deadline = self.loop.time() + self._body_idle
        if bodiless:
            # llhttp cannot be told that this answer has no body: it would take the next one for it.
            self._parser = None
            self.deadline = None
            answer.end()
        if self._head is not None and not self._head.done():
            self._head.set_result(answer)

    def on_body(self, data: bytes) -> None:
        if self._answer is None or self._surplus:
            return
        self._moved = True
        self._chunks += 1
        if self._answer.bodiless:
            self._surplus = True
        else:
            self._answer.feed(data)

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._surplus:
            self._until_close = False
            self.deadline = None
            self._answer.end()

    def _speaks_http(self) -> bool:
        """Whether the head behind the interim answers is HTTP's too: to the parser RTSP and ICE are as
        good.
        """
        return (
            b"".join(self._head_pieces)
            .split(b"\r\n\r\n", self._interim)[self._interim]
            .startswith(b"HTTP/1.")
        )

    # --- the end

    def _let_go(self) -> None:
        """Of who holds this object: in a cycle, what came and nobody took would stay until the next full
        collection.
        """
        self._parser = None
        if self._answer is not None:
            self._answer.let_go()

    def _malformed(self, what: str) -> None:
        answer = self._answer
        if answer is not None and answer.complete and answer.status != 101:
            self._surplus = True
        else:
            self._broken(ReceiveError(f"{self.endpoint}: {what}"))
        self.close()

    def _broken(self, error: NetworkError) -> None:
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
            self._head.exception()  # whoever waits gets it; nobody waiting is no fault
        elif self._answer is not None and not self._answer.complete:
            self._answer.fail(error)
