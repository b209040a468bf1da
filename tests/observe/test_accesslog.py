"""Is there one line per exchange, whole and in order, with nothing in it that is secret, and does a slow
reader stall nobody?
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import resource
import signal
import struct
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bastion.kube.requestinfo import parse_proxied
from bastion.kube.user import User
from bastion.observe.accessline import MAX_LINE, MAX_PATH, MAX_TEXT, access_line
from bastion.observe.accesslog import FOR_ALL, FOR_ONE, HELD_BYTES, AccessLog
from bastion.observe.auditids import new_audit_id
from bastion.observe.record import Record, Repeated
from tests.fakes import run, until

TARGET = b"/api/v1/namespaces/ns/services/https:web:443/proxy/a%2Fb?access_token=hunter2"
JANE, JOE = User("jane", groups=("secret-group",)), User("joe")


OURS = new_audit_id()


def record(path: bytes = b"/x", audit_id: Any = OURS, **values: Any) -> Any:
    one = Record("GET", path, "192.0.2.1", audit_id)
    for name, value in values.items():
        setattr(one, name, value)
    return one


def line(one: Any) -> Any:
    return json.loads(access_line(one))


def proxied(**values: Any) -> Any:
    return record(TARGET.partition(b"?")[0], info=parse_proxied("GET", TARGET), **values)


def test_a_line_says_who_did_what_where_and_how_it_ended() -> None:
    one = proxied(
        user=JANE,
        acting_as=JANE,
        endpoint="10.0.0.1:8443",
        code=200,
        bytes_in=3,
        bytes_out=4,
        stages={"upstream": 0.5},
        seconds=0.6,
    )
    said = line(one)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", said.pop("time"))
    assert said == {
        "msg": "access",
        "auditID": OURS,
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
    ids=["impersonated", "user", "error", "outcome"],
)
def test_what_happened_is_said(values: Any, said: Any) -> None:
    assert line(proxied(**values)).items() >= said.items()


def test_what_did_not_happen_is_left_out() -> None:
    absent = {"user", "actingAs", "verb", "resource", "namespace", "name", "endpoint", "error", "outcome"}
    assert not absent & line(record()).keys()


def test_a_path_of_any_bytes_makes_a_line() -> None:
    assert line(record(b'/\xff\xc3"\n\\\x00'))["path"] == '/\ufffd\ufffd"\n\\\x00'


def test_neither_query_nor_groups_are_written() -> None:
    text = json.dumps(line(proxied(user=JANE)))
    assert "hunter2" not in text
    assert "secret-group" not in text


# --- where the lines go


@contextlib.contextmanager
def pipe() -> Iterator[Any]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        for end in (read, write):
            with contextlib.suppress(OSError):
                os.close(end)


def read_all(read: Any, write: Any) -> Any:
    """Everything there is, up to the end (the writing end is closed here)."""
    os.close(write)
    with open(read, "rb", closefd=False) as file:
        return file.read()


def test_lines_come_whole_and_in_order() -> None:
    async def main(read: Any, write: Any) -> None:
        async with AccessLog(write, access_line) as log:
            for i in range(100):
                log.observe(record(b"/%d" % i))
            assert log.statistics().dropped == 0

    with pipe() as (read, write):
        run(main(read, write))
        lines = read_all(read, write).split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["path"] for line in lines] == [f"/{i}" for i in range(100)]


def test_lines_come_while_it_runs() -> None:
    async def main(read: Any, write: Any) -> Any:
        async with AccessLog(write, access_line) as log:
            log.observe(record(b"/first"))
            first = await asyncio.to_thread(os.read, read, 65536)
            log.observe(record(b"/second"))
            second = await asyncio.to_thread(os.read, read, 65536)
            return [json.loads(data)["path"] for data in (first, second)]

    with pipe() as (read, write):
        assert run(main(read, write)) == ["/first", "/second"]


def test_without_a_line_nothing_is_written() -> None:
    async def main(write: Any) -> None:
        async with AccessLog(write, access_line):
            pass

    with pipe() as (read, write):
        run(main(write))
        assert read_all(read, write) == b""


def full(descriptor: Any) -> Any:
    """Whether a pipe that nobody reads takes no more: its writer waits."""
    (held,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))
    return held == fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)


def lines_of(descriptor: Any, count: Any) -> Any:
    """So many lines, read in small pieces."""
    pieces = []
    while count > 0:
        pieces.append(os.read(descriptor, 4000))
        count -= pieces[-1].count(b"\n")
    return b"".join(pieces)


LONG = b"/" + b"x" * 3500


def flood(log: Any, **values: Any) -> Any:
    """How many lines were taken before one was dropped."""
    dropped, taken = log.statistics().dropped, 0
    while log.statistics().dropped == dropped:
        log.observe(record(LONG + b"%d" % taken, **values))
        taken += 1
    return taken - 1


def test_a_reader_who_does_not_read_stalls_nobody_and_leaves_room_for_whom_is_known() -> None:
    nobodys, anonymous = {}, {"user": User("system:anonymous")}  # type: ignore[var-annotated]

    async def main(read: Any, write: Any) -> Any:
        async with AccessLog(write, access_line) as log:
            early = 40
            for i in range(early):
                log.observe(record(LONG + b"%d" % i))
            await until(lambda: full(read))
            taken = flood(log, **nobodys)
            assert FOR_ALL // 3800 <= taken <= FOR_ALL // 3500 + 1
            assert flood(log, **anonymous) == 0
            mallorys = flood(log, user=User("mallory"))
            assert FOR_ONE // 3800 <= mallorys <= FOR_ONE // 3500 + 1
            log.observe(record(b"/last", user=JANE))
            assert log.statistics().dropped == 3
            others = [flood(log, user=User(f"user{i}")) for i in range(20)]
            assert sum(others) <= (HELD_BYTES - FOR_ALL) // 3500
            assert others[-1] == 0
            kept = early + taken + mallorys + 1 + sum(others)
            return kept, mallorys + early + taken, await asyncio.to_thread(lines_of, read, kept)

    with pipe() as (read, write):
        kept, last, data = run(main(read, write))
    lines = [json.loads(line) for line in data.splitlines()]
    assert len(lines) == kept
    assert (lines[last]["path"], lines[last]["user"]) == ("/last", "jane")


def test_lines_that_wait_at_the_end_do_not_mix_with_those_under_way() -> None:
    async def main(read: Any, write: Any) -> Any:
        log = AccessLog(write, access_line)
        await log.__aenter__()
        for i in range(40):
            log.observe(record(LONG + b"%d" % i))
        await until(lambda: full(read))
        for i in range(40, 80):
            log.observe(record(LONG + b"%d" % i))
        ending = asyncio.create_task(log.__aexit__(None, None, None))
        await asyncio.sleep(0.05)
        reading = asyncio.create_task(asyncio.to_thread(lines_of, read, 80))
        await ending
        return await reading

    with pipe() as (read, write):
        data = run(main(read, write))
    paths = [json.loads(line)["path"] for line in data.splitlines()]
    assert [path.removeprefix(LONG.decode()) for path in paths] == [str(i) for i in range(80)]


async def dropped(log: AccessLog[Record], count: int) -> None:
    await until(lambda: log.statistics().dropped == count)


def test_a_reader_who_has_gone_ends_nothing_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main(read: Any, write: Any) -> None:
        async with AccessLog(write, access_line) as log:
            os.close(read)
            for i in range(1, 4):
                log.observe(record())
                await dropped(log, i)

    with pipe() as (read, write):
        run(main(read, write))


def test_a_descriptor_that_does_not_block_is_written_to_the_end() -> None:
    async def main(read: Any, write: Any) -> Any:
        os.set_blocking(write, False)
        async with AccessLog(write, access_line) as log:
            for i in range(40):
                log.observe(record(LONG + b"%d" % i))
            await until(lambda: full(read))
            reading = asyncio.create_task(asyncio.to_thread(lines_of, read, 40))
        return await reading

    with pipe() as (read, write):
        assert len(run(main(read, write)).splitlines()) == 40


def test_lines_that_a_full_disk_does_not_take_are_counted_and_the_next_is_whole(tmp_path: Path) -> None:
    """A file that may grow to so many bytes, as a disk has so many left: what fits of a write is written."""
    size = len(access_line(record(LONG, seconds=0.1))) + 1
    path, limit = tmp_path / "log", resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    async def main(descriptor: Any) -> Any:
        async with AccessLog(descriptor, access_line) as log:
            for _ in range(10):
                log.observe(record(LONG))
            await until(lambda: log.statistics().dropped)
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            log.observe(record(b"/whole"))
        return log.statistics().dropped

    with path.open("wb") as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 * size + size // 2, limit[1]))
        try:
            dropped = run(main(file.fileno()))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, before)
    *whole, torn, last = path.read_bytes().splitlines()
    assert (len(whole), dropped) == (3, 7)
    assert [json.loads(line)["path"] for line in (*whole, last)] == [LONG.decode()] * 3 + ["/whole"]
    with pytest.raises(ValueError):
        json.loads(torn)


# --- how long a line may be


LONG_ID = "i" * 60000
HUGE = {
    "a path": {"path": b"/" + b"x" * 60000},
    "a path that is no UTF-8": {"path": b"/" + b"\xff" * 60000},
    "a path that JSON escapes": {"path": b"/" + b'"' * 60000},
    "a name": {"path": f"/api/v1/namespaces/ns/pods/{LONG_ID}/proxy/".encode()},
    "a user": {"user": User("u" * 60000), "acting_as": User("a" * 60000)},
    "an error": {"error": "NotFound: " + "e" * 60000},
}


@pytest.mark.parametrize("values", HUGE.values(), ids=HUGE)
def test_a_line_is_of_bounded_length_and_says_that_it_was_cut(values: Any) -> None:
    one = record(**values)
    one.info = parse_proxied("GET", one.path)
    said = access_line(one)
    assert len(said) <= 4 * MAX_LINE
    fields = json.loads(said)
    assert fields["cut"] is True
    assert all(len(fields.get(name, "")) <= MAX_TEXT + 1 for name in ("user", "actingAs", "name", "error"))
    assert len(fields["path"]) <= MAX_PATH + 1
    assert any(isinstance(value, str) and value.endswith("…") for value in fields.values())


def test_a_line_that_is_not_cut_does_not_say_so() -> None:
    assert "cut" not in line(record(b"/" + b"x" * 3000))
    assert line(record(b"/" + b"x" * 3000))["path"] == "/" + "x" * 3000


# --- whose id it is


@pytest.mark.parametrize(
    ("audit_id", "by"),
    [
        pytest.param(OURS, None, id="ours"),
        ("foo-bar-baz", "client"),
        ("3b0c7d2e-0000-4000-8000-000000000000", "client"),
    ],
)
def test_an_id_that_a_client_chose_is_marked(audit_id: Any, by: Any) -> None:
    assert line(record(audit_id=audit_id)).get("audit_id_from") == by


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"code": 404, "bytes_in": 3, "bytes_out": 12345678901},
        {"stages": {}},
        {"stages": {"authentication": 1e-9, "upstream": 1234.5}, "seconds": 1234.5},
        {"agent": b'c"url\xff', "host": b"h"},
        {"endpoint": ""},
        {"audit_id": 'said"by its client'},
        {"outcome": "client-left", "cause": "c"},
        {"error": "Forbidden: no"},
        {"client": "2001:db8::1", "user": JANE, "acting_as": JOE},
    ],
    ids=str,
)
def test_a_line_of_many_alike_says_what_it_would_say_alone(values: dict[str, Any]) -> None:
    values = {"code": 200, "seconds": 0.25, "stages": {"upstream": 0.125}, "endpoint": "e", **values}
    path = b'/api/v1/namespaces/ns/services/web/proxy/a"\\\xffb'
    alone, alike = (record(path, backend=True, **values) for _ in range(2))
    alike.repeated = Repeated()
    for one in (alike, alike):
        said, expected = line(one), line(alone)
        assert list(said) == list(expected)
        assert said | {"time": ""} == expected | {"time": ""}
    alike.endpoint, alike.code, alike.audit_id = "another", 500, new_audit_id()
    said = line(alike)
    assert (said["endpoint"], said["code"], said["auditID"]) == ("another", 500, alike.audit_id)
