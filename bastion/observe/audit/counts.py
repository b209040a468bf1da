"""How many audit events were written, and how many were lost?"""

from __future__ import annotations

from bastion.observe.families import Family, counter

LOG, WEBHOOK, BUFFERED, TRUNCATE = "log", "webhook", "buffered", "truncate"


class AuditCounts:
    """`lost` by the part that lost them; `levels` by request."""

    def __init__(self) -> None:
        self.events = 0
        # there from the start: a rate needs a value before the first
        self.lost = dict.fromkeys((LOG, WEBHOOK, BUFFERED, TRUNCATE), 0)
        self.levels: dict[str, int] = {}

    def families(self) -> list[Family]:
        return [
            counter("bastion_audit_event", "Audit events that were made.", (), {(): float(self.events)}),
            counter(
                "bastion_audit_error",
                "Audit events that were lost: buffered where too many waited, webhook where they were given"
                " up, log where the file could not be written, truncate where they were too large.",
                ("plugin",),
                {(plugin,): float(count) for plugin, count in self.lost.items()},
            ),
            counter(
                "bastion_audit_level",
                "Requests by the level that the policy gave them.",
                ("level",),
                {(level,): float(count) for level, count in self.levels.items()},
            ),
        ]
