"""· What all API objects have: how they are kept, and their metadata.

`gc=False`: these objects have no cycles, and a full collection must not visit fifty thousand of
them. Field names are the wire's (camelCase by `rename`); `None`: the field is absent.
"""

from __future__ import annotations

import msgspec


class Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """Compared by value: an update of other fields is no change (hence no resourceVersion here)."""


class Annotations(Struct, frozen=True):
    """Those about probes; the folk_ ones are a convention of many clusters."""

    probe: str = msgspec.field(default="", name="bastion.dev/probe")
    path: str = msgspec.field(default="", name="bastion.dev/probe-path")
    port: str = msgspec.field(default="", name="bastion.dev/probe-port")
    module: str = msgspec.field(default="", name="bastion.dev/probe-module")
    interval: str = msgspec.field(default="", name="bastion.dev/probe-interval")
    status: str = msgspec.field(default="", name="bastion.dev/status")
    folk_probe: str = msgspec.field(default="", name="prometheus.io/probe")
    folk_path: str = msgspec.field(default="", name="prometheus.io/path")
    folk_port: str = msgspec.field(default="", name="prometheus.io/port")
    folk_scheme: str = msgspec.field(default="", name="prometheus.io/scheme")


NO_ANNOTATIONS = Annotations()


class Metadata(Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str | None = None
    annotations: Annotations | None = NO_ANNOTATIONS
