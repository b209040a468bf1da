"""The target parser: what it makes of a path or a host name leads back to the very same bytes.

Method, Host and target come in an input one after the other, each on a line.
"""

from __future__ import annotations

from urllib.parse import quote

from bastion.kube.hostname import MAX_LABEL, Application, HostNames, host_name, is_dns_name
from bastion.kube.requestinfo import VERBS, parse_proxied
from bastion.kube.status import StatusError
from bastion.kube.target import SCHEMES, Target, parse_target

SUFFIX = "proxy.test"
_HOSTS = HostNames(SUFFIX)

_P = b"GET\nh\n/api/v1/namespaces/"
SEEDS = [
    _P + b"default/pods/web:80/proxy/a/b?c=d",
    _P + b"default/services/https:web:https/proxy",
    _P + b"a%20b/pods/%68ttp:x:/proxy?x=%zz",
    _P + b"ns/services/a%3A80/proxy//../%2f",
    b"PATCH\nh:1\n/api/v1/nodes/node-1:10250/proxy/pods",
    b"BREW\nh\n/api/v1/nodes/n\xc3\xa9/proxy",
    b"GET\nweb--default.svc.proxy.test:8443\n/",
    b"GET\nhttps--web--8443--default.pod.proxy.test\n/api/v1/nodes/n/proxy/",
    b"HEAD\nweb--http--default.svc.proxy.test.:\n/x?y",
]
WORDS = [
    b"/",
    b"//",
    b"/proxy",
    b"/proxy/",
    b"%2F",
    b"%2f",
    b"%25",
    b"%00",
    b"%0d%0a",
    b"%C3%A9",
    b"%FF",
    b"%ED%A0%80",
    b"%E2%80%AE",
    b"%",
    b"%3a",
    b":",
    b"::",
    b"https:",
    b"http:",
    b"ftp:",
    b"..",
    b".",
    b"?",
    b"#",
    b"nodes",
    b"pods",
    b"services",
    b"namespaces",
    b"/api/v1/",
    b"--",
    b"---",
    b".svc.proxy.test",
    b".pod.",
    b".SVC.Proxy.Test",
    b"https--",
    b"http----",
    b"a" * 64,
    b"xn--a",
    b"\n",
]


def check(data: bytes) -> None:
    method, _, rest = data.partition(b"\n")
    host, _, target = rest.partition(b"\n")
    try:
        application = _HOSTS.application(host)
        assert (application is not None) <= _HOSTS.covers(host)
    except StatusError as error:
        assert error.code == 400
        assert _HOSTS.covers(host)
        application = None
    if application is not None:
        _leads_back(application)
    assert host_name(host).lower() == host_name(host)
    is_dns_name(host_name(host))
    for meant in {None, application}:
        _check_target(method.decode("latin-1"), target, meant)


def _check_target(method: str, target: bytes, application: Application | None) -> None:
    try:
        info = parse_proxied(method, target, application)
    except StatusError as error:
        assert error.code == 400
        return
    if info is None:
        return
    assert info.prefix + info.rest == target
    assert info.rest[:1] in (b"", b"/", b"?") or application is not None
    asked = info.attributes
    assert (info.known_method, asked.verb) == (method in VERBS, VERBS.get(method, ""))
    assert asked.resource in ("pods", "services", "nodes")
    assert bool(asked.namespace) == (asked.resource != "nodes")
    assert asked.name
    assert (asked.name + asked.namespace).isprintable()
    assert "/" not in asked.name + asked.namespace
    if application is None:
        again = parse_proxied(method, _path(asked.resource, asked.namespace, asked.name) + info.rest)
        assert again is not None
        assert (again.attributes, again.rest) == (asked, info.rest)
    try:
        parsed = parse_target(asked.resource, asked.namespace, asked.name)
    except StatusError as error:
        assert error.code == 400
        return
    assert parsed.id == asked.name
    assert _id(parsed) == parsed.id
    assert parsed.scheme in SCHEMES
    assert parsed.name not in ("", ".", "..")
    assert not set(parsed.name) & set("/%:")


def _leads_back(application: Application) -> None:
    """To the host name that an application is reached under, and to no other application."""
    target = parse_target(application.resource, application.namespace, application.id)
    parts = [part for part in (target.scheme, target.name, target.port, application.namespace) if part]
    label = "--".join(parts)
    assert len(label) <= MAX_LABEL
    host = f"{label}.{'svc' if application.resource == 'services' else 'pod'}.{SUFFIX}"
    assert is_dns_name(host)
    assert _HOSTS.application(host.encode()) == application


def _id(target: Target) -> str:
    if target.scheme or target.id.count(":") == 2:
        return f"{target.scheme}:{target.name}:{target.port}"
    return f"{target.name}:{target.port}" if ":" in target.id else target.name


def _path(resource: str, namespace: str, id: str) -> bytes:
    name, within = quote(id, safe=""), quote(namespace, safe="")
    return (
        f"/api/v1/namespaces/{within}/{resource}/{name}/proxy" if namespace else f"/api/v1/nodes/{name}/proxy"
    ).encode()
