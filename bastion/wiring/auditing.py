"""The audit log: by which policy, and where its events go."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bastion.discovery.catalog import Catalog
from bastion.observe.audit.auditor import Audit, Outlet
from bastion.observe.audit.counts import AuditCounts
from bastion.observe.audit.logfile import LogFile, StandardOutput
from bastion.observe.audit.logwriter import LogWriter
from bastion.observe.audit.policy import Policy
from bastion.observe.audit.reading import PolicyError, read_policy
from bastion.observe.audit.rotation import Rotation
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Followed
from bastion.settings.audit import BATCH, STRICT
from bastion.settings.audit import Audit as Settings

MEGABYTE = 1 << 20
STANDARD_OUTPUT = "-"

_log = logging.getLogger("bastion.start")


@dataclass(frozen=True, slots=True)
class Auditing:
    """`audit` None: nothing is audited."""

    audit: Audit | None
    counts: AuditCounts
    followed: tuple[Followed[Any], ...] = ()


def policy_of(file: Path) -> Policy:
    """Raises StartError in one line that names the file, and every mistake by its path."""
    try:
        policy, warnings = read_policy(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise StartError(f"--audit-policy-file: {file}: is not UTF-8") from error
    except PolicyError as error:
        raise StartError(f"--audit-policy-file: {file}: {error}") from error
    except OSError as error:
        raise StartError(f"--audit-policy-file: {file}: {(error.strerror or str(error)).lower()}") from error
    for warning in warnings:
        _log.warning("--audit-policy-file: %s: %s", file, warning)
    return policy


async def open_audit(settings: Settings, catalog: Catalog, output: int, stack: AsyncExitStack) -> Auditing:
    """`output`: the descriptor of standard output.  Raises StartError."""
    counts = AuditCounts()
    file = settings.policy_file
    if file is None:
        return Auditing(None, counts)
    followed = Followed(f"the audit policy {file}", [file], lambda: policy_of(file))
    outlets: list[Outlet] = []
    if settings.log_path:
        lines = (
            StandardOutput(output)
            if settings.log_path == STANDARD_OUTPUT
            else LogFile(Path(settings.log_path), rotation_of(settings))
        )
        outlets.append(
            await stack.enter_async_context(LogWriter(lines, counts, batch=settings.log_mode == BATCH))
        )
    audit = Audit(followed, outlets, counts, PodNames(catalog), strict=settings.log_mode == STRICT)
    return Auditing(audit if outlets else None, counts, (followed,))


def rotation_of(settings: Settings) -> Rotation:
    return Rotation(
        settings.log_max_size * MEGABYTE, settings.log_max_age, settings.log_max_backup, settings.log_compress
    )


class PodNames:
    """The pod of an endpoint, empty where it is none's, as a node's."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __call__(self, endpoint: str) -> str:
        """`endpoint` with its port."""
        pod = self._catalog.owner_of(endpoint.rpartition(":")[0].strip("[]"))
        return pod.metadata.name if pod is not None else ""
