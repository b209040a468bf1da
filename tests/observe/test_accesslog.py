"""Is there one line per exchange, whole and in order, with nothing in it that is secret, and does a slow reader stall nobody?"""

import asyncio
import contextlib
import fcntl
import json
import os
import struct
import termios

import msgspec
import pytest

from bastion.kube.requestinfo import request_info
from bastion.kube.user import User
from bastion.observe.accesslog import HELD_BYTES, AccessLog, access_line
from bastion.observe.record import Record
from tests.fakes import run, until

TARGET = b"/api/v1/namespaces/ns/services/https:web:443/proxy/a%2Fb?access_token=hunter2"
JANE, JOE = User("jane", groups=("secret-group",)), User("joe")


def record(path=b"/x", **values):
    one = Record("GET", path, "192.0.2.1", "id")
    for name, value in values.items():
        setattr(one, name, value)
    return one


def line(one):
    return json.loads(msgspec.json.encode(access_line(one)))


def proxied(**values):
    return record(TARGET.partition(b"?")[0], info=request_info("GET", TARGET), **values)


def test_a_line_says_who_did_what_where_and_how_it_ended():
    one = proxied(
        user=JANE, acting_as=JANE, endpoint="10.0.0.1:8443", code=200, bytes_in=3, bytes_out=4, stages={"upstream": 0.5}, seconds=0.6
    )
    said = line(one)
    assert said.pop("time") > 1.7e9
    assert said == {
        "msg": "access",
        "auditID": "id",
        "client": "192.0.2.1",
        "method": "GET",
        "path": "/api/v1/namespaces/ns/services/https:web:443/proxy/a%2Fb",
        "code": 200,
        "seconds": 0.6,
        "bytesIn": 3,
        "bytesOut": 4,
        "stages": {"upstream": 0.5},
        "user": "jane",
        "verb": "get",
        "resource": "services",
        "namespace": "ns",
        "name": "https:web:443",
        "endpoint": "10.0.0.1:8443",
    }


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"user": JANE, "acting_as": JOE}, {"user": "jane", "actingAs": "joe"}),
        ({"user": JANE}, {"user": "jane"}),
        ({"error": "Forbidden: no", "code": 403}, {"error": "Forbidden: no", "code": 403}),
        ({"outcome": "client-left"}, {"outcome": "client-left", "code": 0}),
    ],
    ids=["I-4-impersonated", "user", "error", "outcome"],
)
def test_what_happened_is_said(values, said):
    assert line(proxied(**values)).items() >= said.items()


def test_what_did_not_happen_is_left_out():
    absent = {"user", "actingAs", "verb", "resource", "namespace", "name", "endpoint", "error", "outcome"}
    assert not absent & line(record()).keys()


def test_a_path_of_any_bytes_makes_a_line():
    assert line(record(b'/\xff\xc3"\n\\\x00'))["path"] == '/\ufffd\ufffd"\n\\\x00'


def test_neither_query_nor_groups_are_written():
    text = json.dumps(line(proxied(user=JANE)))
    assert "hunter2" not in text
    assert "secret-group" not in text


# --- where the lines go


@contextlib.contextmanager
def pipe():
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        for end in (read, write):
            with contextlib.suppress(OSError):
                os.close(end)


def read_all(read, write):
    """Everything there is, up to the end (the writing end is closed here)."""
    os.close(write)
    with open(read, "rb", closefd=False) as file:
        return file.read()


def test_lines_come_whole_and_in_order():
    async def main(read, write):
        async with AccessLog(write) as log:
            for i in range(100):
                log.observe(record(b"/%d" % i))
            assert log.dropped == 0

    with pipe() as (read, write):
        run(main(read, write))
        lines = read_all(read, write).split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["path"] for line in lines] == [f"/{i}" for i in range(100)]


def test_lines_come_while_it_runs():
    async def main(read, write):
        async with AccessLog(write) as log:
            log.observe(record(b"/first"))
            first = await asyncio.to_thread(os.read, read, 65536)
            log.observe(record(b"/second"))
            second = await asyncio.to_thread(os.read, read, 65536)
            return [json.loads(data)["path"] for data in (first, second)]

    with pipe() as (read, write):
        assert run(main(read, write)) == ["/first", "/second"]


def test_without_a_line_nothing_is_written():
    async def main(write):
        async with AccessLog(write):
            pass

    with pipe() as (read, write):
        run(main(write))
        assert read_all(read, write) == b""


def full(descriptor):
    """Whether a pipe that nobody reads takes no more: its writer waits."""
    (held,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))
    return held == fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)


def lines_of(descriptor, count):
    """So many lines, read in small pieces."""
    pieces = []
    while count > 0:
        pieces.append(os.read(descriptor, 4000))
        count -= pieces[-1].count(b"\n")
    return b"".join(pieces)


LONG = b"/" + b"x" * 60000


def test_a_reader_who_does_not_read_stalls_nobody_and_what_is_dropped_is_counted():
    async def main(read, write):
        async with AccessLog(write) as log:
            log.observe(record(LONG + b"0"))
            log.observe(record(LONG + b"1"))
            await until(lambda: full(read))
            observed = 2
            while not log.dropped:
                log.observe(record(LONG + b"%d" % observed))
                observed += 1
            assert HELD_BYTES // 60500 <= observed <= HELD_BYTES // 60000 + 4
            log.observe(record())
            assert log.dropped == 2
            return observed - 1, await asyncio.to_thread(lines_of, read, observed - 1)

    with pipe() as (read, write):
        kept, data = run(main(read, write))
    paths = [json.loads(line)["path"] for line in data.splitlines()]
    assert [path.removeprefix(LONG.decode()) for path in paths] == [str(i) for i in range(kept)]


def test_lines_that_wait_at_the_end_do_not_mix_with_those_under_way():
    async def main(read, write):
        log = AccessLog(write)
        await log.__aenter__()
        for i in range(8):
            log.observe(record(LONG + b"%d" % i))
        await until(lambda: full(read))
        for i in range(8, 16):
            log.observe(record(LONG + b"%d" % i))
        ending = asyncio.create_task(log.__aexit__(None, None, None))
        await asyncio.sleep(0.05)
        reading = asyncio.create_task(asyncio.to_thread(lines_of, read, 16))
        await ending
        return await reading

    with pipe() as (read, write):
        data = run(main(read, write))
    paths = [json.loads(line)["path"] for line in data.splitlines()]
    assert [path.removeprefix(LONG.decode()) for path in paths] == [str(i) for i in range(16)]


def test_a_reader_who_has_gone_ends_nothing():
    async def main(read, write):
        async with AccessLog(write) as log:
            os.close(read)
            for _ in range(3):
                log.observe(record())

    with pipe() as (read, write):
        run(main(read, write))


def test_a_descriptor_that_does_not_block_is_written_to_the_end():
    async def main(read, write):
        os.set_blocking(write, False)
        async with AccessLog(write) as log:
            for i in range(4):
                log.observe(record(LONG + b"%d" % i))
            await until(lambda: full(read))
            reading = asyncio.create_task(asyncio.to_thread(lines_of, read, 4))
        return await reading

    with pipe() as (read, write):
        assert len(run(main(read, write)).splitlines()) == 4
