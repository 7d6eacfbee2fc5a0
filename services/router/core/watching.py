"""What those who watch the routing state are told, and who is told what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from services.router.core.member_state import MemberState
from services.router.core.pins import Pinned, Unpinned
from services.router.core.routing_change import MemberReset, Switched


@dataclass(frozen=True, slots=True)
class StateBegin:
    """The whole state follows; what was told before no longer counts."""


@dataclass(frozen=True, slots=True)
class StateComplete:
    """The whole state was told; changes follow."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing has changed for a while."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The server is about to stop."""


Happening: TypeAlias = (
    StateBegin
    | MemberState
    | Pinned
    | Unpinned
    | Switched
    | MemberReset
    | StateComplete
    | Heartbeat
    | Reconnect
)


@dataclass(frozen=True, slots=True)
class RoutingEvent:
    """One thing that a watcher is told."""

    at: datetime
    what: Happening


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who watches.

    Attributes:
        target_id: Only this pool or model; empty for all.
    """

    tenant: str
    target_id: str


def seen_by(watcher: Watcher, event: RoutingEvent) -> RoutingEvent | None:
    """What the watcher is told of an event; None for nothing.

    Sessions are told only to their tenant, what becomes of members to everybody.
    """
    match event.what:
        case Pinned(pin) | Unpinned(pin):
            seen = pin.tenant == watcher.tenant and watcher.target_id in {"", pin.pool_id}
            return event if seen else None
        case Switched(tenant=tenant, target_id=target_id) as switched:
            if watcher.target_id not in {"", target_id}:
                return None
            return event if tenant == watcher.tenant else replace(event, what=_anonymous(switched))
        case MemberState(target_id=target_id) | MemberReset(target_id=target_id):
            return event if watcher.target_id in {"", target_id} else None
        case _:
            return event


def _anonymous(switched: Switched) -> Switched:
    return replace(switched, tenant="", session="")
