"""· The annotations about access: rights by path, and what backends are told of who asks."""

from __future__ import annotations

from dataclasses import dataclass

from bastion.kube.annotation import annotation
from bastion.kube.annotationvalues import set_of
from bastion.kube.pathgroups import PATH_GROUPS, PathGroups

HEADERS, ASSERTION = "headers", "assertion"  # how a backend is told who asks


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Which of its paths have rights of their own, and what its backends are told of who asks.

    A value that is none grants nothing, and tells nothing.
    """

    groups: PathGroups | None = annotation(
        "path-groups",
        PATH_GROUPS,
        None,
        "a right `services/proxy-<group>` of its own for some paths; `services/proxy` is the right to all of"
        " them; `/x` is that path alone, `/x/*` is `/x` and all below",
    )
    identity: frozenset[str] = annotation(
        "identity",
        set_of(HEADERS, ASSERTION),
        frozenset(),
        "who asks is told to the backend: `headers` is `X-Remote-User`, `-Uid`, `-Group` and `-Extra-*`;"
        " `assertion` is a signed JWT in `X-Bastion-Assertion`",
        otherwise="nothing",
    )
