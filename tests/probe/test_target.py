"""What names a target, and what does not: a prober that takes a URL asks anything of anybody."""

from __future__ import annotations

import pytest

from bastion.kube.status import StatusError
from bastion.probe.parameters import host_of, parameters, scrape_timeout, time_for
from bastion.probe.redirects import BadLocation, Cookies, next_path
from bastion.probe.target import target_of

TARGETS = {
    b"pods/a/web": ("pods", "a", "web", b""),
    b"services/a/https:web:443/x?y=/z": ("services", "a", "https:web:443", b"/x?y=/z"),
    b"services/a/web?y": ("services", "a", "web", b"?y"),
    b"nodes/n:9100/metrics": ("nodes", "", "n:9100", b"/metrics"),
    b"services/a/web/../../b%2F//": ("services", "a", "web", b"/../../b%2F//"),
    b"/api/v1/namespaces/a/pods/web:80/proxy/x": ("pods", "a", "web:80", b"/x"),
    b"/api/v1/nodes/n/proxy": ("nodes", "", "n", b""),
}
REFUSED = (
    b"http://10.0.0.1/",
    b"https://web.a.svc/",
    b"HTTP://web/",
    b"//10.0.0.1/",
    b"10.0.0.1:80",
    b"169.254.169.254/latest/meta-data",
    b"[::1]:80",
    b"localhost",
    b"file:///etc/passwd",
    b"/etc/passwd",
    b"/probe?target=pods/a/web",
    b"/api/v1/namespaces/a/secrets/web/proxy/",
    b"secrets/a/web",
    b"Pods/a/web",
    b"pods/a/",
    b"pods//web",
    b"pods/a",
    b"pods",
    b"nodes/",
    b"pods/../a/web",
    b"services/a/..:80",
    b"services/a/.",
    b"services/a/ftp:web:80",
    b"services/a/web%2Fx:80",
    b"services/a/w:e:b:80",
    b"services/a/web /x",
    b"services/a/web/x\r\nX-Injected: y",
    b"services/a/web/\x00",
    b"services/a/web/#x",
    b"services/a/w\xc3\xa9b",
    b"services/a/web/" + b"x" * 5000,
)


@pytest.mark.parametrize(("raw", "parts"), TARGETS.items(), ids=str)
def test_an_id_and_what_follows_it(raw: bytes, parts: tuple[str, str, str, bytes]) -> None:
    found = target_of(raw)
    assert (found.resource, found.namespace, found.id, found.rest) == parts


@pytest.mark.parametrize("raw", REFUSED, ids=lambda raw: repr(raw[:40]))
def test_nothing_else(raw: bytes) -> None:
    with pytest.raises(StatusError) as refused:
        target_of(raw)
    assert refused.value.code == 400


def test_a_parameter_is_decoded_once_and_given_once() -> None:
    assert parameters(b"target=a%252Fb&x=1&x=2", ("target",)) == {"target": b"a%2Fb"}
    with pytest.raises(StatusError, match="twice"):
        parameters(b"target=a&t%61rget=b", ("target",))


@pytest.mark.parametrize("name", ["a b", "a/b", "a\r\nX: y", "a@b", "a" * 300, "\u00e9"])
def test_what_is_no_host_name(name: str) -> None:
    with pytest.raises(StatusError):
        host_of({"hostname": name.encode()})


@pytest.mark.parametrize(
    ("header", "module", "time"),
    [
        (None, 0.0, 120.0),
        (b"", 3.0, 3.0),
        (b"0", 0.0, 120.0),
        (b"1e1", 0.0, 9.5),
        (b"10", 2.0, 2.0),
        (b"1.5", 2.0, 1.0),
        (b"0.3", 2.0, 2.0),
        (b"0.3", 0.0, 0.0),
        (b"0.3", -2.0, 0.0),
        (b"0.5", 2.0, 0.0),
        (b"0.000", 2.0, 2.0),
        (b"500", -1.0, 120.0),
    ],
)
def test_the_time_is_the_shorter(header: bytes | None, module: float, time: float) -> None:
    name = b"X-Prometheus-Scrape-Timeout-Seconds"
    fields = [(name.lower(), name, header)] if header is not None else []
    assert time_for(scrape_timeout(fields), module) == pytest.approx(time)


@pytest.mark.parametrize("header", [b"x", b"NaN", b"Inf", b"-1", b"1_0"])
def test_a_time_that_is_none(header: bytes) -> None:
    name = b"X-Prometheus-Scrape-Timeout-Seconds"
    with pytest.raises(StatusError):
        scrape_timeout([(name.lower(), name, header)])


REDIRECTS = {
    b"/x?y=1": b"/x?y=1",
    b"x": b"/a/x",
    b"?q": b"/a/b?q",
    b"../c": b"/c",
    b"http://10.0.0.9:8080/x//y": b"/x//y",
    b"HTTP://10.0.0.9:8080": b"/",
    b"//10.0.0.9:8080/x#frag": b"/x",
    b"http://shop.test/x": b"/x",
    b"https://10.0.0.9:8080/": None,
    b"http://10.0.0.9/": None,
    b"http://10.0.0.9:8081/": None,
    b"http://127.0.0.1:8080/": None,
    b"http://169.254.169.254/": None,
    b"http://shop.test:81/": None,
    b"//127.0.0.1/": None,
    b"http://10.0.0.9:8080@127.0.0.1/": None,
    b"file:///etc/passwd": None,
    b"javascript:alert(1)": None,
    # as Go resolves and writes them
    b"": b"/a/b?c",
    b"//": b"/a/b?c",
    b"#f": b"/a/b?c",
    b"/x/../y/./z": b"/y/z",
    b"/..": b"/",
    b"..": b"/",
    b".": b"/a/",
    b"/a%2Fb": b"/a%2Fb",
    b"/a%2Fb|": b"/a/b%7C",
    b"/\xe9": b"/%E9",
    b"/a b?c d": b"/a%20b?c%20d",
    b"/x:y": b"/x:y",
    b"./x:y": b"/a/x:y",
    b"http://10.0.0.9:8080?x": b"/?x",
    b"/x?": b"/x?",
    b"?": b"/a/b?",
}


@pytest.mark.parametrize(("location", "path"), REDIRECTS.items(), ids=str)
def test_a_redirect_stays_at_the_endpoint(location: bytes, path: bytes | None) -> None:
    assert next_path(location, "http", b"/a/b?c", {"10.0.0.9:8080", "shop.test"}) == path


@pytest.mark.parametrize(
    ("location", "counted"),
    [
        (b"/\x01", False),
        (b"/%zz", False),
        (b":", False),
        (b"1:x", False),
        (b"http://h:port/", False),
        (b"http://[::1/", False),
        (b"http://127.0.0.1\\@10.0.0.9:8080/", False),
        (b"http://a b/", False),
        (b"http://%25/", True),
        (b"http:/x", True),
        (b"http:///x", True),
        (b"http:x", True),
    ],
    ids=str,
)
def test_a_location_that_cannot_be_read(location: bytes, counted: bool) -> None:
    with pytest.raises(BadLocation) as error:
        next_path(location, "http", b"/", set())
    assert error.value.counted is counted


def test_cookies_go_where_they_belong() -> None:
    jar = Cookies()
    given = [b"a=1; Path=/", b"b=2; Path=/deep", b"c=3; Domain=other.test", b"a=9; Path=/; Max-Age=0", b"d=4"]
    for value in (given[0], given[1], given[2], given[4]):
        jar.take([(b"set-cookie", b"Set-Cookie", value)], b"/deep/er?x")
    assert jar.header(b"/deep/er") == "a=1; b=2; d=4"
    assert jar.header(b"/deeper") == "a=1"
    jar.take([(b"set-cookie", b"Set-Cookie", given[3])], b"/")
    assert jar.header(b"/") == ""
