"""Does a line that is judged alone become what the rules make of it in a whole head?"""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bastion.authn.bearer import bearer_credentials
from bastion.authn.requestheader import FrontProxyHeaders
from bastion.authz.requested import requested_identity
from bastion.http.fields import Field, first_value, nominated
from bastion.kube.status import StatusError
from bastion.message import lines as table
from bastion.message.answers import Policy, RequestContext, present
from bastion.message.headers import Forwarded, to_backend
from bastion.message.identity import withholding
from bastion.message.lines import LineTable, may_carry_a_secret, request_lines, response_lines
from bastion.message.mount import Mount
from bastion.message.ownorigin import data_fields
from bastion.message.upgrade import asked_upgrade
from bastion.network.http1.response import framing
from bastion.network.logins import binds_request
from bastion.proxy.origin import Origins
from bastion.server.http1.head import Head, Sorted, read_head
from bastion.signin.crosssite import provenance

FORWARDED = Forwarded(b"192.0.2.1", b"h", b"https", b"/p", b"/p/x")
MOUNT = Mount(b"/p", frozenset((b"10.0.0.1:80",)), b"/x", True, b"h")
FRONT_PROXY = FrontProxyHeaders((b"x-remote-user", b"who"), (b"x-remote-group",), (), (b"x-remote-extra-",))
ORIGINS = Origins([ipaddress.ip_network("10.0.0.0/8")])
WITHHELD = withholding((b"who",), (), (b"x_fine",))


def read(line: bytes) -> Field:
    """As the server reads it in a head, but for what it reads in some of them beside."""
    apart = b"X-" if line[:1].isalpha() else b""
    lower, name, value = read_head(b"GET / HTTP/1.0\r\n" + apart + line).fields[0]
    return lower[len(apart) :], name[len(apart) :], value


def requests() -> LineTable:
    return request_lines(read, WITHHELD, *FRONT_PROXY.names())


FRAMING = b"host content-length transfer-encoding expect connection upgrade".split()
NAMES = b"""
accept accept-encoding accept-language audit-id authorization cache-control content-type cookie dnt forwarded
http2-settings if-none-match impersonate-extra-k impersonate-group impersonate-uid impersonate-user keep-alive
origin priority proxy proxy-authenticate proxy-authorization proxy-connection range referer sec-ch-ua
sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user sec-websocket-key sec-websocket-protocol te
trailer user-agent via who x-api-key x-bastion-authorization x-bastion-rewrite x-forwarded-for
x-forwarded-host x-forwarded-proto x-real-ip x-remote-extra-a x-remote-group x-remote-user x-request-id x_fine
x_odd
""".split()
VALUES = [
    *(b"", b"a", b"A b", b"\tx ", b"1", b"chunked", b"close", b"keep-alive", b"upgrade", b"websocket"),
    *(b"100-continue", b"Bearer tok", b"NTLM abc", b"none", b"text/html, */*", b"gzip, br", b"br;q=0"),
    *(b"document", b"cross-site", b"https://h", b"__Host-bastion=1; a=b", b"10.1.1.1", b"h:80", b"\xe9"),
]


def lines_of(names: list[bytes]) -> st.SearchStrategy[bytes]:
    spelled = st.sampled_from(names).flatmap(lambda name: st.sampled_from([name, name.title(), name.upper()]))
    blanks = st.sampled_from([b"", b" "])
    return st.builds(lambda *parts: b"".join(parts), spelled, st.just(b":"), blanks, st.sampled_from(VALUES))


# Most of those that say how a head is framed contradict it, so that there are few of them.
heads = st.builds(
    lambda some, one: some + one,
    st.lists(lines_of(NAMES), max_size=12),
    st.lists(lines_of(FRAMING), max_size=1),
).flatmap(st.permutations)


def head_of(lines: list[bytes], known: LineTable | None = None) -> Head | StatusError:
    whole = [b"Host: h", *lines]
    noted: list[Field] = []
    try:
        how = (
            Sorted(b"GET / HTTP/1.1", whole, *known.sort(whole, "c", noted), noted)
            if known is not None
            else None
        )
        return read_head(b"\r\n".join([b"GET / HTTP/1.1", *whole]), how)
    except StatusError as error:
        return error


def outcome(rule: object, *arguments: object, **options: object) -> object:
    try:
        return rule(*arguments, **options)  # type: ignore[operator]
    except StatusError as error:
        return error.code, error.message


RULES = {
    "credentials": bearer_credentials,
    "front proxy": FRONT_PROXY.asserted,
    "impersonation": requested_identity,
    "provenance": lambda fields: provenance("GET", fields, b"https", b"h"),
    "upgrade": lambda fields: asked_upgrade("GET", 1, fields, has_body=False),
    "connection": nominated,
    "logins": binds_request,
    "data fields": data_fields,
    "client": lambda fields: ORIGINS.client("10.0.0.1", fields),
    "seen": lambda fields: ORIGINS.seen("10.0.0.1", b"http", b"h", fields),
    "agent": lambda fields: first_value(fields, b"user-agent"),
}


@given(st.lists(heads, min_size=1, max_size=3))
@example([[b"X-Forwarded-For: 192.0.2.9"]])
def test_the_lines_that_decide_say_all_that_the_whole_head_says(several: list[list[bytes]]) -> None:
    """One table for several heads: what one left there is right for the next."""
    lines = requests()
    for raw in [*several, *several]:
        whole = head_of(raw)
        alone = head_of(raw, lines)
        if isinstance(whole, StatusError) or isinstance(alone, StatusError):
            assert isinstance(whole, StatusError) and isinstance(alone, StatusError)
            assert (whole.code, whole.message) == (alone.code, alone.message)
            continue
        for what in ("host", "length", "chunked", "keep_alive", "expects_continue", "audit_id", "upgrade"):
            assert getattr(whole, what) == getattr(alone, what), what
        for what, rule in RULES.items():
            assert outcome(rule, whole.fields) == outcome(rule, alone.fields), what


@given(st.lists(heads, min_size=1, max_size=3), st.booleans(), st.booleans())
@example([[b"Accept-Encoding: gzip, br", b"Accept: text/html"]], False, True)
def test_what_passes_is_what_the_whole_head_sends(
    several: list[list[bytes]], keep_authorization: bool, editing: bool
) -> None:
    """In its order, behind what the lines that decide send in theirs; unless Connection names fields."""
    lines = requests()

    def sent(fields: list[Field]) -> list[bytes]:
        return to_backend(
            fields,
            FORWARDED,
            keep_authorization=keep_authorization,
            withheld=WITHHELD,
            editing=editing,
        )

    for raw in [*several, *several]:
        passed, deciding = lines.sort(raw, "c")
        whole = [read(line) for line in raw]
        alone = [read(line) for line in deciding]
        if any(lower == b"connection" for lower, _, _ in whole):
            continue
        expected = sent(whole)
        front = sent(alone)
        assert sorted(expected) == sorted([*passed, *front])
        assert [line for line in expected if line in passed and line not in front] == [
            line for line in passed if line not in front
        ]
        assert [line for line in expected if line in front and line not in passed] == [
            line for line in front if line not in passed
        ]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no colon",
        b": no name",
        b"a b: c",
        b" folded",
        b"na\xefve: x",
        b"a: \x00",
        b"a: x\ry",
        b"a:\x7f",
    ],
)
def test_a_line_that_is_none_is_refused_each_time(line: bytes) -> None:
    lines = requests()
    for _ in range(2):
        with pytest.raises(StatusError):
            lines.sort([b"A: b", line], "c")
    assert len(lines) == 1


RESPONSE_NAMES = sorted(
    {b"server", b"etag", b"last-modified", b"vary", b"x-powered-by", b"x-frame-options", b"accept-ranges"}
    | {b"content-length", b"transfer-encoding", b"content-type", b"cache-control", b"set-cookie", b"location"}
    | {b"date", b"audit-id", b"x-bastion-error", b"access-control-allow-origin", b"x-content-type-options"}
    | {b"clear-site-data", b"strict-transport-security", b"link", b"refresh", b"content-security-policy"}
    | {b"keep-alive", b"upgrade", b"trailer", b"age", b"content-encoding", b"www-authenticate", b"nel"}
)
RESPONSE_VALUES = [
    b"",
    b"x",
    b"5",
    b"private",
    b"no-store",
    b"text/plain",
    b"text/html",
    b"/a",
    b"a=b; Path=/",
]
response = st.lists(
    st.builds(
        lambda name, value: name + b": " + value,
        st.sampled_from(RESPONSE_NAMES).map(bytes.title),
        st.sampled_from(RESPONSE_VALUES),
    ),
    max_size=10,
)


@given(st.lists(response, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_what_passes_of_a_response_is_what_the_rules_pass(
    several: list[list[bytes]], prefixed: bool, ambient: bool
) -> None:
    """Pages are edited in other ways: where one is, the whole head is read."""
    lines = response_lines(read)
    asked = RequestContext("GET", [], prefixed, ambient)

    def shown(fields: list[Field]) -> list[bytes]:
        presented = present(asked, 200, fields, 5, lambda: MOUNT, Policy(edit_html=False))
        return [b"%b: %b\r\n" % (name, value) for _, name, value in presented.fields]

    for raw in [*several, *several]:
        passed, deciding = lines.sort(raw, "c")
        whole, alone = [read(line) for line in raw], [read(line) for line in deciding]
        assert sorted(shown(whole)) == sorted([*passed, *shown(alone)])
        try:
            expected = framing(whole)
        except ValueError:
            with pytest.raises(ValueError, match=r"Content-Length|Transfer-Encoding"):
                framing(alone)
        else:
            assert framing(alone) == expected


SECRETS = [
    b"Authorization: Bearer x",
    b"Cookie: a=b",
    b"X-Bastion-Authorization: Bearer x",
    b"Proxy-Authorization: Basic x",
    b"X-Auth-Token: x",
    b"X-Api-Key: x",
    b"PRIVATE-TOKEN: x",
    b"X-Amz-Security-Token: x",
    b"X-Goog-Signature: x",
    b"X-CSRF-Protection: x",
    b"Referer: https://h/?code=x",
    b"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.x",
    b"Impersonate-User: x",
]


@pytest.mark.parametrize(
    "line", [*SECRETS, b"Set-Cookie: a=b", b"Location: /?code=x", b"Authentication-Info: x"]
)
def test_what_may_be_a_secret_is_never_kept(line: bytes) -> None:
    assert may_carry_a_secret(read(line)[0])
    for lines in (requests(), response_lines(read)):
        for _ in range(2):
            lines.sort([line], "c")
        assert len(lines) == 0


def test_what_is_kept_is_bounded_in_number_and_size() -> None:
    lines = requests()
    lines.sort([b"X-Long: " + b"x" * 512], "c")
    assert len(lines) == 0
    lines.sort([b"X-Usual: a"], "quiet")
    for number in range(3 * table.MOST):
        lines.sort([b"X-%d: a" % number], f"loud-{number % 20}")
    assert len(lines) == table.MOST


def test_who_sends_another_line_each_time_has_few_of_them_kept_and_those_that_repeat() -> None:
    lines = requests()
    for number in range(table.MANY + 10 * table.ONE_OF):
        lines.sort([b"X-Id: %d" % number], "c")
    assert len(lines) == table.MANY + 10
    lines.sort([b"X-Id: mine"], "another")
    assert len(lines) == table.MANY + 11
    for _ in range(table.ONE_OF):
        lines.sort([b"X-Id: again"], "c")
    assert len(lines) == table.MANY + 12


def test_a_line_is_judged_once() -> None:
    judged: list[bytes] = []

    def reading(line: bytes) -> Field:
        judged.append(line)
        return read(line)

    lines = request_lines(reading)
    for owner in ("a", "b"):
        assert lines.sort([b"Accept: x", b"Dnt: 1", b"DNT:1 ", b"X-Real-Ip: 1"], owner) == (
            [b"Dnt: 1\r\n", b"DNT: 1\r\n"],
            [b"Accept: x"],
        )
    assert len(judged) == 4
