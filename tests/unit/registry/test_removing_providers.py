"""What removing a provider touches, and what either policy lets go with it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from services.registry.core.changes import removing_providers as removing
from services.registry.core.changes.removing_providers import Dependents, Impact, RemovalPolicy
from services.registry.core.errors import ProviderInUseError
from services.registry.core.model import MemberRole, ModelPool, PoolBreaker, PoolMember
from services.registry.core.refs import Kind, Ref, Target

BLOCK = RemovalPolicy.BLOCK_IF_REFERENCED
CASCADE = RemovalPolicy.CASCADE_UNUSED_MODELS
PROVIDER = Ref(Kind.PROVIDER, "p")
SPARE = MemberRole.FAILOVER_ONLY


def index(edges: dict[str, list[str]]) -> Dependents:
    """Who refers to whom, as ``{"model/m": ["agent/a"]}``."""
    known = {_ref(target).target: list(map(_ref, users)) for target, users in edges.items()}

    def dependents(targets: Iterable[Target]) -> set[Ref]:
        return {user for target in targets for user in known.get(target, ())}

    return dependents


def _ref(text: str) -> Ref:
    kind, _, id_ = text.partition("/")
    return Ref(Kind[kind.upper()], id_)


def test_a_provider_that_nothing_refers_to_takes_nothing_with_it() -> None:
    impact = removing.impact_of(PROVIDER, index({}))

    assert impact == Impact("p")
    assert impact.allows(BLOCK)
    assert impact.allows(CASCADE)


def test_the_impact_reaches_agents_behind_pools_sorted_and_once() -> None:
    # given two models, both in a pool; one agent uses a model and the pool's agents use the pool
    edges = {
        "provider/p": ["model/n", "model/m"],
        "model/m": ["model_pool/y", "agent/direct"],
        "model/n": ["model_pool/y", "model_pool/x", "agent/direct"],
        "model_pool/y": ["agent/b", "agent/a"],
        "model/foreign": ["agent/elsewhere"],
    }

    # when
    impact = removing.impact_of(PROVIDER, index(edges))

    # then
    assert impact == Impact("p", ("m", "n"), ("x", "y"), ("a", "b", "direct"))
    assert not impact.allows(BLOCK)
    assert not impact.allows(CASCADE)


def test_models_in_pools_that_no_agent_uses_may_cascade() -> None:
    impact = removing.impact_of(
        PROVIDER, index({"provider/p": ["model/m"], "model/m": ["model_pool/x"]})
    )

    assert not impact.allows(BLOCK)
    assert impact.allows(CASCADE)
    removing.check_removable(impact, CASCADE)


@pytest.mark.parametrize("policy", RemovalPolicy)
def test_a_refusal_names_everything_whatever_is_in_the_way(policy: RemovalPolicy) -> None:
    with pytest.raises(ProviderInUseError) as caught:
        removing.check_removable(Impact("p", ("m", "n"), ("x",), ("a",)), policy)

    assert caught.value.metadata == {
        "provider_id": "p",
        "model_ids": "m\nn",
        "model_count": "2",
        "pool_ids": "x",
        "pool_count": "1",
        "agent_ids": "a",
        "agent_count": "1",
    }
    assert str(caught.value) == (
        "provider p is in use by 2 model(s), 1 pool(s) and 1 agent(s): m,n; x; a"
    )


def test_a_pool_keeps_its_other_members_in_order_and_everything_else() -> None:
    # given
    members = (PoolMember("b", 3), PoolMember("m", 2), PoolMember("a", role=SPARE))
    pool = ModelPool("x", members, breaker=PoolBreaker(cooldown=PoolBreaker().cooldown / 2))

    # when
    result = removing.cascade([pool], {"m"})

    # then
    left = (PoolMember("b", 3), PoolMember("a", role=SPARE))
    assert result.shrunk == (ModelPool("x", left, breaker=pool.breaker),)
    assert result.emptied == ()


@pytest.mark.parametrize(
    "members",
    [(PoolMember("m"),), (PoolMember("m"), PoolMember("a", role=SPARE))],
)
def test_a_pool_without_a_home_goes_too(members: tuple[PoolMember, ...]) -> None:
    result = removing.cascade([ModelPool("x", members)], {"m", "n"})

    assert result.shrunk == ()
    assert result.emptied == (Ref(Kind.MODEL_POOL, "x"),)
