"""The codec over nghttp2 (`ngh2`): eight microseconds a request with TLS, where pure Python takes 100."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ngh2

from bastion.network.http2.codec import (
    CONNECTION_WINDOW,
    MAX_CONTINUATIONS,
    MAX_FRAME,
    MOST_DECODED,
    MOST_FIELDS,
    SHARED_WINDOW,
    TABLE,
    Code,
    ConnectionFault,
    Handler,
    Pair,
    Setting,
)

_ANY = 0x7FFFFFF0  # streams
_SECRET = frozenset((b"authorization", b"cookie"))

_CONFIGURATION = ngh2.Configuration(
    auto_window_update=False,
    max_deflate_dynamic_table_size=TABLE,
    max_send_header_block_length=MOST_DECODED,
    max_continuations=MAX_CONTINUATIONS,
    max_inbound_header_list_size=MOST_DECODED,
    max_inbound_header_count=MOST_FIELDS,
    max_reserved_remote_streams=0,
    # until the peer's first SETTINGS have come: our own side waits for them
    peer_max_concurrent_streams=100,
)


def _response(handler: Handler, event: ngh2.ResponseReceived) -> None:
    handler.head_came(event.stream_id, event.headers, event.end_stream)


def _data(handler: Handler, event: ngh2.DataReceived) -> None:
    handler.data_came(event.stream_id, event.data, event.end_stream)


_CALLS: dict[type, Callable[[Handler, Any], None]] = {
    ngh2.ResponseReceived: _response,
    ngh2.InformationalResponseReceived: lambda handler, event: handler.interim_came(
        event.stream_id, event.headers
    ),
    ngh2.DataReceived: _data,
    ngh2.TrailersReceived: lambda handler, event: handler.trailers_came(event.stream_id, event.headers),
    ngh2.StreamReset: lambda handler, event: handler.reset_came(event.stream_id, event.error_code),
    ngh2.SettingsReceived: lambda handler, event: handler.settings_came(event.settings),
    ngh2.GoAwayReceived: lambda handler, event: handler.going_away(event.last_stream_id, event.error_code),
}


def _pair(setting: int, value: int) -> bytes:
    return setting.to_bytes(2, "big") + value.to_bytes(4, "big")


class NgCodec:
    """Implements `codec.Codec`."""

    __slots__ = ("_connection", "_first", "_handler", "_telling", "over")

    def __init__(self, handler: Handler, *, client: bool, settings: Mapping[int, int]) -> None:
        self._handler = handler
        self._telling = False
        self.over = False
        role = ngh2.Role.CLIENT if client else ngh2.Role.SERVER
        self._connection = ngh2.Connection(role, _CONFIGURATION)
        self._first = b""
        if client:
            self._connection.initiate_connection(settings)
        else:
            self._announce(settings)
        self._connection.set_local_window_size(SHARED_WINDOW if client else CONNECTION_WINDOW)

    def _announce(self, settings: Mapping[int, int]) -> None:
        """nghttp2 ends the whole connection where a client opens one stream too many; RFC 9113, 5.1.2 has
        that stream refused, which is for us to do.  So the client is told another limit than the library.
        """
        streams = Setting.MAX_CONCURRENT_STREAMS
        self._connection.initiate_connection({**settings, streams: _ANY})
        frame = self._connection.data_to_send()
        self._first = frame.replace(_pair(streams, _ANY), _pair(streams, settings[streams]), 1)

    def receive(self, data: bytes) -> None:
        try:
            self._connection.receive_data(data)
        except ngh2.DenialOfServiceError as error:
            raise ConnectionFault(str(error), Code.ENHANCE_YOUR_CALM) from error
        except ngh2.ConnectionStateError as error:
            self.over = True
            raise ConnectionFault(str(error)) from error
        except ngh2.NGH2Error as error:
            raise ConnectionFault(str(error), Code.PROTOCOL_ERROR) from error
        finally:
            self._tell()

    def outgoing(self) -> bytes:
        connection = self._connection
        try:
            data = connection.data_to_send(MAX_FRAME)
        except ngh2.NGH2Error:
            self.over = True
            return b""
        if data:
            self._tell()
        if len(data) < MAX_FRAME and not connection.want_read and not connection.want_write:
            self.over = True
        if self._first:
            data, self._first = self._first + data, b""
        return data

    def _tell(self) -> None:
        """What is told may be answered at once, which has further events."""
        if self._telling:
            return
        self._telling = True
        handler = self._handler
        event: Any
        try:
            while events := self._connection.events():
                for event in events:
                    kind = type(event)
                    if kind is ngh2.RequestReceived:  # of these two there are most
                        handler.head_came(event.stream_id, event.headers, event.end_stream)
                    elif kind is ngh2.StreamClosed:
                        handler.closed(event.stream_id, event.error_code)
                    elif kind in _CALLS:
                        _CALLS[kind](handler, event)
        finally:
            self._telling = False

    def open(self, fields: Sequence[Pair], *, ended: bool) -> int:
        # RFC 7541, 7.1.3: what is secret is in no table
        said = [ngh2.NeverIndexedHeader(*pair) if pair[0] in _SECRET else pair for pair in fields]
        try:
            return self._connection.send_request(said, end_stream=ended)
        except ngh2.NGH2Error as error:
            raise ConnectionFault(str(error)) from error

    def send_head(self, stream: int, fields: Sequence[Pair], *, ended: bool = False) -> None:
        try:
            self._connection.send_response(stream, fields, end_stream=ended)
        except ngh2.NGH2Error:
            pass

    def send_interim(self, stream: int, fields: Sequence[Pair]) -> None:
        try:
            self._connection.send_informational_response(stream, fields)
        except ngh2.NGH2Error:
            pass

    def send_data(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        try:
            self._connection.send_data(stream, data, end_stream=ended)
        except ngh2.NGH2Error:
            pass

    def send_trailers(self, stream: int, fields: Sequence[Pair]) -> None:
        try:
            self._connection.send_trailers(stream, fields)
        except ngh2.NGH2Error:
            pass

    def reset(self, stream: int, code: Code) -> None:
        try:
            self._connection.reset_stream(stream, code)
        except ngh2.NGH2Error:
            pass

    def consumed(self, stream: int, count: int) -> None:
        try:
            self._connection.acknowledge_received_data(count, stream)
        except ngh2.NGH2Error:
            pass

    def unsent(self, stream: int) -> int:
        try:
            return self._connection.queued_body_size(stream)
        except ngh2.NGH2Error:
            return 0

    @property
    def unsent_in_all(self) -> int:
        return self._connection.queued_body_size()

    def announce_end(self) -> None:
        try:
            self._connection.send_shutdown_notice()
        except ngh2.NGH2Error:
            pass

    def end(self, code: Code = Code.NO_ERROR) -> None:
        try:
            if code is Code.NO_ERROR:
                self._connection.send_goaway(code)
            else:
                self._connection.terminate_connection(code)
        except ngh2.NGH2Error:
            pass
