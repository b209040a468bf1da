"""Pages as applications send them, and as an attacker would: always the same bytes.  Pure."""

from __future__ import annotations

import gzip
import random
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

MIB = 1 << 20
WORDS = re.findall(
    r"\w+",
    "the of and request answer server cluster pod node volume claim policy label selector version object"
    " field value list watch event controller schedule namespace default ingress network address port name"
    " status ready pending running failed reason message",
)
HEAD = (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Page &mdash;'
    ' Application</title>\n<link rel="stylesheet" href="/static/css/app.3f2c1.css"><script'
    ' src="/static/js/app.9ab21.js"></script></head>\n<body>\n'
)
Part = Callable[[random.Random], str]


def page(part: Part) -> str:
    """A head, and as many parts as it takes for a mebi of characters."""
    chance = random.Random(part.__name__)
    parts = [HEAD]
    length = 0
    while length < MIB:
        parts.append(part(chance))
        length += len(parts[-1])
    return "".join(parts)


# --- parts of pages


def documentation(chance: random.Random) -> str:
    """A section as Sphinx writes it: navigation, text with references, a listing with colours."""
    name = "-".join(_words(chance, 3))
    toc = "".join(
        '<li class="toctree-l2"><a class="reference internal"'
        f' href="{_way(chance)}">{_text(chance, 3)}</a></li>\n'
        for _ in range(4)
    )
    references = "".join(
        f'{_text(chance, 25)} <a class=\'reference external\' href="{_way(chance)}"><code class="docutils'
        f' literal notranslate"><span class="pre">{_text(chance, 1)}</span></code></a> {_text(chance, 20)}.\n'
        for _ in range(3)
    )
    listing = "\n".join(_listing(chance) for _ in range(8))
    return (
        f'<ul>\n{toc}</ul>\n<section id="{name}">\n<h2>{_text(chance, 3)}<a class="headerlink" href="#{name}"'
        f' title="Link to this heading">¶</a></h2>\n<p>{references}</p>\n<p>{_text(chance, 60)}</p>\n<div'
        ' class="highlight-python notranslate"><div'
        f' class="highlight"><pre><span></span>{listing}</pre></div>\n</div>\n</section>\n'
    )


def dashboard(chance: random.Random) -> str:
    """A panel with what its script shows, inlined."""
    rows = ",".join(
        f'{{"time":{chance.randrange(1 << 40)},"value":{chance.random()},"label":"{_text(chance, 2)}"}}'
        for _ in range(40)
    )
    points = " ".join(f"{chance.randrange(999)},{chance.randrange(99)}" for _ in range(40))
    script = "".join(
        f"if (a<b && c>d) {{ panel.html('<div class=\"{_text(chance, 1)}\">' + rows[{n}].label + '</div>');"
        " }\n"
        for n in range(9)
    )
    return (
        f'<div class="panel col-6" data-panel="{chance.randrange(99)}"><h3><i class="icon icon-chart"></i>'
        f' {_text(chance, 2)}</h3><svg width="400" height="100" viewBox="0 0 400 100"><polyline class="line"'
        f' points="{points}"/><use href="/icons.svg#x"/></svg><button type="button" class="btn btn-primary"'
        f' aria-label="Refresh">Refresh</button><a href="{_way(chance)}">More</a></div>\n<script>\nvar rows ='
        f" [{rows}];\n{script}</script>\n"
    )


def table(chance: random.Random) -> str:
    """A row of which every other cell is a link."""
    name = "-".join(_words(chance, 2)) + f"-{chance.randrange(1 << 30):x}"
    link = f"/ns/default/pods/{name}"
    return (
        f'<tr class="row"><td><input type="checkbox" name="sel" value="{name}"></td><td class="name"><a'
        f' href="{link}">{name}</a></td><td>{_text(chance, 2)}</td><td><a'
        f' href="/ns/default">default</a></td><td class="num">{chance.randrange(9999)}</td><td><span'
        ' class="badge badge-success">Running</span></td><td><a class="btn"'
        f' href="{link}/logs?tail=100">logs</a></td></tr>\n'
    )


def links(chance: random.Random) -> str:
    """Nothing but a link."""
    return f'<a href="/item/{chance.randrange(1 << 20)}">{_text(chance, 1)}</a>\n'


def minified(chance: random.Random) -> str:
    """Without quotes, line breaks and end tags that may be left out."""
    name = _text(chance, 1)
    items = f"<ul><li>{_text(chance, 3)}<li>{_text(chance, 3)}</ul>"
    return (
        f"<div class=card id={name}{chance.randrange(999)}><a href={_way(chance)}"
        f" class=title>{_text(chance, 4)}</a><img alt={name} src=/img/{name}.webp loading=lazy width=320"
        f" height=200><p>{_text(chance, 18)}{items}</div>"
    )


def entities(chance: random.Random) -> str:
    """Text full of character references, and a query with `&amp;`."""
    text = "&nbsp;".join(f"&quot;{word}&#39;s&rdquo; {word} &lt;br&gt;" for word in _words(chance, 12))
    query = f"q={_text(chance, 1)}&amp;page={chance.randrange(99)}&amp;sort=asc"
    return f'<p>{text} <a href="/search?{query}">{_text(chance, 2)}&hellip;</a></p>\n'


def _listing(chance: random.Random) -> str:
    name, value = _words(chance, 2)
    return (
        f'    <span class="n">{name}</span> <span class="o">=</span> <span class="bp">self</span><span'
        f' class="o">.</span><span class="n">{value}</span><span class="p">(</span><span'
        f' class="s2">&quot;{value}&quot;</span><span class="p">)</span>'
    )


def _way(chance: random.Random) -> str:
    """To pages of the application, and of another host."""
    ways = (
        "/docs/v1.31/{0}/{1}/",
        "/{0}/{1}.html#{2}",
        "../{0}/{1}.html",
        "{0}.html#{2}",
        "https://{0}.example.test/{1}/{2}",
    )
    return chance.choice(ways).format(*_words(chance, 3))


def _text(chance: random.Random, words: int) -> str:
    return " ".join(_words(chance, words))


def _words(chance: random.Random, count: int) -> list[str]:
    return chance.choices(WORDS, k=count)


# --- bodies


@dataclass(frozen=True, slots=True)
class Body:
    """`encoding` is its Content-Encoding, `length` its MiB decoded."""

    data: bytes
    length: float
    encoding: str = "identity"


def _plain(data: bytes) -> Body:
    return Body(data, len(data) / MIB)


def _encoded(encoding: str, pieces: Iterable[bytes], level: int = 6) -> Body:
    encoder = zlib.compressobj(level, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    encoded, length = [], 0
    for piece in pieces:
        encoded.append(encoder.compress(piece))
        length += len(piece)
    return Body(b"".join(encoded) + encoder.flush(), length / MIB, encoding)


def _gzip(part: Part) -> Body:
    return _encoded("gzip", [page(part).encode()])


def _below_the_limit() -> Iterator[bytes]:
    """Links that compress some seventy to one, 64 MiB of them."""
    noise = random.Random(1)
    for _ in range(1024):
        yield b'<a href="/x">' * 5041 + b"<!--%d-->" % noise.getrandbits(5000)


PAGES: dict[str, Callable[[], Body]] = {
    "documentation": lambda: _plain(page(documentation).encode()),
    "documentation, gzip": lambda: _gzip(documentation),
    "documentation, deflate": lambda: _encoded("deflate", [page(documentation).encode()]),
    "documentation, latin-1": lambda: _plain(page(documentation).encode("latin-1")),
    "documentation, UTF-16": lambda: _plain(page(documentation).encode("utf-16")),
    "dashboard": lambda: _plain(page(dashboard).encode()),
    "dashboard, gzip": lambda: _gzip(dashboard),
    "table": lambda: _plain(page(table).encode()),
    "table, gzip": lambda: _gzip(table),
    "minified": lambda: _plain(page(minified).encode()),
    "minified, gzip": lambda: _gzip(minified),
    "entities": lambda: _plain(page(entities).encode()),
    "entities, gzip": lambda: _gzip(entities),
}
WORST: dict[str, Callable[[], Body]] = {
    "links": lambda: _plain(page(links).encode()),
    "links, gzip": lambda: _gzip(links),
}
BOMBS: dict[str, Callable[[], Body]] = {
    "256 MiB of zeros, gzip": lambda: _encoded("gzip", [bytes(MIB)] * 256),
    "256 MiB of links, deflate": lambda: _encoded("deflate", [b'<a href="/x">' * (MIB // 13)] * 256),
    "64 MiB of links below the limit": lambda: _encoded("gzip", _below_the_limit()),
    "100 000 empty members of gzip": lambda: Body(gzip.compress(b"") * 100_000, 0, "gzip"),
    "a comment of 8 MiB": lambda: _plain(b"<!--" + b"x" * (8 * MIB - 4)),
    "an attribute of 8 MiB": lambda: _plain(b'<a href="/' + b"x" * (8 * MIB - 10)),
    "8 MiB of links": lambda: _plain(b"<a href=/>" * (8 * MIB // 10)),
    "8 MiB of elements": lambda: _plain(b"<p>" * (8 * MIB // 3)),
    "8 MiB of srcset": lambda: _plain((b'<img srcset="' + b"/ ," * 20_000 + b'">') * (8 * MIB // 60_015)),
}
BODIES = PAGES | WORST | BOMBS
