"""What removing a provider affects, and what it removes with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from services.registry.core.errors import ProviderInUseError
from services.registry.core.model import MemberRole, ModelPool, PoolMember
from services.registry.core.refs import Kind, Ref, Target

# The resources that refer to any of the targets, without duplicates.
Dependents = Callable[[Iterable[Target]], Collection[Ref]]


class RemovalPolicy(Enum):
    """What may be removed with a provider."""

    BLOCK_IF_REFERENCED = "block_if_referenced"
    CASCADE_UNUSED_MODELS = "cascade_unused_models"


@dataclass(frozen=True, slots=True)
class RemovalCommand:
    """What the caller wants."""

    provider_id: str
    policy: RemovalPolicy
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Impact:
    """What removing a provider would affect; every list is sorted, without duplicates.

    Attributes:
        pool_ids: Pools that have one of the models as a member.
        agent_ids: Local agents that reach one of the models, directly or through a pool.
    """

    provider_id: str
    model_ids: tuple[str, ...] = ()
    pool_ids: tuple[str, ...] = ()
    agent_ids: tuple[str, ...] = ()

    def allows(self, policy: RemovalPolicy) -> bool:
        dependents = {
            RemovalPolicy.BLOCK_IF_REFERENCED: self.model_ids,
            RemovalPolicy.CASCADE_UNUSED_MODELS: self.agent_ids,
        }
        return not dependents[policy]


@dataclass(frozen=True, slots=True)
class Cascade:
    """What happens to pools when models are removed.

    Attributes:
        shrunk: Pools that keep a home member, without the removed ones.
        emptied: Pools without a home member; they are removed too.
    """

    shrunk: tuple[ModelPool, ...]
    emptied: tuple[Ref, ...]


def impact_of(provider: Ref, dependents: Dependents) -> Impact:
    """Follow the references backwards, from the provider to the agents.

    Remote agents hold no reference to a model, so none of them is found.
    """
    models = dependents([provider.target])
    users = set(dependents(model.target for model in models))
    pools = {user for user in users if user.kind is Kind.MODEL_POOL}
    agents = (users - pools) | set(dependents(pool.target for pool in pools))
    return Impact(provider.id, _ids(models), _ids(pools), _ids(agents))


def check_removable(impact: Impact, policy: RemovalPolicy) -> None:
    """Raise with everything that is affected unless ``policy`` allows the removal.

    Raises:
        ProviderInUseError: Names the models, pools and agents that depend on it.
    """
    if not impact.allows(policy):
        raise ProviderInUseError.of(
            impact.provider_id, impact.model_ids, impact.pool_ids, impact.agent_ids
        )


def cascade(pools: Sequence[ModelPool], removed_ids: Collection[str]) -> Cascade:
    """Remove models from ``pools``, which have at least one of them as a member."""
    left = [(pool, _without(pool, removed_ids)) for pool in pools]
    return Cascade(
        shrunk=tuple(replace(pool, members=rest) for pool, rest in left if _has_home(rest)),
        emptied=tuple(pool.ref for pool, rest in left if not _has_home(rest)),
    )


def _without(pool: ModelPool, removed_ids: Collection[str]) -> tuple[PoolMember, ...]:
    return tuple(member for member in pool.members if member.model_id not in removed_ids)


def _has_home(members: Iterable[PoolMember]) -> bool:
    return any(member.role is MemberRole.MEMBER for member in members)


def _ids(refs: Iterable[Ref]) -> tuple[str, ...]:
    return tuple(sorted({ref.id for ref in refs}))
