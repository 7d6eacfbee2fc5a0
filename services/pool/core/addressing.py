"""Which members an address resolves to and why others are excluded, and who may act as a member."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.chassis.caller import Principal, Role
from services.pool.core.errors import RunNotOwnedError
from services.pool.core.model import (
    Address,
    Cardinality,
    Draft,
    Exclusion,
    Member,
    Pool,
    Recipient,
    TargetKind,
    Undelivered,
    holds,
)

MAX_LISTED_EXCLUSIONS = 100
_MAY_ACT_FOR_ANYONE = frozenset({Role.OPERATOR, Role.ADMIN})


@dataclass(frozen=True, slots=True)
class Resolution:
    """The recipients of a message; ``failure`` is set exactly when there are none."""

    recipients: tuple[Recipient, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
    failure: Undelivered | None = None

    @property
    def listed_exclusions(self) -> tuple[Exclusion, ...]:
        return self.excluded[:MAX_LISTED_EXCLUSIONS]


def resolve(pool: Pool, draft: Draft, candidates: Iterable[Member]) -> Resolution:
    """Resolve the address of ``draft``.

    Args:
        candidates: Every member that matches the address, with or without the policies.
    """
    if draft.to.kind is TargetKind.POOL and draft.to.value != pool.pool_id:
        return Resolution(failure=Undelivered.FOREIGN_POOL)
    matching = sorted(candidates, key=lambda member: member.run_id)
    if not holds(draft.policy_refs, pool.config.required_policy_refs):
        return _failed(matching, Undelivered.POLICY_REQUIRED_MISSING)
    if not matching:
        return _no_candidates(draft.to)
    reasons = [(member, _exclusion_reason(pool, draft, member)) for member in matching]
    eligible = [member for member, reason in reasons if reason is None]
    if len(eligible) > 1 and draft.to.cardinality is Cardinality.EXACTLY_ONE:
        return _failed(matching, Undelivered.AMBIGUOUS_RECIPIENT)
    excluded = tuple(
        Exclusion(member.run_id, member.agent_id, reason)
        for member, reason in reasons
        if reason is not None
    )
    return Resolution(
        tuple(Recipient(member.run_id, member.agent_id) for member in eligible),
        excluded,
        None if eligible else _failure_reason(excluded),
    )


def _exclusion_reason(pool: Pool, draft: Draft, member: Member) -> Undelivered | None:
    loopback = pool.config.include_sender_in_pool_broadcast
    broadcast = draft.to.kind is TargetKind.POOL
    if broadcast and member.run_id == draft.from_run_id and not loopback:
        return Undelivered.SENDER_EXCLUDED
    if not holds(member.policy_refs, draft.policy_refs):
        return Undelivered.RECIPIENT_POLICY_MISMATCH
    return None


def _no_candidates(to: Address) -> Resolution:
    if to.kind is TargetKind.TOPIC:
        return Resolution(failure=Undelivered.NO_TOPIC_MEMBERS)
    reason = Undelivered.NO_SUCH_MEMBER
    named = {
        TargetKind.RUN: (Exclusion(to.value, "", reason),),
        TargetKind.AGENT: (Exclusion("", to.value, reason),),
    }
    return Resolution(excluded=named.get(to.kind, ()), failure=reason)


def _failed(matching: Sequence[Member], reason: Undelivered) -> Resolution:
    excluded = tuple(Exclusion(member.run_id, member.agent_id, reason) for member in matching)
    return Resolution(excluded=excluded, failure=reason)


def _failure_reason(excluded: Sequence[Exclusion]) -> Undelivered:
    # A missing policy can be granted later; that a member is the sender cannot change.
    mismatch = Undelivered.RECIPIENT_POLICY_MISMATCH
    return mismatch if any(e.reason is mismatch for e in excluded) else excluded[0].reason


def acting_name(principal: Principal) -> str:
    """The principal on whose behalf the call is made."""
    return principal.subject


def authorize(principal: Principal, member: Member) -> None:
    """Check that ``principal`` may act as the run of ``member``.

    Raises:
        RunNotOwnedError: Another principal joined the run, and this one is no operator.
    """
    if acting_name(principal) == member.principal or principal.roles & _MAY_ACT_FOR_ANYONE:
        return
    raise RunNotOwnedError.of(member.run_id)
