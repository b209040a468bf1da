"""What kubectl proxy answered to these requests, and what it sent to its API server.

`recorded.json` was recorded from kubectl 1.33.1; a row that says `better` is where this proxy differs on
purpose, and has what is right instead.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import run
from tests.localproxy.ground import OK, Api, Proxy, read_response, secure

ROWS = json.loads(Path(__file__).with_name("recorded.json").read_text())
MODIFIED = 1700000000  # Tue, 14 Nov 2023 22:13:20 GMT
FILES = {
    "hello.txt": "hello\n",
    "page.html": "<p>page</p>\n",
    "style.css": "p{}\n",
    "code.js": "1\n",
    "noext": "plain words\n",
    "html-noext": "<html><body>x</body></html>\n",
    "withindex/other.txt": "other\n",
    "data.json": "{}\n",
    "pic.svg": "<svg/>\n",
    "binary.bin": "\x00\x01\x02",
    "empty.txt": "",
    "with space.txt": "space\n",
    "percent%41.txt": "percent\n",
    "semi;colon.txt": "semi\n",
    "q?mark.txt": "mark\n",
    ".hidden": "hidden\n",
    "range.txt": "0123456789",
    "withindex/index.html": "<p>index</p>\n",
    "listing/a.txt": "a\n",
    "listing/b&c.txt": "b\n",
    "listing/sub/x.txt": "x\n",
    "api/v1/pods/x/exec": "static exec\n",
}


def files(folder: Path) -> Path:
    for name, text in FILES.items():
        path = folder / "www" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "www/linkin.txt").symlink_to("hello.txt")
    (folder / "outside.txt").write_text("secret\n")
    (folder / "www/link.txt").symlink_to(folder / "outside.txt")
    (folder / "www/dangling").symlink_to("nowhere")
    (folder / "www/emptydir").mkdir()
    for path in (folder / "www", *(folder / "www").rglob("*")):
        if not path.is_symlink():
            os.utime(path, (MODIFIED, MODIFIED))
    return folder / "www"


def as_started(row: dict[str, Any]) -> str:
    user = row.get("user", {"token": "config-token"})
    return json.dumps([row.get("flags", []), user, row.get("server_path", "")])


GROUPS = [(key, list(rows)) for key, rows in itertools.groupby(sorted(ROWS, key=as_started), key=as_started)]


@pytest.mark.parametrize(("key", "rows"), GROUPS, ids=[key for key, _ in GROUPS])
def test_as_recorded(key: str, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    flags, user, path = json.loads(key)
    www = str(files(tmp_path)) if "WWW" in key else ""
    run(_all(rows, [flag.replace("WWW", www) for flag in flags], user, path, tmp_path))


async def _all(
    rows: list[dict[str, Any]], flags: list[str], user: dict[str, Any], path: str, folder: Path
) -> None:
    async with secure(folder, *flags, user=user, path=path) as (made, api):
        for row in rows:
            await _one(row, made, api)


async def _one(row: dict[str, Any], made: Proxy, api: Api) -> None:
    def real(text: str) -> str:
        return text.replace("PORT", str(made.port)).replace("API", f"127.0.0.1:{api.port}")

    response = real(row["response"]).encode("latin-1") if "response" in row else OK
    api.answer = lambda sent: response
    api.ends = row.get("ends", False)
    api.sent.clear()
    name = row["name"]
    reader, writer = await made.connect()
    writer.write(real(row["request"]).encode("latin-1"))
    response_read = asyncio.wait_for(read_response(reader, row["request"].startswith("HEAD ")), 5)
    if row.get("broken"):
        with pytest.raises((asyncio.IncompleteReadError, ValueError)):  # within a body, at a chunk's size
            await response_read
        writer.close()
        return
    got = await response_read
    if "echoes" in row and got.status == 101:
        writer.write(row["echoes"].encode())
        assert await asyncio.wait_for(reader.readexactly(len(row["echoes"])), 5) == row["echoes"].encode(), (
            name
        )
    writer.close()
    assert got.status in row["status"], name
    if "body" in row:
        assert got.body.decode("latin-1") == real(row["body"]), name
    if got.status in (301, 302, 307, 308) and "location" in row:
        assert got.one("location") == real(row["location"]), name
    for field, values in row.get("fields", {}).items():
        assert got.fields.get(field) == values, name
    if row.get("line", "") is None:
        assert not api.sent, name
    elif row.get("line"):
        sent = api.sent[0]
        assert sent.line.encode("latin-1") == row["line"].encode("latin-1"), name
        for field, values in row.get("sent", {}).items():
            assert sent.fields.get(field) == [real(value) for value in values], (name, field)
        assert sent.body.decode("latin-1") == row.get("sent_body", ""), name


def _names() -> Iterator[str]:
    yield from (row["name"] for row in ROWS)


def test_each_row_is_there_once() -> None:
    assert len(set(_names())) == len(ROWS) > 200
