"""What passes, and what a path, a host or a page might hide."""

from __future__ import annotations

import pytest

from bastion.http.fields import Field
from bastion.localproxy import options
from bastion.localproxy.filter import Filter
from bastion.localproxy.spelling import cleaned, escaped, hazard


def of(*flags: str) -> Filter:
    return Filter(options.read(flags), lambda host: host == "east.localhost")


EXEC = b"/api/v1/namespaces/d/pods/p/exec"
# path, why it is refused by default (empty: it passes)
PATHS = [
    (b"/api/v1/pods", ""),
    (EXEC, "reject-paths"),
    (b"/api/v1/namespaces/d/pods/p/attach", "reject-paths"),
    (b"/api/v1/namespaces/d/pods/p/portforward", ""),
    (b"/api/v1/namespaces/d/pods/p/%65xec", "reject-paths"),
    (b"/api/v1/namespaces/d/pods/p%2Fexec", "reject-paths"),
    (b"/api/v1/namespaces/d/pods/p;x/exec", "reject-paths"),
    (b"/api/v1/namespaces/d/pods;x/p/exec", "reject-paths"),
    (b"/api/v1//namespaces/d//pods//p//exec", "reject-paths"),
    (b"/api/v1/namespaces/d/pods/p\\exec", "reject-paths"),
    (b"/api/v1/namespaces/d/pods/p/exec;x", "reject-paths"),
    (b"/api/v1/namespaces/d%0A/pods/p/exec", "control character"),
    (b"/api/v1/namespaces/d%0D/pods/p/exec", "control character"),
    (b"/api/%00/x", "control character"),
    (b"/x/%2e%2e/api/v1", "dot segment"),
    (b"/x/%2E./api/v1", "dot segment"),
    (b"/x%2F..%2Fapi/v1", "dot segment"),
    (b"/x/..;y/api/v1", "dot segment"),
    (b"/x/..%5Capi", "dot segment"),
    (b"/x/%252e%252e/api", "dot segment"),
    (b"/x/..a/b..", ""),
    (b"/x/...", ""),
    (b"/x/%C3%A9", ""),
    # an API server knows neither
    (b"/api/v1/namespaces/d/pods/p/EXEC", ""),
    (b"/api/v1/namespaces/d/pods/p/%2565xec", ""),
]


@pytest.mark.parametrize(("path", "why"), PATHS, ids=str)
def test_paths_in_every_spelling(path: bytes, why: str) -> None:
    said = of().request("GET", path)
    assert why in said if why else not said
    assert not of("--disable-filter").request("GET", path)


HOSTS = [
    (b"localhost", True),
    (b"localhost:8001", True),
    (b"127.0.0.1:1", True),
    (b"[::1]", True),
    (b"[::1]:8001", True),
    (b"east.localhost:8001", True),
    (b"EAST.localhost", True),
    (b"west.localhost", False),
    (b"127.0.0.2", False),
    (b"localhost.", False),
    (b"LOCALHOST", False),
    (b"localhost.evil.test", False),
    (b"evil.test:8001", False),
    (b"localhost:1:2", False),
    (b"", False),
]


@pytest.mark.parametrize(("host", "passes"), HOSTS, ids=str)
def test_hosts(host: bytes, passes: bool) -> None:
    assert (not of().sender(host, [])) == passes


def fields(**values: str) -> list[Field]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()]
    return [(name, name.title(), value) for name, value in named]


PAGES = [
    ({}, True),
    ({"origin": "http://localhost:3000"}, True),
    ({"origin": "http://127.0.0.1:8001", "sec_fetch_site": "same-origin"}, True),
    ({"origin": "http://evil.test"}, False),
    ({"origin": "https://localhost.evil.test"}, False),
    ({"origin": "null"}, False),
    ({"origin": ""}, False),
    ({"origin": "file://"}, False),
    ({"origin": "http://localhost@evil.test"}, False),
    ({"sec_fetch_site": "cross-site"}, False),
    ({"sec_fetch_site": "Cross-Site"}, False),
    ({"sec_fetch_site": "same-site"}, True),
    ({"sec_fetch_site": "none"}, True),
]


@pytest.mark.parametrize(("said", "passes"), PAGES, ids=str)
def test_pages_of_other_sites(said: dict[str, str], passes: bool) -> None:
    assert (not of().sender(b"localhost", fields(**said))) == passes
    assert not of("--disable-filter").sender(b"evil.test", fields(**said))


def test_two_origins_are_nobodys() -> None:
    both = fields(origin="http://localhost") + fields(origin="http://evil.test")
    assert of().sender(b"localhost", both)


OWN = "grafana--monitoring.svc.localhost:8001"
NEAR = [  # Host, Origin, Sec-Fetch-Site and -Mode
    (OWN, f"http://{OWN}", "", "", True),
    (OWN, "http://localhost:8001", "", "", True),
    (OWN, "http://other--x.svc.localhost:8001", "same-site", "", False),
    ("localhost:8001", f"http://{OWN}", "", "", False),
    ("localhost:8001", "", "same-site", "no-cors", True),
    (OWN, "", "same-site", "no-cors", False),
    (OWN, "", "same-site", "navigate", True),
    (OWN, "", "same-origin", "cors", True),
]


@pytest.mark.parametrize(("host", "origin", "site", "mode", "passes"), NEAR, ids=str)
def test_an_applications_page_acts_on_its_own_host_alone(
    host: str, origin: str, site: str, mode: str, passes: bool
) -> None:
    own = Filter(options.read([]), lambda name: name.endswith(".svc.localhost"))
    said = {"origin": origin, "sec_fetch_site": site, "sec_fetch_mode": mode}
    asking = fields(**{name: value for name, value in said.items() if value})
    assert (not own.sender(host.encode(), asking)) == passes


def test_a_site_that_is_accepted_may_ask() -> None:
    flags = r"--accept-hosts=^localhost$,^app\.test$"
    asking = fields(origin="https://app.test", sec_fetch_site="cross-site")
    assert not of(flags).sender(b"localhost", asking)


RULES = [
    (["--reject-paths="], "GET", EXEC, True),
    (["--reject-paths=secrets"], "GET", b"/api/v1/secrets", False),
    (["--reject-paths=secrets"], "GET", b"/api/v1/Secrets", True),
    (["--reject-paths=/log$"], "GET", b"/a/log", False),
    (["--reject-paths=/log$"], "GET", b"/a/log%0A", False),
    (["--accept-paths=^/version$,^/healthz"], "GET", b"/healthz/ping", True),
    (["--accept-paths=^/version$,^/healthz"], "GET", b"/versions", False),
    (["--accept-paths=^/version"], "GET", b"/version%2F..%2Fapi", False),
    (["--accept-paths="], "GET", b"/", False),
    ([r"--reject-paths=^/\d$"], "GET", b"/%D9%A3", True),
    (["--reject-paths=^/a{1,3}$"], "GET", b"/aa", True),
    (["--reject-methods=POST,PUT"], "PUT", b"/", False),
    (["--reject-methods=P"], "OPTIONS", b"/", False),
    (["--reject-methods=post"], "POST", b"/", True),
    (["--reject-methods="], "DELETE", b"/", True),
]


@pytest.mark.parametrize(("flags", "method", "path", "passes"), RULES, ids=str)
def test_rules(flags: list[str], method: str, path: bytes, passes: bool) -> None:
    assert (not of(*flags).request(method, path)) == passes


@pytest.mark.parametrize("pattern", ["(", "a,[b", "^/api(?!s)", r"(a)\1", r"a\C"])
@pytest.mark.parametrize("flag", ["accept-hosts", "accept-paths", "reject-paths", "reject-methods"])
def test_bad_patterns_name_their_flag(flag: str, pattern: str) -> None:
    with pytest.raises(ValueError, match=f"--{flag}: "):
        of(f"--{flag}={pattern}")


def test_a_refusal_says_how_to_allow_it() -> None:
    said = of().request("GET", EXEC)
    assert "^/api/.*/pods/.*/exec" in said
    assert "--reject-paths='^/api/.*/pods/.*/attach'" in said


CLEANED = [
    (b"/a/b", None),
    (b"/a//b", None),
    (b"//evil.test/x", b"/evil.test/x"),
    (b"///x", b"/x"),
    (b"/a/./b", b"/a/b"),
    (b"/a/../b", b"/b"),
    (b"/../../b", b"/b"),
    (b"/a/..", b"/"),
    (b"/a/b/.", b"/a/b/"),
    (b"/..//evil.test", b"/evil.test"),
    (b"/a/.hidden", None),
]


@pytest.mark.parametrize(("path", "clean"), CLEANED, ids=str)
def test_literal_dot_segments_lead_elsewhere(path: bytes, clean: bytes | None) -> None:
    assert cleaned(path) == clean
    assert clean is None or not hazard(clean)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        (b"/a%2Fb;c=d/@:+*!", b"/a%2Fb;c=d/@:+*!"),
        (b'/a"b', b"/a%22b"),
        (b"/a\\b", b"/a%5Cb"),
        ("/é".encode(), b"/%C3%A9"),
        (b"/{a}/<b>/c|d/^/`/[e]#f", b"/%7Ba%7D/%3Cb%3E/c%7Cd/%5E/%60/[e]%23f"),
    ],
    ids=str,
)
def test_what_no_uri_holds_is_escaped(path: bytes, sent: bytes) -> None:
    assert escaped(path) == sent
