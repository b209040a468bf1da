"""· Which names does Kubernetes accept?  apimachinery `util/validation`: DNS labels and subdomains (RFC
1123).
"""

from __future__ import annotations

import re

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_IS_LABEL = re.compile(_LABEL)
_IS_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def is_label(name: str) -> bool:
    return len(name) <= 63 and _IS_LABEL.fullmatch(name) is not None


def is_subdomain(name: str) -> bool:
    return len(name) <= 253 and _IS_SUBDOMAIN.fullmatch(name) is not None
