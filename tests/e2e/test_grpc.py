"""gRPC with its own client and server, through a bastion: calls of all kinds, and what goes wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest

from tests.e2e.harness import ALICE, BOB, NETWORK, Bastion, Cluster, serving
from tests.standalone.objects import pod, service

PORT = 50051
ADDRESS = f"{NETWORK}.247"
HOST = "greeter--{port}--default.svc.apps.test"
METHOD = "/greeter.Greeter/{name}"


class Greeter(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Bytes in, bytes out; `cancelled` is set when a call of `Watch` ends."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def service(self, details: Any) -> Any:
        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Count": grpc.unary_stream_rpc_method_handler(self._count),
            "Sum": grpc.stream_unary_rpc_method_handler(self._sum),
            "Chat": grpc.stream_stream_rpc_method_handler(self._chat),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "Left": grpc.unary_unary_rpc_method_handler(lambda _, context: b"%d" % context.time_remaining()),
        }
        return kinds.get(details.method.rpartition("/")[2])

    def _unary(self, request: bytes, context: Any) -> bytes:
        said = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-head", "1"),))
        context.set_trailing_metadata((("x-trail-bin", b"\0\1"),))
        return b"hello " + request + b" " + repr(sorted(said.keys() & {"authorization", "x-app"})).encode()

    def _count(self, request: bytes, context: Any) -> Iterator[bytes]:
        for number in range(int(request)):
            yield b"%d" % number

    def _sum(self, requests: Iterator[bytes], context: Any) -> bytes:
        return b"%d" % sum(map(int, requests))

    def _chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield b"<" + request + b">"

    def _watch(self, request: bytes, context: Any) -> Iterator[bytes]:
        context.add_callback(self.cancelled.set)
        yield b"first"
        self.cancelled.wait(30)

    def _fail(self, request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "nicht so: ü")
        return b""


@pytest.fixture(scope="module")
def greeter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bastion, Greeter]]:
    cluster = Cluster(
        tmp_path_factory.mktemp("cluster"),
        pod("greeter", ip=ADDRESS, labels={"app": "greeter"}, ports=[("grpc", PORT)]),
        service(
            "greeter",
            selector={"app": "greeter"},
            ports=[{"name": "grpc", "port": 9090, "targetPort": "grpc"}, {"name": "grpc-off", "port": 9091}],
        ),
    )
    handler = Greeter()
    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(handler,))
    server.add_insecure_port(f"{ADDRESS}:{PORT}")
    server.start()
    names = ("--proxy-host-suffix", "apps.test", "--public-url", "https://bastion.test")
    with serving(cluster, tmp_path_factory.mktemp("bastion"), *names) as bastion:
        yield bastion, handler
    server.stop(None)


def channel(bastion: Bastion, host: str = HOST.format(port=9090)) -> Any:
    options = (("grpc.default_authority", host), ("grpc.ssl_target_name_override", "localhost"))
    trust = grpc.ssl_channel_credentials(bastion.cluster.ca.read_bytes())
    return grpc.secure_channel(f"127.0.0.1:{bastion.port}", trust, options)


def as_user(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


def test_calls_of_all_kinds(greeter: tuple[Bastion, Greeter]) -> None:
    with channel(greeter[0]) as open_channel:
        metadata = (*as_user(ALICE), ("x-app", "1"))
        unary = open_channel.unary_unary(METHOD.format(name="Unary"))
        reply, call = unary.with_call(b"you", metadata=metadata, timeout=20)
        assert reply == b"hello you ['x-app']"
        assert ("x-head", "1") in call.initial_metadata()
        assert ("x-trail-bin", b"\0\1") in call.trailing_metadata()

        count = open_channel.unary_stream(METHOD.format(name="Count"))
        assert list(count(b"300", metadata=metadata, timeout=20)) == [b"%d" % n for n in range(300)]

        total = open_channel.stream_unary(METHOD.format(name="Sum"))
        assert total((b"%d" % n for n in range(100)), metadata=metadata, timeout=20) == b"4950"

        chat = open_channel.stream_stream(METHOD.format(name="Chat"))
        said: list[bytes] = []
        turn = threading.Semaphore(1)

        def ask() -> Iterator[bytes]:
            for number in range(20):  # the next only once the last was answered
                assert turn.acquire(timeout=20)
                yield b"%d" % number

        for reply in chat(ask(), metadata=metadata, timeout=20):
            said.append(reply)
            turn.release()
        assert said == [b"<%d>" % n for n in range(20)]


def test_large_messages_and_many_calls_at_once(greeter: tuple[Bastion, Greeter]) -> None:
    with channel(greeter[0]) as open_channel:
        chat = open_channel.stream_stream(METHOD.format(name="Chat"))
        big = bytes(3 << 20)
        assert [len(reply) for reply in chat(iter([big, big]), metadata=as_user(ALICE), timeout=30)] == [
            len(big) + 2
        ] * 2
        unary = open_channel.unary_unary(METHOD.format(name="Unary"))
        calls = [unary.future(b"%d" % n, metadata=as_user(ALICE), timeout=30) for n in range(150)]
        assert all(call.result().startswith(b"hello %d" % n) for n, call in enumerate(calls))


def test_an_error_of_the_server_comes_as_it_is(greeter: tuple[Bastion, Greeter]) -> None:
    with channel(greeter[0]) as open_channel, pytest.raises(grpc.RpcError) as raised:
        open_channel.unary_unary(METHOD.format(name="Fail"))(b"", metadata=as_user(ALICE), timeout=20)
    assert (raised.value.code(), raised.value.details()) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "nicht so: ü",
    )


def test_a_deadline_is_told_to_the_server(greeter: tuple[Bastion, Greeter]) -> None:
    with channel(greeter[0]) as open_channel:
        left = open_channel.unary_unary(METHOD.format(name="Left"))
        assert 50 <= int(left(b"", metadata=as_user(ALICE), timeout=60)) <= 60
        watch = open_channel.unary_stream(METHOD.format(name="Watch"))
        with pytest.raises(grpc.RpcError) as raised:
            list(watch(b"", metadata=as_user(ALICE), timeout=0.5))
        assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_cancel_reaches_the_server(greeter: tuple[Bastion, Greeter]) -> None:
    bastion, handler = greeter
    handler.cancelled.clear()
    with channel(bastion) as open_channel:
        call = open_channel.unary_stream(METHOD.format(name="Watch"))(b"", metadata=as_user(ALICE))
        assert next(call) == b"first"
        call.cancel()
        assert handler.cancelled.wait(5)


@pytest.mark.parametrize(
    ("token", "host", "code", "words"),
    [
        ("", HOST.format(port=9090), "UNAUTHENTICATED", "Unauthorized"),
        ("nonsense", HOST.format(port=9090), "UNAUTHENTICATED", "Unauthorized"),
        (BOB, HOST.format(port=9090), "PERMISSION_DENIED", 'create resource "services/proxy"'),
        (ALICE, "nothing--default.svc.apps.test", "NOT_FOUND", "nothing"),
        (ALICE, HOST.format(port=9091), "UNAVAILABLE", ""),
        (ALICE, "localhost", "NOT_FOUND", ".svc.<suffix>"),
    ],
)
def test_what_is_refused_is_told_in_grpcs_words(
    greeter: tuple[Bastion, Greeter], token: str, host: str, code: str, words: str
) -> None:
    with channel(greeter[0], host) as open_channel, pytest.raises(grpc.RpcError) as raised:
        open_channel.unary_unary(METHOD.format(name="Unary"))(b"", metadata=as_user(token), timeout=20)
    assert raised.value.code().name == code
    assert words in raised.value.details()


def test_the_record_has_the_status_that_everybody_else_would_have(greeter: tuple[Bastion, Greeter]) -> None:
    bastion, _ = greeter
    with channel(bastion) as open_channel, pytest.raises(grpc.RpcError) as raised:
        open_channel.unary_unary(METHOD.format(name="Unary"))(b"", metadata=as_user(BOB), timeout=20)
    audit_id = dict(raised.value.trailing_metadata())["audit-id"]
    assert bastion.line(audit_id)["code"] == 403


def test_streams_that_rest_are_kept(greeter: tuple[Bastion, Greeter]) -> None:
    """Neither side says a thing for a while."""
    with channel(greeter[0]) as open_channel:
        chat = open_channel.stream_stream(METHOD.format(name="Chat"))

        def ask() -> Iterator[bytes]:
            yield b"a"
            time.sleep(1.5)
            yield b"b"

        assert list(chat(ask(), metadata=as_user(ALICE), timeout=20)) == [b"<a>", b"<b>"]
