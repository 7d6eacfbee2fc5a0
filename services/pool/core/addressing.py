"""Addressing: which members an address means now, and why the others do not get the message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
)
from services.pool.core.policies import holds

MAX_LISTED_EXCLUSIONS = 100


@dataclass(frozen=True, slots=True)
class Resolution:
    """Who gets a message; ``failure`` is set exactly when nobody does."""

    recipients: tuple[Recipient, ...] = ()
    excluded: tuple[Exclusion, ...] = ()
    failure: Undelivered | None = None

    @property
    def listed_exclusions(self) -> tuple[Exclusion, ...]:
        return self.excluded[:MAX_LISTED_EXCLUSIONS]


def resolve(pool: Pool, draft: Draft, candidates: Iterable[Member]) -> Resolution:
    """Resolve the address of ``draft``.

    Args:
        candidates: Every member that matches the address, whatever its policies.
    """
    if draft.to.kind is TargetKind.POOL and draft.to.value != pool.pool_id:
        return Resolution(failure=Undelivered.FOREIGN_POOL)
    matching = sorted(candidates, key=lambda member: member.run_id)
    if not holds(draft.policy_refs, pool.config.required_policy_refs):
        return _nobody(matching, Undelivered.POLICY_REQUIRED_MISSING)
    if not matching:
        return _no_candidates(draft.to)
    verdicts = [(member, _obstacle(pool, draft, member)) for member in matching]
    eligible = [member for member, obstacle in verdicts if obstacle is None]
    if len(eligible) > 1 and draft.to.cardinality is Cardinality.EXACTLY_ONE:
        return _nobody(matching, Undelivered.AMBIGUOUS_RECIPIENT)
    excluded = tuple(
        Exclusion(member.run_id, member.agent_id, obstacle)
        for member, obstacle in verdicts
        if obstacle is not None
    )
    return Resolution(
        tuple(Recipient(member.run_id, member.agent_id) for member in eligible),
        excluded,
        None if eligible else _strongest(excluded),
    )


def _obstacle(pool: Pool, draft: Draft, member: Member) -> Undelivered | None:
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


def _nobody(matching: Sequence[Member], reason: Undelivered) -> Resolution:
    excluded = tuple(Exclusion(member.run_id, member.agent_id, reason) for member in matching)
    return Resolution(excluded=excluded, failure=reason)


def _strongest(excluded: Sequence[Exclusion]) -> Undelivered:
    # A missing policy can be repaired; being the sender cannot.
    mismatch = Undelivered.RECIPIENT_POLICY_MISMATCH
    return mismatch if any(e.reason is mismatch for e in excluded) else excluded[0].reason
