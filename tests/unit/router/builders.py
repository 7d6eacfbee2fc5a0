"""Pools, members, messages, pins and decisions in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from services.content.model import Message, Role, Text
from services.router.core.decision import (
    Attempt,
    AttemptKind,
    AttemptOutcome,
    RouteDecision,
    Skipped,
    Sticky,
)
from services.router.core.failures import Failure, FailureClass
from services.router.core.model import (
    Adapter,
    Builtin,
    Member,
    Model,
    Pool,
    PoolMember,
    Provider,
    Target,
)
from services.router.core.pins import Pin
from services.router.core.script import Script
from tests.support.clock import START

NOW = START


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def member(
    model_id: str,
    weight: int = 1,
    *,
    failover_only: bool = False,
    adapter: Adapter | None = None,
    **model: Any,
) -> Member:
    provider = Provider(f"provider-{model_id}", adapter or Builtin(Script()))
    return Member(
        Model(model_id, provider.id, f"up-{model_id}", **model), provider, weight, failover_only
    )


def target(*members: Member, revision: str = "r1", **pool: Any) -> Target:
    named = tuple(PoolMember(m.id, m.weight, m.failover_only) for m in members)
    return Target(replace(Pool("pool", named), **pool), members, revision, is_pool=True)


def user(text: str) -> Message:
    return Message(Role.USER, (Text(text),))


def ids(found: Target, order: Sequence[int]) -> list[str]:
    return [found.members[index].id for index in order]


def a_pin(session: str = "thread:t1", **changes: Any) -> Pin:
    pin = Pin(
        tenant="default",
        pool_id="pool",
        session=session,
        revision="r1",
        member_id="b",
        home_member_id="a",
        reason=FailureClass.RATE_LIMIT,
        run_id="run-1",
        moved_at=NOW,
        used_at=NOW,
        ttl_s=3600.0,
        traceparent="00-1-2-01",
    )
    return replace(pin, **changes)


def attempt(number: int, member_id: str = "", failure: Failure | None = None) -> Attempt:
    return Attempt(
        f"01a1fcb2-b35e-7dfa-923d-{number:012}",
        number,
        member_id or f"member-{number}",
        "provider",
        "upstream",
        AttemptKind.FAILOVER,
        AttemptOutcome.FAILED,
        failure,
    )


def decision(attempts: Sequence[Attempt], skipped: Sequence[Skipped] = ()) -> RouteDecision:
    bare = RouteDecision("pool", True, "r1", 7, "home", Sticky.MOVED)
    return replace(bare, attempts=tuple(attempts), skipped=tuple(skipped))
