"""A browser, as far as signing in can tell: cookies per host, redirects followed, and what it says of where a
request came from.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import httpx

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
NAVIGATION = {"Accept": HTML, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
MOST_REDIRECTS = 10


@dataclass(slots=True)
class Browser:
    """Every name leads to this machine, as every name under localhost does in a browser."""

    trust: ssl.SSLContext
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)
    trail: list[str] = field(default_factory=list)

    def send(
        self, method: str, url: str, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """One request, with the host's cookies unless `headers` have some."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        own = "; ".join(f"{name}={value}" for name, value in self.cookies.get(host, {}).items())
        sent = {"Host": parts.netloc, **({"Cookie": own} if own else {}), **(headers or {})}
        with httpx.Client(verify=self.trust, trust_env=False, timeout=60) as http:
            local = (
                f"https://127.0.0.1:{parts.port}{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
            )
            request = http.build_request(
                method, local, headers=sent, extensions={"sni_hostname": host}, **more
            )
            answer = http.send(request)
        for line in answer.headers.get_list("set-cookie"):
            self._keep(host, line)
        return answer

    def visit(self, url: str, site: str = "none") -> httpx.Response:
        """Open a page; `url` of the answer is in `trail`."""
        self.trail = [url]
        answer = self.send("GET", url, NAVIGATION | {"Sec-Fetch-Site": site})
        return self._follow(answer, site)

    def sign_in(self, token: str) -> httpx.Response:
        """Fill in the form that the last visit led to."""
        page = urlsplit(self.trail[-1])
        assert page.path in ("/login", "/.bastion/login"), self.trail
        origin = f"{page.scheme}://{page.netloc}"
        headers = NAVIGATION | {
            "Origin": origin,
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return self._follow(
            self.send("POST", f"{origin}{page.path}", headers, content=urlencode({"token": token})),
            "same-origin",
        )

    def _follow(self, answer: httpx.Response, site: str) -> httpx.Response:
        for _ in range(MOST_REDIRECTS):
            if answer.status_code not in (301, 302, 303):
                return answer
            here = urljoin(self.trail[-1], answer.headers["location"])
            site = (
                "cross-site"
                if urlsplit(here).netloc != urlsplit(self.trail[-1]).netloc or site == "cross-site"
                else site
            )
            self.trail.append(here)
            answer = self.send("GET", here, NAVIGATION | {"Sec-Fetch-Site": site})
        raise AssertionError(f"too many redirects: {self.trail}")

    def _keep(self, host: str, line: str) -> None:
        pair, *attributes = line.split("; ")
        name, _, value = pair.partition("=")
        if name.startswith("__Host-"):
            assert {"Path=/", "Secure"} <= set(attributes), line
        if "Max-Age=0" in attributes:
            self.cookies.get(host, {}).pop(name, None)
        else:
            self.cookies.setdefault(host, {})[name] = value
