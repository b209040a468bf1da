"""Both libraries behind the same interface: what is right passes, what is wrong never reaches an exchange."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest

from bastion.network.http2.codec import Code, Codec, NewCodec, Pair, Setting
from bastion.network.http2.nghttp import NgCodec
from bastion.network.http2.purepython import PureCodec
from bastion.proxy.exchange import Exchange
from tests.fakes import run, settle
from tests.http2 import frames as f
from tests.http2.conversation import conversation, echo, never, pour
from tests.http2.test_connection import BROKEN, GET

CODECS: dict[str, NewCodec] = {"nghttp2": NgCodec, "h2": PureCodec}
both = pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))


@both
def test_requests_bodies_and_trailers(codec: NewCodec) -> None:
    async def main() -> None:
        one = await conversation(
            echo,
            f.headers(1, f.request("/a")),
            f.headers(3, f.request("/b", "POST"), end=False),
            f.data(3, b"hel"),
            f.data(3, b"lo"),
            f.headers(3, [("x-t", "1")]),
            f.headers(5, f.request("/c")),
            codec=codec,
        )
        assert [(one.answer(s).status, one.answer(s).body, one.answer(s).end) for s in (1, 3, 5)] == [
            (200, b"/a", "whole"),
            (200, b"hello", "whole"),
            (200, b"/c", "whole"),
        ]
        assert one.answer(3).trailers == {"x-t": "1"}
        assert not one.ended

    run(main())


@both
def test_windows_are_kept(codec: NewCodec) -> None:
    async def main() -> None:
        one = await conversation(pour(262144), GET, codec=codec)
        assert len(one.answer().body) == 65535
        for _ in range(8):
            await one.say(f.window(0, 32768), f.window(1, 32768))
        assert (len(one.answer().body), one.answer().end) == (262144, "whole")

    run(main())


@both
def test_cancels_and_breaks(codec: NewCodec) -> None:
    async def broken(exchange: Exchange) -> None:
        if exchange.target == b"/hang":
            await never(exchange)
        exchange.start(200, b"", [], 100)
        exchange.write(b"part")
        exchange.abort()

    async def main() -> None:
        one = await conversation(broken, GET, f.headers(3, f.request("/hang")), codec=codec)
        assert (one.answer().body, one.answer().reset) == (b"part", "INTERNAL_ERROR")
        await one.say(f.reset(3))
        assert one.app.left == [b"/hang"]
        assert not one.ended
        one.wire.close()
        await settle()
        assert not one.state.tasks

    run(main())


@both
@pytest.mark.parametrize(
    "fields",
    [
        f.request("/a", "GET", ("X-Upper", "1")),
        f.request("/a", "GET", ("connection", "close")),
        f.request("/a", "GET", ("te", "gzip")),
        f.request("/a#b"),
        f.request("/a b"),
        f.request("/a", "GET", (":path", "/b")),
        f.request("/a", "GET", ("host", "evil")),
        f.request("/a", "GET", ("x", "a\r\nb: c")),
    ],
    ids=str,
)
def test_what_is_malformed_is_never_served(codec: NewCodec, fields: f.Pairs) -> None:
    async def main() -> None:
        one = await conversation(echo, f.headers(1, fields), codec=codec)
        assert not one.app.served
        assert one.answer().status == 400 or one.answer().reset or one.ended

    run(main())


@both
@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_the_connection_ends_it(codec: NewCodec, what: str) -> None:
    async def main() -> None:
        one = await conversation(never, BROKEN[what], codec=codec)
        await settle()
        assert one.ended
        assert not one.state.tasks

    run(main())


@both
def test_a_server_that_stops_lets_streams_end(codec: NewCodec) -> None:
    async def main() -> None:
        one = await conversation(pour(131072), GET, codec=codec)
        one.protocol.shut_down()
        await settle()
        assert one.peer.goaways == [0]
        await one.say(f.window(0, 131072), f.window(1, 131072))
        assert one.answer().end == "whole"

    run(main())


class Log:
    """A handler that writes down what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def head_came(self, stream: int, fields: Sequence[Pair], ended: bool) -> None:
        self.told.append(("head", stream, fields[0], ended))

    def interim_came(self, stream: int, fields: Sequence[Pair]) -> None:
        self.told.append(("interim", stream))

    def data_came(self, stream: int, data: bytes, ended: bool) -> None:
        if data or ended:
            self.told.append(("data", stream, data, ended))

    def trailers_came(self, stream: int, fields: Sequence[Pair]) -> None:
        self.told.append(("trailers", stream, list(fields)))

    def reset_came(self, stream: int, code: int) -> None: ...

    def closed(self, stream: int, code: int) -> None:
        self.told.append(("closed", stream, code))

    def settings_came(self, settings: Mapping[int, int]) -> None: ...

    def going_away(self, last: int, code: int) -> None: ...


@pytest.mark.parametrize("client", CODECS.values(), ids=[f"client {name}" for name in CODECS])
@pytest.mark.parametrize("server", CODECS.values(), ids=[f"server {name}" for name in CODECS])
def test_each_speaks_to_the_other(client: NewCodec, server: NewCodec) -> None:
    asked, answered = Log(), Log()
    settings: dict[int, int] = {Setting.INITIAL_WINDOW_SIZE: 65536}
    ours = client(answered, client=True, settings={**settings, Setting.ENABLE_PUSH: 0})
    theirs = server(asked, client=False, settings={**settings, Setting.MAX_CONCURRENT_STREAMS: 100})

    def exchange() -> None:
        def moved(source: Codec, sink: Codec) -> bool:
            data = source.outgoing()
            if data:
                sink.receive(data)
            return bool(data)

        while moved(ours, theirs) | moved(theirs, ours):
            pass

    exchange()
    head = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/")]
    stream = ours.open(head, ended=False)
    ours.send_data(stream, b"hello")
    ours.send_trailers(stream, [(b"x-sum", b"5")])
    exchange()
    theirs.send_interim(stream, [(b":status", b"103")])
    theirs.send_head(stream, [(b":status", b"200")])
    theirs.send_data(stream, b"back")
    theirs.send_trailers(stream, [(b"grpc-status", b"0")])
    exchange()
    other = ours.open(head, ended=True)
    exchange()
    theirs.reset(other, Code.REFUSED_STREAM)
    exchange()
    assert [one for one in asked.told if one[0] != "closed"] == [
        ("head", stream, (b":method", b"POST"), False),
        ("data", stream, b"hello", False),
        ("trailers", stream, [(b"x-sum", b"5")]),
        ("head", other, (b":method", b"POST"), True),
    ]
    assert answered.told == [
        ("interim", stream),
        ("head", stream, (b":status", b"200"), False),
        ("data", stream, b"back", False),
        ("trailers", stream, [(b"grpc-status", b"0")]),
        ("closed", stream, 0),
        ("closed", other, Code.REFUSED_STREAM),
    ]


def test_no_library_is_loaded_before_there_is_a_connection() -> None:
    """Four megabytes."""
    program = "import bastion.cli.serving, sys; print({'ngh2', 'h2', 'hpack'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr
