"""Small parts: files and ranges, bodies sent twice, compression, what is sent upstream."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from bastion.localproxy.gunzip import Gunzip
from bastion.localproxy.ranges import Range, ranges
from bastion.localproxy.replay import MOST, Replay
from tests.fakes import Upload, run
from tests.localproxy.ground import Sent, in_front, kubeconfig, proxy

RANGES: list[tuple[bytes, tuple[Range, ...] | None]] = [
    (b"", ()),
    (b"bytes=2-4", (Range(2, 3),)),
    (b"bytes=-3", (Range(7, 3),)),
    (b"bytes=-30", (Range(0, 10),)),
    (b"bytes=7-", (Range(7, 3),)),
    (b"bytes=0-99", (Range(0, 10),)),
    (b"bytes=0-1, 4-5", (Range(0, 2), Range(4, 2))),
    (b"bytes=,", ()),
    (b"bytes=0 - 1", (Range(0, 2),)),
    (b"bytes= - ", None),
    (b"bytes=10-", None),
    (b"bytes=5-2", None),
    (b"bytes=-", None),
    (b"bytes=-0", None),
    (b"lines=1-2", None),
    (b"bytes=0-9,0-9", ()),
    (b"bytes=" + b"0-0," * 100, ()),
]


@pytest.mark.parametrize(("value", "wanted"), RANGES, ids=str)
def test_ranges_of_ten_bytes(value: bytes, wanted: tuple[Range, ...] | None) -> None:
    assert ranges(value, 10) == wanted


def test_of_an_empty_file_there_are_no_parts() -> None:
    assert (ranges(b"bytes=0-1", 0), ranges(b"bytes=x", 0)) == ((), None)


CONDITIONS = [  # of a file of that moment: method, field, its value, status
    ("GET", "If-None-Match", "*", 304),
    ("PUT", "If-None-Match", "*", 412),
    ("GET", "If-None-Match", '"x"', 200),
    ("GET", "If-Match", "*", 200),
    ("GET", "If-Match", '"x"', 412),
    ("GET", "If-Modified-Since", "Tue, 14 Nov 2023 22:13:20 GMT", 304),
    ("GET", "If-Modified-Since", "Tuesday, 14-Nov-23 22:13:20 GMT", 304),
    ("GET", "If-Modified-Since", "Tue Nov 14 22:13:20 2023", 304),
    ("GET", "If-Modified-Since", "Tue, 14 Nov 2023 22:13:20 +0000", 200),
    ("GET", "If-Modified-Since", "14 Nov 2023 22:13:20 GMT", 200),
    ("PUT", "If-Modified-Since", "Tue, 14 Nov 2023 22:13:20 GMT", 200),
    ("GET", "If-Unmodified-Since", "Tue, 14 Nov 2023 22:13:19 GMT", 412),
    ("GET", "Range", "bytes=0-0\r\nIf-Range: yesterday", 200),
    ("PUT", "Range", "bytes=0-0\r\nIf-Range: yesterday", 206),
    ("GET", "Range", "bytes=0-0\r\nIf-Range: Tue, 14 Nov 2023 22:13:20 GMT", 206),
]


def test_conditions_on_a_file(tmp_path: Path) -> None:
    async def conversation() -> None:
        file = tmp_path / "www/file"
        file.parent.mkdir()
        file.write_text("text")
        os.utime(file, (1700000000, 1700000000))
        async with in_front(tmp_path, f"--www={file.parent}") as (made, _):
            for method, name, value, status in CONDITIONS:
                got = await made.get("/static/file", f"{name}: {value}\r\n".encode(), method=method)
                assert got.status == status, (method, name, value)

    run(conversation())


LEAVING = [
    "../secret",
    "%2e%2e/secret",
    "..%2fsecret",
    "x/..%2f..%2fsecret",
    "..%5csecret",
    "out",
    "outdir/secret",
]


@pytest.mark.parametrize("path", LEAVING)
def test_nothing_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    async def conversation() -> None:
        folder = tmp_path / "www"
        folder.mkdir()
        (tmp_path / "secret").write_text("secret")
        (folder / "out").symlink_to(tmp_path / "secret")
        (folder / "outdir").symlink_to(tmp_path)
        async with in_front(tmp_path, f"--www={folder}", "--disable-filter") as (made, _):
            got = await made.get(f"/static/{path}")
            assert got.status in (307, 404)
            assert b"secret" not in got.body

    run(conversation())


@pytest.mark.parametrize("kind", ["fifo", "folder without an index"])
def test_only_files_are_sent(tmp_path: Path, kind: str) -> None:
    async def conversation() -> None:
        folder = tmp_path / "www"
        (folder / "sub").mkdir(parents=True)
        os.mkfifo(folder / "fifo")
        async with in_front(tmp_path, f"--www={folder}") as (made, _):
            assert (await made.get("/static/fifo")).status == 404
            assert b"<pre>" in (await made.get("/static/sub/")).body

    run(conversation())


def test_a_foreign_host_reads_no_files(tmp_path: Path) -> None:
    async def conversation() -> None:
        (tmp_path / "x.txt").write_text("mine")
        async with in_front(tmp_path, f"--www={tmp_path}") as (made, _):
            for fields in (b"Host: evil.test\r\n", b"Origin: http://evil.test\r\n"):
                assert (await made.get("/static/x.txt", fields)).status == 403
            assert (await made.get("/static/x.txt")).body == b"mine"

    run(conversation())


def test_a_body_is_sent_twice_as_long_as_it_is_small() -> None:
    async def conversation() -> None:
        small = Replay(Upload([b"one", b"two"]))
        first = [await small.read() for _ in range(3)]
        small.again()
        assert [await small.read() for _ in range(3)] == first == [b"one", b"two", b""]
        large = Replay(Upload([b"x" * MOST, b"y"]))
        while await large.read():
            pass
        assert (small.whole, large.whole) == (True, False)

    run(conversation())


def test_members_and_halves_of_gzip() -> None:
    packed = gzip.compress(b"one" * 100_000) + gzip.compress(b"two")
    gunzip = Gunzip()
    pieces = [piece for at in range(0, len(packed), 7) for piece in gunzip.feed(packed[at : at + 7])]
    assert b"".join(pieces) + gunzip.finish() == b"one" * 100_000 + b"two"
    assert max(map(len, pieces)) <= 65536
    broken = Gunzip()
    list(broken.feed(packed[:20]))
    with pytest.raises(ValueError, match="breaks off"):
        broken.finish()
    with pytest.raises(ValueError, match="not the gzip"):
        list(Gunzip().feed(b"plain text"))


@pytest.mark.parametrize(
    ("flags", "fields", "asked", "body"),
    [
        ([], b"", "gzip", b"hello"),
        ([], b"Accept-Encoding: gzip\r\n", "gzip", gzip.compress(b"hello", mtime=0)),
        ([], b"Range: bytes=0-\r\n", "", b"hello"),
        ([], b"Accept-Encoding:\r\n", ", gzip", b"hello"),
        (["--disable-compression"], b"", "", b"hello"),
    ],
    ids=["for the hop", "for the client", "a part", "said nothing", "off"],
)
def test_compression_for_our_hop_stays_there(
    tmp_path: Path, flags: list[str], fields: bytes, asked: str, body: bytes
) -> None:
    def answer(sent: Sent) -> bytes:
        coded = "gzip" in sent.one("accept-encoding")
        content = gzip.compress(b"hello", mtime=0) if coded else b"hello"
        coding = b"Content-Encoding: gzip\r\n" if coded else b""
        return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (coding, len(content), content)

    async def conversation() -> None:
        async with in_front(tmp_path, *flags, answer=answer) as (made, api):
            got = await made.get("/x", fields)
            assert (got.body, api.sent[0].one("accept-encoding")) == (body, asked)
            assert ("content-encoding" in got.fields) == (b"gzip" in fields)

    run(conversation())


def test_an_early_response_does_not_wait_for_the_body(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with asyncio.timeout(5):
            server = await asyncio.start_server(_early, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server, proxy(kubeconfig(f"http://127.0.0.1:{port}"), tmp_path) as made:
                head = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"
                assert (await made.raw(head)).status == 413

    run(conversation())


async def _early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    await writer.drain()
    await reader.read(-1)
    writer.close()
