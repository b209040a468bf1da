"""· What all API objects have: how they are kept, and their metadata.

`gc=False`: these objects have no cycles, and a full collection must not visit fifty thousand of
them. Field names are the wire's (camelCase by `rename`); `None`: the field is absent.
"""

from __future__ import annotations

import msgspec


class Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """Compared by value: an update of other fields is no change (hence no resourceVersion here)."""


class Metadata(Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    creation_timestamp: str | None = None


class AnnotatedMetadata(Metadata, frozen=True):
    """`annotations` are those of the table in `annotations.py`, and None where there is none of them, so that
    fifty thousand objects share it.
    """

    annotations: dict[str, str] | None = None
