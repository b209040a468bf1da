"""· What is asked of an authorizer about one action (`authorization.k8s.io` ResourceAttributes or
NonResourceAttributes).
"""

from __future__ import annotations

import msgspec


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """A resource request where `resource` is set, else a request for `path`.

    An empty `verb` is valid: that of OPTIONS.
    """

    verb: str
    group: str = ""
    version: str = "v1"
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    path: str = ""
