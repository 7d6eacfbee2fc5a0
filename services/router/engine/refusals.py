"""Why a call ends before its first attempt."""

from __future__ import annotations

from datetime import datetime

from services.chassis.errors import DomainError
from services.router.core.decision import RouteDecision
from services.router.core.errors import MemberFailedError, NoCapableMemberError, NoMemberLeftError
from services.router.core.selection import Selection, capable_members, incapable
from services.router.engine.routing_state import RouteRequest, RoutingState


def refusal(
    routing: RoutingState,
    request: RouteRequest,
    chosen: Selection,
    decision: RouteDecision,
    now: datetime,
) -> DomainError:
    """The error of a call that ``chosen`` refuses, as of ``now``.

    Args:
        decision: The decision of this choice.
    """
    target = request.target
    if chosen.start is not None and (skip := chosen.health[chosen.start]) is not None:
        member = target.members[chosen.start]
        return MemberFailedError.not_called(skip, routing.recovers_in_s(target, [member], now))
    if all(map(incapable, chosen.health)):
        return NoCapableMemberError.of(target, request.needs)
    capable = capable_members(target, chosen.health)
    return NoMemberLeftError.of(decision, routing.recovers_in_s(target, capable, now))
