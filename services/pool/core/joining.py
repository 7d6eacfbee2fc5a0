"""Joining: a run becomes a member, or changes as one, or nothing happens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from services.chassis.caller import Principal
from services.pool.core.errors import AgentMismatchError
from services.pool.core.events import (
    EventKind,
)
from services.pool.core.model import (
    Member,
    Policies,
)
from services.pool.core.policies import acting_name, authorize


@dataclass(frozen=True, slots=True)
class JoinCommand:
    """Who wants to be a member; topics and policies are sorted and unique."""

    run_id: str
    agent_id: str
    topics: tuple[str, ...] = ()
    policy_refs: Policies = ()


@dataclass(frozen=True, slots=True)
class JoinDecision:
    """The member, and what to record; None when nothing changed."""

    member: Member
    kind: EventKind | None


@dataclass(frozen=True, slots=True)
class Joined:
    """What a join came to; ``head_sequence`` is that of the pool after it."""

    pool_id: str
    member: Member
    changed: bool
    head_sequence: int


def join(
    existing: Member | None, command: JoinCommand, principal: Principal, now: datetime
) -> JoinDecision:
    """Decide what ``command`` makes of ``existing``; the run is bound to who joins it first.

    Raises:
        RunNotOwnedError: Another principal joined the run.
        AgentMismatchError: The run is a member as another agent.
    """
    if existing is None:
        return JoinDecision(_first(command, principal, now), EventKind.MEMBER_JOINED)
    authorize(principal, existing)
    if existing.agent_id != command.agent_id:
        raise AgentMismatchError(
            f"run {command.run_id!r} is a member as agent {existing.agent_id!r}, "
            f"not {command.agent_id!r}",
            run_id=command.run_id,
            agent_id=existing.agent_id,
            wanted=command.agent_id,
        )
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
