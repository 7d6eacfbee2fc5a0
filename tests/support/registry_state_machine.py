"""Any sequence of mutations, over any store: each is followed by a check from first principles."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.chassis.caller import Replay
from services.chassis.errors import DomainError, InvalidRequestError
from services.registry.core import errors
from services.registry.core import model as m
from services.registry.core.canonical import normalised
from services.registry.core.changes.applying import Applied, Mode
from services.registry.core.changes.deleting import DeleteCommand
from services.registry.core.changes.provider_lifecycle import Removed
from services.registry.core.changes.removing_providers import Impact, RemovalCommand, RemovalPolicy
from services.registry.core.history.rolling_back import RollbackCommand
from services.registry.core.refs import Kind, Ref
from services.registry.core.rules.validating import (
    Submitted,
    diagnose,
    field_violations,
    references,
)
from services.registry.core.stored import ReferenceFacts, Stored
from tests.support.callers import LOCAL
from tests.support.registry_strategies import IDS, providers, resources
from tests.support.registry_use_cases import UseCases, provider_command


class Answer(Protocol):
    """What every mutation answers."""

    @property
    def version(self) -> int: ...


T = TypeVar("T")
A = TypeVar("A", bound=Answer)
Contents = dict[Ref, m.Resource]

_ids = st.sampled_from(IDS)
_pool_ids = st.sampled_from(["x", "y"])
_refs = st.builds(Ref, st.sampled_from(Kind), _ids | _pool_ids)
_REMOTE = m.AgentEndpoint("https://agents.example")


class AnyMutations(RuleBasedStateMachine):
    """Every snapshot is valid as a whole, every success one version, the rest is untouched."""

    def __init__(self) -> None:
        super().__init__()
        self.use_cases = self.open_use_cases()
        self.past: dict[int, Contents] = {1: {}}

    def open_use_cases(self) -> UseCases:
        """The use cases over an empty store."""
        raise NotImplementedError

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``."""
        raise NotImplementedError

    @initialize(owners=st.tuples(*[st.sampled_from(IDS[:2])] * len(IDS)))
    def add_providers_and_models(self, owners: tuple[str, ...]) -> None:
        """Two providers that share the models, so that not every rule is refused."""
        added: list[m.Resource] = [m.Provider(id_, m.BuiltinAdapter()) for id_ in IDS[:2]]
        added += [m.Model(id_, owner, "u") for id_, owner in zip(IDS, owners, strict=True)]
        self._apply(added, apply_set="s")

    @rule(
        given=st.lists(resources(), min_size=1, max_size=4),
        mode=st.sampled_from(Mode),
        apply_set=st.sampled_from(["", "s", "t"]),
        prune=st.booleans(),
    )
    def apply_anything(
        self, given: list[m.Resource], mode: Mode, apply_set: str, prune: bool
    ) -> None:
        self._apply(given, mode=mode, apply_set=apply_set, prune=prune)

    @rule(id_=_ids, given=st.lists(resources(), max_size=3))
    def apply_something_whole(self, id_: str, given: list[m.Resource]) -> None:
        """A chain that stands on its own, so that more than providers and tools get in."""
        chain: dict[Ref, m.Resource] = {
            Ref(Kind.PROVIDER, id_): m.Provider(id_, m.BuiltinAdapter())
        }
        chain[Ref(Kind.MODEL, id_)] = m.Model(
            id_, id_, "u", cache_ttl=timedelta(seconds=len(given))
        )
        chain |= {each.ref: each for each in given}
        self._apply(list(chain.values()))

    @rule(
        id_=_pool_ids,
        members=st.lists(_ids, min_size=1, max_size=3, unique=True),
        homes=st.integers(1, 3),
        agent=st.sampled_from(["", "", "local", "remote"]),
    )
    def apply_a_pool(self, id_: str, members: list[str], homes: int, agent: str) -> None:
        roles = [m.MemberRole.MEMBER] * homes + [m.MemberRole.FAILOVER_ONLY] * 2
        pairs = zip(members, roles, strict=False)
        pool = m.ModelPool(id_, tuple(m.PoolMember(member, role=role) for member, role in pairs))
        user = m.Agent(f"{agent} agent", id_, endpoint=_REMOTE if agent == "remote" else None)
        self._apply([pool, user] if agent else [pool])

    @rule(apply_set=st.sampled_from(["s", "t"]))
    def drop_a_set(self, apply_set: str) -> None:
        self._apply([], apply_set=apply_set, prune=True)

    @rule(ref=_refs | st.just(Ref(Kind.AGENT, "local agent")))
    def delete(self, ref: Ref) -> None:
        before = self.wait(self.use_cases.contents())
        users = {user for user, each in before.items() if ref.target in _targets(each)}
        outcome = self._mutate(self.use_cases.registry.delete(LOCAL, DeleteCommand(ref)), {ref})
        if ref not in before:
            assert isinstance(outcome, errors.ResourceNotFoundError)
        elif users:
            assert isinstance(outcome, errors.ResourceInUseError)
            named = [outcome.metadata[f"{kind}_ids"] for kind in ("model", "pool", "agent")]
            kinds = (Kind.MODEL, Kind.MODEL_POOL, Kind.AGENT)
            assert named == ["\n".join(_ids_of(users, kind)) for kind in kinds]
        else:
            assert self.wait(self.use_cases.contents()) == _without(before, {ref})

    @rule(provider=providers())
    def register(self, provider: m.Provider) -> None:
        before = self.wait(self.use_cases.contents())
        work = self.use_cases.providers.register(LOCAL, provider_command(provider))
        outcome = self._mutate(work, {provider.ref})
        if provider.ref in before:
            assert isinstance(outcome, errors.ProviderExistsError)
        else:
            self._holds({**before, provider.ref: normalised(provider)})

    @rule(provider=providers())
    def replace(self, provider: m.Provider) -> None:
        before = self.wait(self.use_cases.contents())
        work = self.use_cases.providers.replace(LOCAL, provider_command(provider))
        outcome = self._mutate(work, {provider.ref})
        if provider.ref in before:
            self._holds({**before, provider.ref: normalised(provider)})
        else:
            assert isinstance(outcome, errors.ProviderNotFoundError)

    @rule(id_=st.sampled_from(IDS[:2]) | _ids, policy=st.sampled_from(RemovalPolicy))
    def remove_a_provider(self, id_: str, policy: RemovalPolicy) -> None:
        before = self.wait(self.use_cases.contents())
        impact = _impact(before, id_)
        expected = _without_provider(before, impact)
        touched = {ref for ref in before if before[ref] != expected.get(ref)}
        work = self.use_cases.providers.remove(LOCAL, RemovalCommand(id_, policy))
        outcome = self._mutate(work, touched)
        blocking = policy is RemovalPolicy.BLOCK_IF_REFERENCED
        if Ref(Kind.PROVIDER, id_) not in before:
            assert isinstance(outcome, errors.ProviderNotFoundError)
        elif impact.model_ids if blocking else impact.agent_ids:
            assert isinstance(outcome, errors.ProviderInUseError)
            assert self.wait(self.use_cases.providers.preview_removal(id_)).impact == impact
            assert outcome.metadata["pool_ids"] == "\n".join(impact.pool_ids)
        else:
            assert isinstance(outcome, Removed)
            assert outcome.model_ids == impact.model_ids
            gone = before.keys() - expected.keys()
            assert list(outcome.pool_ids) == _ids_of(gone, Kind.MODEL_POOL)
            assert list(outcome.shrunk_pool_ids) == _ids_of(touched - gone, Kind.MODEL_POOL)
            self._holds(expected)

    @rule(
        id_=st.sampled_from(IDS[:2]),
        members=st.lists(_ids, min_size=1, max_size=3, unique=True),
        homes=st.integers(1, 3),
    )
    def remove_a_provider_from_a_pool(self, id_: str, members: list[str], homes: int) -> None:
        self.apply_a_pool("z", members, homes, "")
        self.remove_a_provider(id_, RemovalPolicy.CASCADE_UNUSED_MODELS)

    @rule(back=st.integers(0, 6))
    def roll_back(self, back: int) -> None:
        before, current = self.wait(self.use_cases.contents()), max(self.past)
        version = current - back
        then = self.past.get(version, {})
        differing = {ref for ref in before | then if before.get(ref) != then.get(ref)}
        work = self.use_cases.history.rollback(LOCAL, RollbackCommand(version))
        outcome = self._mutate(work, differing)
        if version in self.past:
            self._holds(then)
        else:
            assert isinstance(outcome, errors.VersionNotFoundError)

    def _apply(self, given: list[m.Resource], **fields: object) -> None:
        before = self.wait(self.use_cases.stored())
        plan = self._outcome(self.use_cases.apply(*given, dry_run=True, **fields))
        assert self.wait(self.use_cases.stored()) == before
        outcome = self._mutate(self.use_cases.apply(*given, **fields), _named)
        assert type(plan) is type(outcome)
        if isinstance(plan, Applied) and isinstance(outcome, Applied):
            assert plan.version == outcome.version
            assert [(c.ref, c.action) for c in plan.changes] == [
                (c.ref, c.action) for c in outcome.changes
            ]
            contents = self.wait(self.use_cases.contents())
            assert {each.ref: contents[each.ref] for each in given} == {
                each.ref: normalised(each) for each in given
            }

    def _mutate(
        self,
        work: Coroutine[Any, Any, A | Replay],
        touched: set[Ref] | Callable[[A], set[Ref]],
    ) -> A | DomainError:
        """Run ``work``; it makes one version, or none and no change."""
        before, version = self._now()
        outcome = self._outcome(work)
        after, current = self._now()
        if isinstance(outcome, DomainError):
            assert (after, current) == (before, version)
            assert isinstance(outcome, InvalidRequestError) == bool(outcome.violations)
            return outcome
        assert not isinstance(outcome, Replay)
        named = touched if isinstance(touched, set) else touched(outcome)
        assert _without(after, named) == _without(before, named)
        assert outcome.version == current == version + (_hashes(before) != _hashes(after))
        self.past[current] = self.wait(self.use_cases.contents())
        return outcome

    def _outcome(self, work: Coroutine[Any, Any, T]) -> T | DomainError:
        try:
            return self.wait(work)
        except DomainError as error:
            return error

    def _now(self) -> tuple[dict[Ref, Stored], int]:
        return self.wait(self.use_cases.stored()), self.wait(self.use_cases.head()).version

    def _holds(self, expected: Contents) -> None:
        assert self.wait(self.use_cases.contents()) == expected

    @invariant()
    def every_resource_is_legal_and_every_reference_met(self) -> None:
        """Checked from scratch, over everything, unlike the incremental rule under test."""
        contents = self.wait(self.use_cases.contents())
        targets: dict[object, set[Kind]] = {}
        for ref in contents:
            targets.setdefault(ref.target, set()).add(ref.kind)
        facts = ReferenceFacts({t: frozenset(k) for t, k in targets.items()})  # type: ignore[misc]
        submitted = [Submitted(str(ref), each) for ref, each in contents.items()]
        assert diagnose(submitted, (), facts) == []
        for each in contents.values():
            assert list(field_violations(each, "r")) == []
            assert _targets(each) <= targets.keys()


def _named(applied: Applied) -> set[Ref]:
    """What was submitted or removed; even what stays the same may change its mark."""
    return {change.ref for change in applied.changes}


def _impact(contents: Contents, provider_id: str) -> Impact:
    """What a removal touches, by looking at everything."""
    every = contents.values()
    models = {
        each.id for each in every if isinstance(each, m.Model) and each.provider_id == provider_id
    }
    pools = {
        pool.id
        for pool in every
        if isinstance(pool, m.ModelPool) and models & {each.model_id for each in pool.members}
    }
    agents = {
        agent.id
        for agent in every
        if isinstance(agent, m.Agent) and not agent.endpoint and agent.model_id in models | pools
    }
    lists = (tuple(sorted(ids)) for ids in (models, pools, agents))
    return Impact(provider_id, *lists)


def _without_provider(contents: Contents, impact: Impact) -> Contents:
    """What a cascade leaves."""
    left = dict(contents)
    left.pop(Ref(Kind.PROVIDER, impact.provider_id), None)
    for id_ in impact.model_ids:
        del left[Ref(Kind.MODEL, id_)]
    for ref, pool in contents.items():
        if isinstance(pool, m.ModelPool):
            rest = tuple(each for each in pool.members if each.model_id not in impact.model_ids)
            left[ref] = replace(pool, members=rest)
            if not any(each.role is m.MemberRole.MEMBER for each in rest):
                del left[ref]
    return left


def _targets(resource: m.Resource) -> set[object]:
    return {reference.target for reference in references(resource)}


def _without(each: Mapping[Ref, T], named: set[Ref]) -> dict[Ref, T]:
    return {ref: value for ref, value in each.items() if ref not in named}


def _hashes(stored: Mapping[Ref, Stored]) -> dict[Ref, bytes]:
    return {ref: each.content_hash for ref, each in stored.items()}


def _ids_of(refs: Iterable[Ref], kind: Kind) -> list[str]:
    return sorted(ref.id for ref in refs if ref.kind is kind)
