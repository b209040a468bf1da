"""The audit log: by which policy, and where its events go."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bastion.cluster.kubeconfig import load_access
from bastion.cluster.webhook import Webhook
from bastion.discovery.catalog import Catalog
from bastion.observe.audit.auditor import Audit
from bastion.observe.audit.counts import AuditCounts
from bastion.observe.audit.eventlog import EventLog, Outlet
from bastion.observe.audit.logfile import LogFile, StandardOutput
from bastion.observe.audit.logwriter import LogWriter
from bastion.observe.audit.policy import Policy
from bastion.observe.audit.reading import PolicyError, read_policy
from bastion.observe.audit.rotation import Rotation
from bastion.observe.audit.truncate import Truncated
from bastion.observe.audit.webhook import Batches, Batching, Delivery
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Followed
from bastion.runtime.validity import Generation
from bastion.settings.audit import BATCH, STRICT
from bastion.settings.audit import Audit as Settings
from bastion.wiring.background import in_background

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


async def examine_audit(settings: Settings) -> None:
    """Raises StartError where a file has a mistake."""
    if settings.policy_file is None:
        return
    policy_of(settings.policy_file)
    if settings.log_path not in ("", STANDARD_OUTPUT):
        LogFile(Path(settings.log_path), rotation_of(settings)).close()
    if settings.webhook_config_file is not None:
        await asyncio.to_thread(load_access, settings.webhook_config_file)


async def open_audit(
    settings: Settings, catalog: Catalog, output: int, stack: AsyncExitStack, generation: Generation
) -> Auditing:
    """`output`: the descriptor of standard output.  A new policy advances `generation`.

    Raises StartError.
    """
    counts = AuditCounts()
    file = settings.policy_file
    if file is None:
        return Auditing(None, counts)
    followed = Followed(f"the audit policy {file}", [file], lambda: policy_of(file), generation)
    outlets: list[Outlet] = []
    if settings.log_path:
        lines = (
            StandardOutput(output)
            if settings.log_path == STANDARD_OUTPUT
            else LogFile(Path(settings.log_path), rotation_of(settings))
        )
        writer = await stack.enter_async_context(LogWriter(lines, counts, batch=settings.log_mode == BATCH))
        outlets.append(_shortened(writer, settings.log_truncate, settings.log_largest_event, counts))
    posts = await _open_webhook(settings, counts, stack)
    awaited = posts if posts is not None and settings.webhook_mode != BATCH else None
    if posts is not None and awaited is None:
        batches = await stack.enter_async_context(Batches(posts, batching_of(settings), counts))
        outlets.append(_shortened(batches, settings.webhook_truncate, settings.webhook_largest_event, counts))
    log = EventLog(
        followed,
        outlets,
        counts,
        PodNames(catalog),
        awaited=awaited,
        gathers=not settings.log_path or settings.log_mode == BATCH,
        strict=STRICT in (settings.log_mode, settings.webhook_mode),
    )
    if not outlets and awaited is None:
        return Auditing(None, counts, (followed,))
    audit = Audit(log)
    stack.callback(audit.flush)
    return Auditing(audit, counts, (followed,))


async def _open_webhook(settings: Settings, counts: AuditCounts, stack: AsyncExitStack) -> Delivery | None:
    """None where there is none.  Raises StartError."""
    if settings.webhook_config_file is None:
        return None
    access = await asyncio.to_thread(load_access, settings.webhook_config_file)
    in_background(stack, access.keep(), "the credentials of the audit webhook")
    webhook = Webhook(access)
    stack.push_async_callback(webhook.close)
    return Delivery(webhook.post, settings.webhook_backoff, counts)


def _shortened(outlet: Outlet, truncate: bool, largest: int, counts: AuditCounts) -> Outlet:
    return Truncated(outlet, largest, counts) if truncate else outlet


def batching_of(settings: Settings) -> Batching:
    return Batching(
        size=settings.webhook_batch_size,
        wait=settings.webhook_batch_wait,
        buffer=settings.webhook_buffer_size,
        qps=settings.webhook_qps if settings.webhook_throttle else 0,
        burst=settings.webhook_burst,
        bytes=settings.webhook_largest_batch if settings.webhook_truncate else 0,
    )


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
