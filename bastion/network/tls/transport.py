"""What an application writes to, reads from and closes, where TLS is spoken below it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, Protocol

from bastion.network.sockets import CutTransport


class Layer(Protocol):
    """What speaks TLS; `plain` is the transport below it, None once the connection is gone."""

    @property
    def plain(self) -> asyncio.Transport | None: ...

    @property
    def tls(self) -> ssl.SSLObject: ...

    @property
    def application(self) -> asyncio.Protocol: ...

    @property
    def closing(self) -> bool: ...

    def set_application(self, application: asyncio.Protocol) -> None: ...

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def write_eof(self) -> None: ...

    def close(self, *, orderly: bool = True) -> None: ...

    def abort(self) -> None: ...


class TLSTransport(CutTransport):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self._layer = layer
        self.write = layer.write  # type: ignore[method-assign]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._layer.tls
        plain = self._layer.plain
        return plain.get_extra_info(name, default) if plain is not None else default

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for data in list_of_data:
            self._layer.write(data)

    def write_eof(self) -> None:
        self._layer.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self._layer.close()

    def cut(self) -> None:
        self._layer.close(orderly=False)

    def abort(self) -> None:
        self._layer.abort()

    def is_closing(self) -> bool:
        return self._layer.closing

    def pause_reading(self) -> None:
        if self._layer.plain is not None:
            self._layer.plain.pause_reading()

    def resume_reading(self) -> None:
        if self._layer.plain is not None:
            self._layer.plain.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._layer.plain is not None:
            self._layer.plain.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._layer.plain.get_write_buffer_size() if self._layer.plain is not None else 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._layer.set_application(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._layer.application
