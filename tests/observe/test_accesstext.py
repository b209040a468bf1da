"""Can a person read a line of the access log, and can nobody write one of his own into it or steer the
terminal?
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from bastion.kube.requestinfo import parse_proxied
from bastion.kube.user import User
from bastion.observe.accessline import LASTS, MAX_LINE, access_line
from bastion.observe.accesstext import coloured_line, text_line
from bastion.observe.auditids import new_audit_id
from bastion.observe.record import Record

OURS = new_audit_id()
PATH = b"/api/v1/namespaces/ns/services/web/proxy/a"


def record(path: Any = PATH, **values: Any) -> Any:
    one = Record("GET", path, "192.0.2.1", OURS)
    one.info, one.user, one.code, one.seconds, one.endpoint = (
        parse_proxied("GET", path),
        User("jane"),
        200,
        0.0123456,
        "10.0.0.1:80",
    )
    one.stages = {"upstream": 0.01}
    for name, value in values.items():
        setattr(one, name, value)
    return one


def test_a_line_is_a_sentence_and_then_names_and_values() -> None:
    text = text_line(record(bytes_out=4, agent=b"curl/8.5.0", host=b"web--ns.svc.apps.test")).decode()
    moment, _, rest = text.partition(" ")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", moment)
    assert (
        rest
        == f"200 GET web--ns.svc.apps.test{PATH.decode()} 12.346ms auditID={OURS} client=192.0.2.1 bytesOut=4"
        " user=jane endpoint=10.0.0.1:80 userAgent=curl/8.5.0 upstream=10.000ms"
    )


def test_of_one_that_goes_on_it_is_said() -> None:
    assert " 101 (goes on) GET " in text_line(record(code=101), LASTS).decode()
    assert b'"msg":"access-lasts"' in access_line(record(code=101), LASTS)


@pytest.mark.parametrize("written", [text_line, access_line])
def test_nobody_writes_a_line_of_his_own(written: Any) -> None:
    odd = b"/\r\n2026 200 GET /\x1b[2J\x9b\xe2\x80\xa8"
    text = written(
        record(odd, user=User("a\nb=\x1b]0;x\x07"), agent=b"x\ny\x1b[0m", host=b"h\n", cause="c\nd")
    ).decode()
    assert "\n" not in text
    assert "\r" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize(("code", "colour"), [(200, "32"), (301, "36"), (404, "33"), (503, "31"), (0, "31")])
def test_the_colour_is_that_of_the_code_and_nothing_else_differs(code: Any, colour: Any) -> None:
    text = coloured_line(record(code=code)).decode()
    assert f"\x1b[{colour}m" in text
    assert (
        re.sub(r"\x1b\[\d*m", "", text).partition(" ")[2]
        == text_line(record(code=code)).decode().partition(" ")[2]
    )


@pytest.mark.parametrize("written", [text_line, access_line])
def test_whatever_is_long_is_cut(written: Any) -> None:
    long = "x" * 100_000
    line = written(
        record(
            b"/" + long.encode(),
            user=User(long),
            cause=long,
            error=long,
            agent=long.encode(),
            host=long.encode(),
        )
    )
    assert len(line) <= 2 * MAX_LINE


AGENTS = [
    (b"curl/8.5.0", "curl/8.5.0"),
    (b"x" * 500, "x" * 128),
    (b"app token=hunter2", "app [redacted]"),
    (b"Bearer hunter2", "[redacted]"),
]


@pytest.mark.parametrize(("agent", "said"), AGENTS)
def test_what_a_client_calls_itself_is_bounded_and_no_secret(agent: Any, said: Any) -> None:
    assert f'"userAgent":"{said}"'.encode() in access_line(record(agent=agent))
