"""Joining: a run becomes a member, or changes its topics and policies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from services.chassis.caller import Principal
from services.pool.core.addressing import acting_name, authorize
from services.pool.core.errors import AgentMismatchError
from services.pool.core.events import EventKind
from services.pool.core.model import Member, Policies


@dataclass(frozen=True, slots=True)
class JoinCommand:
    """The member to be; topics and policies are sorted and unique."""

    run_id: str
    agent_id: str
    topics: tuple[str, ...] = ()
    policy_refs: Policies = ()


@dataclass(frozen=True, slots=True)
class JoinDecision:
    """The member, and the kind of event to record; None when nothing changes."""

    member: Member
    kind: EventKind | None


@dataclass(frozen=True, slots=True)
class Joined:
    """The member after a join; ``head_sequence`` is that of the pool."""

    pool_id: str
    member: Member
    changed: bool
    head_sequence: int


def join(
    existing: Member | None, command: JoinCommand, principal: Principal, now: datetime
) -> JoinDecision:
    """Decide which member results; the run is bound to the principal that joins it first.

    Raises:
        RunNotOwnedError: Another principal joined the run.
        AgentMismatchError: The run is a member as another agent.
    """
    if existing is None:
        return JoinDecision(_first(command, principal, now), EventKind.MEMBER_JOINED)
    authorize(principal, existing)
    if existing.agent_id != command.agent_id:
        raise AgentMismatchError.of(command.run_id, existing.agent_id, command.agent_id)
    if (existing.topics, existing.policy_refs) == (command.topics, command.policy_refs):
        return JoinDecision(existing, None)
    changed = replace(
        existing,
        topics=command.topics,
        policy_refs=command.policy_refs,
        incarnation=existing.incarnation + 1,
        join_time=now,
    )
    return JoinDecision(changed, EventKind.MEMBER_UPDATED)


def _first(command: JoinCommand, principal: Principal, now: datetime) -> Member:
    return Member(
        run_id=command.run_id,
        agent_id=command.agent_id,
        topics=command.topics,
        policy_refs=command.policy_refs,
        principal=acting_name(principal),
        incarnation=1,
        join_time=now,
    )
