"""The codec over `h2`, in pure Python, where there is no wheel of nghttp2: ten times the cost.

Its mistakes are its own: more of what a peer does wrong ends the whole connection, and a peer's GOAWAY costs
the streams that are open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from bastion.network.http2.codec import (
    CONNECTION_WINDOW,
    MAX_FRAME,
    MOST_DECODED,
    SHARED_WINDOW,
    Code,
    ConnectionFault,
    Handler,
    Pair,
    goaway,
)

_FIRST_WINDOW = 65535  # RFC 9113, 6.9.2
_ANY = 0x7FFFFFFF
_FAILURES = (h2.exceptions.H2Error, KeyError, ValueError)


class _Outgoing:
    """What one stream has to send; `ends`: its last piece is here, behind it `trailers`."""

    __slots__ = ("ends", "pieces", "size", "trailers")

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.size = 0
        self.ends = False
        self.trailers: Sequence[Pair] = ()


class PureCodec:
    """Implements `codec.Codec`."""

    def __init__(self, handler: Handler, *, client: bool, settings: Mapping[int, int]) -> None:
        self._handler = handler
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=client, header_encoding=None)
        )
        self._connection.local_settings = h2.settings.Settings(client=client, initial_values=dict(settings))  # type: ignore[arg-type]
        self._connection.initiate_connection()
        self._connection.decoder.max_header_list_size = MOST_DECODED
        window = SHARED_WINDOW if client else CONNECTION_WINDOW
        self._connection.increment_flow_control_window(window - _FIRST_WINDOW)
        self._out = bytearray()
        self._queues: dict[int, _Outgoing] = {}
        self._sides: dict[int, int] = {}  # sides of a stream that have not ended
        self._last = _ANY
        self._fatal = False

    # --- in

    def receive(self, data: bytes) -> None:
        try:
            events = self._connection.receive_data(data)
        except h2.exceptions.DenialOfServiceError as error:
            raise self._fault(error, Code.ENHANCE_YOUR_CALM) from error
        except _FAILURES as error:
            raise self._fault(error, None) from error
        for event in events:
            told = _CALLS.get(type(event))
            if told is not None:
                told(self, event)

    def _fault(self, error: Exception, code: Code | None) -> ConnectionFault:
        """The library has written a GOAWAY."""
        self._fatal = True
        self._out += self._connection.data_to_send()
        return ConnectionFault(str(error), code)

    def _head(self, event: Any) -> None:
        stream = event.stream_id
        if stream > self._last:
            self._connection.reset_stream(stream, Code.REFUSED_STREAM)
            return
        self._sides.setdefault(stream, 2)
        fields = tuple((bytes(name), bytes(value)) for name, value in event.headers)
        ended = event.stream_ended is not None
        self._handler.head_came(stream, fields, ended)
        if ended:
            self._side_ended(stream)

    def _interim(self, event: Any) -> None:
        self._handler.interim_came(event.stream_id, [(bytes(n), bytes(v)) for n, v in event.headers])

    def _data(self, event: Any) -> None:
        padding = event.flow_controlled_length - len(event.data)
        if padding:
            self.consumed(event.stream_id, padding)
        ended = event.stream_ended is not None
        self._handler.data_came(event.stream_id, event.data, ended)
        if ended:
            self._side_ended(event.stream_id)

    def _trailers(self, event: Any) -> None:
        self._handler.trailers_came(event.stream_id, [(bytes(n), bytes(v)) for n, v in event.headers])
        self._side_ended(event.stream_id)

    def _reset(self, event: Any) -> None:
        if event.remote_reset:
            self._handler.reset_came(event.stream_id, int(event.error_code))
        self._gone(event.stream_id, int(event.error_code))

    def _settings(self, event: Any) -> None:
        self._handler.settings_came({int(k): c.new_value for k, c in event.changed_settings.items()})

    def _going_away(self, event: Any) -> None:
        last = event.last_stream_id or 0
        self._handler.going_away(last, int(event.error_code))
        for stream in list(self._sides):
            self._gone(stream, Code.REFUSED_STREAM if stream > last else Code.INTERNAL_ERROR)
        self._fatal = True

    def _side_ended(self, stream: int) -> None:
        left = self._sides.get(stream, 0) - 1
        if left == 0:
            self._gone(stream, Code.NO_ERROR)
        elif left > 0:
            self._sides[stream] = left

    def _gone(self, stream: int, code: int) -> None:
        self._queues.pop(stream, None)
        if self._sides.pop(stream, None) is not None:
            self._handler.closed(stream, code)

    # --- out

    def outgoing(self) -> bytes:
        before = -1
        while before < len(self._out) < MAX_FRAME:
            before = len(self._out)
            if not self._fatal:
                self._pump()
            self._out += self._connection.data_to_send()
        piece = bytes(self._out[:MAX_FRAME])
        del self._out[:MAX_FRAME]
        return piece

    @property
    def over(self) -> bool:
        return not self._out and (self._fatal or (self._last != _ANY and not self._sides))

    def _pump(self) -> None:
        """A frame of each stream that has something to send, as far as its windows go."""
        for stream, queue in list(self._queues.items()):
            try:
                self._send_some(stream, queue)
            except _FAILURES:
                self._gone(stream, Code.STREAM_CLOSED)

    def _send_some(self, stream: int, queue: _Outgoing) -> None:
        connection = self._connection
        while queue.pieces:
            room = min(connection.local_flow_control_window(stream), MAX_FRAME)
            if room <= 0 and queue.pieces[0]:
                return
            piece = queue.pieces.popleft()
            if len(piece) > room:
                queue.pieces.appendleft(piece[room:])
                piece = piece[:room]
            queue.size -= len(piece)
            last = queue.ends and not queue.pieces and not queue.trailers
            connection.send_data(stream, piece, end_stream=last)
        if queue.trailers:
            connection.send_headers(stream, queue.trailers, end_stream=True)
        if queue.ends:
            self._queues.pop(stream, None)
            self._side_ended(stream)

    def open(self, fields: Sequence[Pair], *, ended: bool) -> int:
        try:
            stream: int = self._connection.get_next_available_stream_id()
            self._connection.send_headers(stream, fields, end_stream=ended)
        except _FAILURES as error:
            raise ConnectionFault(str(error)) from error
        self._sides[stream] = 1 if ended else 2
        return stream

    def send_head(self, stream: int, fields: Sequence[Pair], *, ended: bool = False) -> None:
        if self._tried(lambda: self._connection.send_headers(stream, fields, end_stream=ended)) and ended:
            self._side_ended(stream)

    def send_interim(self, stream: int, fields: Sequence[Pair]) -> None:
        self._tried(lambda: self._connection.send_headers(stream, fields))

    def send_data(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        if stream in self._sides and not self._fatal:
            queue = self._queues.setdefault(stream, _Outgoing())
            queue.pieces.append(data)
            queue.size += len(data)
            queue.ends = queue.ends or ended

    def send_trailers(self, stream: int, fields: Sequence[Pair]) -> None:
        if stream in self._sides and not self._fatal:
            queue = self._queues.setdefault(stream, _Outgoing())
            queue.trailers, queue.ends = fields, True

    def reset(self, stream: int, code: Code) -> None:
        self._tried(lambda: self._connection.reset_stream(stream, h2.errors.ErrorCodes(code)))
        self._gone(stream, code)

    def consumed(self, stream: int, count: int) -> None:
        if count:
            self._tried(lambda: self._connection.acknowledge_received_data(count, stream))

    def unsent(self, stream: int) -> int:
        queue = self._queues.get(stream)
        return queue.size if queue is not None else 0

    @property
    def unsent_in_all(self) -> int:
        return sum(queue.size for queue in self._queues.values())

    def announce_end(self) -> None:
        # the library's own GOAWAY would end the streams that are open
        self._out += self._connection.data_to_send() + goaway(_ANY, Code.NO_ERROR)

    def end(self, code: Code = Code.NO_ERROR) -> None:
        self._last = max(self._sides, default=0)
        self._out += self._connection.data_to_send() + goaway(self._last, code)
        if code is not Code.NO_ERROR:
            self._fatal = True

    def _tried(self, send: Callable[[], object]) -> bool:
        """False where the stream is gone."""
        if self._fatal:
            return False
        try:
            send()
        except _FAILURES:
            return False
        return True


_CALLS: dict[type, Callable[[PureCodec, Any], None]] = {
    h2.events.RequestReceived: PureCodec._head,
    h2.events.ResponseReceived: PureCodec._head,
    h2.events.InformationalResponseReceived: PureCodec._interim,
    h2.events.DataReceived: PureCodec._data,
    h2.events.TrailersReceived: PureCodec._trailers,
    h2.events.StreamReset: PureCodec._reset,
    h2.events.RemoteSettingsChanged: PureCodec._settings,
    h2.events.ConnectionTerminated: PureCodec._going_away,
}
