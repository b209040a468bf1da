"""Through which proxy?  The rows are those of golang.org/x/net/http/httpproxy, which client-go asks."""

from __future__ import annotations

import pytest

from bastion.cluster.proxies import Proxies, from_environment, wrong

PROXY = "http://proxy.example:3128"
EXCEPTIONS = [  # (NO_PROXY, URL, reached directly)
    ("", "https://api.example:6443", False),
    ("", "https://localhost:6443", True),
    ("", "https://127.0.0.1:6443", True),
    ("", "https://127.9.9.9:6443", True),
    ("", "https://[::1]:6443", True),
    ("", "https://localhost.example:6443", False),
    ("*", "https://api.example:6443", True),
    ("other.example, *", "https://10.0.0.1:6443", True),
    ("api.example", "https://api.example:6443", True),
    ("API.example", "https://api.EXAMPLE:6443", True),
    (" other.example , api.example ", "https://api.example:6443", True),
    ("example", "https://api.example:6443", True),
    ("ample", "https://api.example:6443", False),
    ("api.example", "https://myapi.example:6443", False),
    (".example", "https://api.example:6443", True),
    (".api.example", "https://api.example:6443", False),
    (".api.example", "https://one.api.example:6443", True),
    ("*.api.example", "https://api.example:6443", False),
    ("*.api.example", "https://one.api.example:6443", True),
    ("api.example:6443", "https://api.example:6443", True),
    ("api.example:443", "https://api.example:6443", False),
    ("api.example:443", "https://api.example", True),
    (".example:6443", "https://api.example:6443", True),
    ("10.0.0.1", "https://10.0.0.1:6443", True),
    ("10.0.0.1", "https://10.0.0.11:6443", False),
    ("10.0.0.1:443", "https://10.0.0.1:6443", False),
    ("10.0.0.1:6443", "https://10.0.0.1:6443", True),
    ("10.0.0.0/8", "https://10.1.2.3:6443", True),
    ("10.1.2.3/8", "https://10.9.9.9:6443", True),
    ("10.0.0.0/8", "https://11.1.2.3:6443", False),
    ("10.0.0.0/8", "https://api.example:6443", False),
    ("0.0.0.1", "https://10.0.0.0.1:6443", False),
    ("fd00::/8", "https://[fd00::1]:6443", True),
    ("fd00::1", "https://[fd00:0::1]:6443", True),
    ("[fd00::1]", "https://[fd00::1]:6443", True),
    ("[fd00::1]:443", "https://[fd00::1]:6443", False),
    ("[fd00::1]:6443", "https://[fd00::1]:6443", True),
    ("::ffff:10.0.0.1", "https://10.0.0.1:6443", True),
    ("10.0.0.0/99, :6443, ,/", "https://10.0.0.1:6443", False),
]


@pytest.mark.parametrize(("no_proxy", "url", "direct"), EXCEPTIONS)
def test_what_is_reached_directly(no_proxy: str, url: str, direct: bool) -> None:
    proxies = from_environment({"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert proxies.of(url) == ("" if direct else PROXY)
    assert Proxies(PROXY, no_proxy="*").of(url) == PROXY, "what the kubeconfig names is for everything"


ENVIRONMENTS = [  # (environment, proxy for https, proxy for http)
    ({}, "", ""),
    ({"HTTPS_PROXY": "https://p"}, "https://p", ""),
    ({"HTTP_PROXY": "p:1"}, "", "http://p:1"),
    ({"https_proxy": "p", "http_proxy": "socks5://q"}, "http://p", "socks5://q"),
    ({"HTTPS_PROXY": "p", "https_proxy": "q"}, "http://p", ""),
    ({"HTTPS_PROXY": "", "https_proxy": "q"}, "http://q", ""),
    ({"HTTPS_PROXY": "p", "no_proxy": "example"}, "", ""),
    ({"ALL_PROXY": "p"}, "", ""),
]


@pytest.mark.parametrize(("environ", "https", "http"), ENVIRONMENTS)
def test_what_the_environment_says(environ: dict[str, str], https: str, http: str) -> None:
    proxies = from_environment(environ)
    assert (proxies.of("https://api.example"), proxies.of("http://api.example")) == (https, http)


WRONG = [
    ("http://proxy.example:3128", ""),
    ("https://user:secret@proxy.example", ""),
    ("socks5://[fd00::1]:1080", ""),
    ("socks5h://proxy.example", ""),
    ("socks4://user:secret@proxy.example", "a proxy is spoken to by http, https or socks5, not 'socks4'"),
    ("proxy.example:3128", "a proxy is spoken to by http, https or socks5, not 'proxy.example'"),
    ("http://", "names no host"),
    ("http://proxy.example:secret", "is not a URL"),
    ("http://[fd00::1", "is not a URL"),
]


@pytest.mark.parametrize(("url", "mistake"), WRONG)
def test_what_is_no_proxy(url: str, mistake: str) -> None:
    assert wrong(url) == mistake
