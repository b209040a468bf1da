"""Tracing, where it is on."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bastion.message.tracecontext import Trace, begin
from bastion.observe.observer import Asked
from bastion.proxy.origin import Origins
from bastion.runtime.errors import StartError
from bastion.settings.tracing import Tracing

if TYPE_CHECKING:
    from bastion.observe.otlp import Spans


@dataclass(frozen=True, slots=True)
class Traces:
    """Begins the trace of each exchange: a client's own counts only from a proxy that is trusted."""

    ratio: float
    origins: Origins

    def __call__(self, exchange: Asked) -> Trace:
        return begin(
            exchange.fields,
            trusted=self.origins.trusts(exchange.client),
            ratio=self.ratio,
            random_bytes=secrets.token_bytes,
            began=time.time_ns(),
        )


def open_spans(settings: Tracing, stack: AsyncExitStack) -> Spans | None:
    """None where it is off.  Raises StartError."""
    if not settings.endpoint:
        return None
    try:
        from bastion.observe.otlp import Spans
    except ImportError as error:
        raise StartError(
            f"--tracing-endpoint needs the extra otel (pip install 'kube-bastion[otel]'): {error}"
        ) from error
    spans = Spans(settings.endpoint, settings.service)
    stack.push_async_callback(asyncio.to_thread, spans.close)
    return spans
