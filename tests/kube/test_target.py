"""What does `[scheme:]name[:port]` say?"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.kube.target import Target, parse_target
from tests.fakes import refused

VALID = [
    pytest.param("aoeu:asdf", "", "aoeu", "asdf", id="C-SP-1"),
    pytest.param("http:aoeu:asdf", "http", "aoeu", "asdf", id="C-SP-2"),
    pytest.param("https:aoeu:", "https", "aoeu", "", id="C-SP-3"),
    pytest.param("https:aoeu:asdf", "https", "aoeu", "asdf", id="C-SP-4"),
    pytest.param("aoeu:", "", "aoeu", "", id="C-SP-5"),
    pytest.param("aoeu", "", "aoeu", "", id="C-SP-6"),
    pytest.param(":a:", "", "a", "", id="empty-scheme"),
    pytest.param(":a:80", "", "a", "80", id="empty-scheme-port"),
    pytest.param("http:a:", "http", "a", "", id="scheme-no-port"),
    pytest.param("https:a:443", "https", "a", "443", id="all"),
    pytest.param("https:a", "", "https", "a", id="two-parts-are-name-and-port"),
    pytest.param("a.b-c", "", "a.b-c", "", id="dots-inside"),
    pytest.param("...", "", "...", "", id="three-dots-are-a-name"),
    pytest.param("A_b", "", "A_b", "", id="odd-names-are-not-found-later"),
]


@pytest.mark.parametrize("resource", ["pods", "services", "nodes"])
@pytest.mark.parametrize(("id", "scheme", "name", "port"), VALID)
def test_an_id_is_split(resource: Any, id: Any, scheme: Any, name: Any, port: Any) -> None:
    assert parse_target(resource, "ns", id) == Target(resource, "ns", name, scheme, port, id)


INVALID = [
    pytest.param(":asdf", id="C-SP-7"),
    pytest.param("aoeu:asdf:htns", id="C-SP-8"),
    pytest.param("http::asdf", id="C-SP-9"),
    pytest.param("http::", id="C-SP-10"),
    pytest.param("", id="C-SP-11"),
    pytest.param(":80", id="no-name"),
    pytest.param("::", id="nothing"),
    pytest.param("::80", id="only-port"),
    pytest.param("http::80", id="no-name-with-scheme"),
    pytest.param("ftp:a:80", id="other-scheme"),
    pytest.param("HTTPS:a:443", id="case-sensitive"),
    pytest.param("http:a:80:x", id="four-parts"),
    pytest.param("[::1]:80", id="no-addresses"),
]


@pytest.mark.parametrize(("resource", "kind"), [("pods", "pod"), ("services", "service"), ("nodes", "node")])
@pytest.mark.parametrize("id", INVALID)
def test_an_id_of_another_shape_is_refused_and_quoted(resource: Any, kind: Any, id: Any) -> None:
    with refused(400, f'invalid {kind} request "{id}"'):
        parse_target(resource, "ns", id)


@pytest.mark.parametrize("name", [".", "..", "a/b", "a%b", "%2e"])
@pytest.mark.parametrize("shape", ["{}", "{}:80", "https:{}:"])
def test_a_name_that_is_no_path_segment_is_refused(name: Any, shape: Any) -> None:
    with refused(400, "Name parameter invalid"):
        parse_target("pods", "ns", shape.format(name))
