"""Tells what a call would do now, by the choice that calls make; changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.router.core.explanation import Explanation, candidates
from services.router.core.selection import planned_decision
from services.router.engine.refusals import refusal
from services.router.engine.routing_state import RouteRequest, RoutingState


def explain(
    routing: RoutingState, request: RouteRequest, registry_version: int, now: datetime
) -> Explanation:
    """What a call that is routed by ``request`` at ``now`` would do."""
    target, chosen = request.target, routing.choose(request, now)
    decision, error = planned_decision(target, registry_version, request.key, chosen), None
    if chosen.refused:
        error = refusal(routing, request, chosen, decision, now)
    elif chosen.start is not None:
        member = target.members[chosen.start]
        decision = replace(
            decision,
            member_id=member.id,
            provider_id=member.provider.id,
            upstream_model=member.model.upstream_model,
        )
    return Explanation(
        decision=decision,
        candidates=candidates(target, chosen, routing.member_states(target, now)),
        needs=request.needs,
        switches_left=routing.switches_left(request),
        pin=chosen.found_pin,
        error=error,
    )
