"""Pools, members and messages in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.content.model import Message, Role, Text
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
from services.router.core.script import Script


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
