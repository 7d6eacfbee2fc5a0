"""What run control's store in memory has, by table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.runcontrol.core import exchange, model
from services.runcontrol.core.commands import Effect
from services.runcontrol.core.events import Covered, Event
from services.runcontrol.core.ports import CallView
from services.runcontrol.core.specs import Specs


@dataclass
class Tables:
    """Everything there is, by key; the tenant is the first part of each."""

    threads: dict[Any, model.Thread] = field(default_factory=dict)
    runs: dict[Any, model.Run] = field(default_factory=dict)
    dispatches: dict[Any, model.Dispatch] = field(default_factory=dict)
    leases: dict[Any, model.Lease] = field(default_factory=dict)
    calls: dict[Any, exchange.Call] = field(default_factory=dict)
    tickets: dict[Any, exchange.Ticket] = field(default_factory=dict)
    decisions: dict[Any, exchange.Decision] = field(default_factory=dict)
    inputs: dict[Any, model.Input] = field(default_factory=dict)
    wakes: dict[Any, exchange.Wake] = field(default_factory=dict)
    deliveries: dict[Any, exchange.Delivery] = field(default_factory=dict)
    memberships: dict[Any, exchange.Membership] = field(default_factory=dict)
    checkpoints: dict[Any, model.Checkpoint] = field(default_factory=dict)
    events: dict[Any, Event] = field(default_factory=dict)
    messages: dict[Any, model.StoredMessage] = field(default_factory=dict)
    specs: dict[Any, Specs] = field(default_factory=dict)
    requests: dict[Any, tuple[bytes, bytes]] = field(default_factory=dict)
    ticket_heads: dict[str, int] = field(default_factory=dict)
    ticket_changes: dict[Any, int] = field(default_factory=dict)
    outbox: list[Effect] = field(default_factory=list)
    served: set[tuple[str, str, str]] = field(default_factory=set)
    sessions: dict[Any, int] = field(default_factory=dict)
    covered: dict[Any, Covered] = field(default_factory=dict)
    deleted_runs: dict[Any, str] = field(default_factory=dict)


def part_of(call: exchange.Call, arguments_from: int, result_from: int, chars: int) -> CallView:
    """The call, with so many characters of its texts behind the first ones."""
    part = replace(
        call,
        arguments_json=call.arguments_json[arguments_from : arguments_from + chars],
        result=call.result[result_from : result_from + chars],
    )
    return CallView(part, len(call.arguments_json), len(call.result))


def is_past(instant: datetime | None, now: datetime, counts: bool) -> bool:
    return counts and instant is not None and instant <= now
