"""The use cases of providers: register, replace, preview a removal, remove."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from services.chassis.caller import Caller, Replay
from services.chassis.clock import Clock
from services.registry.core.changes.publishing import (
    Action,
    Publisher,
    Upsert,
    check_version,
    mutate,
    upsert,
)
from services.registry.core.changes.registering import (
    ProviderCommand,
    check_provider,
    registered,
    replaced,
)
from services.registry.core.changes.removing_providers import (
    Impact,
    RemovalCommand,
    cascade,
    check_removable,
    impact_of,
)
from services.registry.core.errors import ProviderNotFoundError
from services.registry.core.model import ModelPool
from services.registry.core.ports import Reads, ResourceCodec, Store, Tx
from services.registry.core.refs import Kind, Ref
from services.registry.core.stored import Existing, Head


@dataclass(frozen=True, slots=True)
class Registered:
    """The version with the new provider."""

    version: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """The version with the new content; the current one when nothing changed."""

    version: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class RemovalPreview:
    """What a removal would touch at this version."""

    impact: Impact
    version: int


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal removed and changed; every list is sorted, without duplicates.

    Attributes:
        shrunk_pool_ids: Pools that remain, without the removed models.
    """

    provider_id: str
    model_ids: tuple[str, ...]
    pool_ids: tuple[str, ...]
    shrunk_pool_ids: tuple[str, ...]
    agent_ids: tuple[str, ...]
    version: int
    incarnation: str


class ProviderLifecycle:
    """What can be done to one provider."""

    def __init__(
        self,
        store: Store,
        codec: ResourceCodec,
        clock: Clock,
    ) -> None:
        self._store = store
        self._codec = codec
        self._publisher = Publisher(codec, clock)

    async def register(self, caller: Caller, command: ProviderCommand) -> Registered | Replay:
        """Add a provider.

        Raises:
            VersionMismatchError: ``expected_version`` is not current.
            InvalidRequestError: With every violation.
            ProviderExistsError: The id is known.
        """

        def register(tx: Tx, head: Head) -> Registered:
            version = self._put(tx, head, caller, command, registered)
            return Registered(version, head.incarnation)

        return await mutate(self._store, caller, register)

    async def replace(self, caller: Caller, command: ProviderCommand) -> Replaced | Replay:
        """Replace the content of a provider; what refers to it does not change.

        Raises:
            VersionMismatchError: ``expected_version`` is not current.
            InvalidRequestError: With every violation.
            ProviderNotFoundError: The id is unknown.
        """

        def replace(tx: Tx, head: Head) -> Replaced:
            return Replaced(self._put(tx, head, caller, command, replaced), head.incarnation)

        return await mutate(self._store, caller, replace)

    async def preview_removal(self, provider_id: str) -> RemovalPreview:
        """Raises:
        ProviderNotFoundError: The id is unknown.
        """

        def preview(reads: Reads) -> RemovalPreview:
            return RemovalPreview(_impact(reads, provider_id), reads.head().version)

        return await self._store.read(preview)

    async def remove(self, caller: Caller, command: RemovalCommand) -> Removed | Replay:
        """Remove a provider and what the policy removes with it.

        Raises:
            VersionMismatchError: ``expected_version`` is not current.
            ProviderNotFoundError: The id is unknown.
            ProviderInUseError: The policy does not allow it.
        """

        def remove(tx: Tx, head: Head) -> Removed:
            check_version(command.expected_version, head.version)
            impact = _impact(tx, command.provider_id)
            check_removable(impact, command.policy)
            return self._remove(tx, head, caller, impact)

        return await mutate(self._store, caller, remove)

    def _put(
        self,
        tx: Tx,
        head: Head,
        caller: Caller,
        command: ProviderCommand,
        decide: Callable[[ProviderCommand, Existing | None], Upsert],
    ) -> int:
        check_version(command.expected_version, head.version)
        check_provider(command)
        ref = command.submitted.ref
        decided = decide(command, tx.existing([ref]).get(ref))
        if decided.action is Action.UNCHANGED:
            return head.version
        return self._publisher.publish(tx, head, caller, upserts=[decided])

    def _remove(self, tx: Tx, head: Head, caller: Caller, impact: Impact) -> Removed:
        models = [Ref(Kind.MODEL, id_) for id_ in impact.model_ids]
        pools = cascade(self._pools(tx, impact.pool_ids), frozenset(impact.model_ids))
        version = self._publisher.publish(
            tx,
            head,
            caller,
            upserts=_pool_upserts(tx, pools.shrunk),
            removed=[Ref(Kind.PROVIDER, impact.provider_id), *models, *pools.emptied],
        )
        return Removed(
            provider_id=impact.provider_id,
            model_ids=impact.model_ids,
            pool_ids=tuple(ref.id for ref in pools.emptied),
            shrunk_pool_ids=tuple(pool.id for pool in pools.shrunk),
            agent_ids=impact.agent_ids,
            version=version,
            incarnation=head.incarnation,
        )

    def _pools(self, reads: Reads, ids: Iterable[str]) -> list[ModelPool]:
        found = (reads.stored(Ref(Kind.MODEL_POOL, id_)) for id_ in ids)
        pools = (self._codec.decode(stored.body) for stored in found if stored)
        return [pool for pool in pools if isinstance(pool, ModelPool)]


def _impact(reads: Reads, provider_id: str) -> Impact:
    provider = Ref(Kind.PROVIDER, provider_id)
    if not reads.existing([provider]):
        raise ProviderNotFoundError.of(provider_id)
    return impact_of(provider, reads.dependents)


def _pool_upserts(reads: Reads, pools: Sequence[ModelPool]) -> list[Upsert]:
    """The pools as they are to be written, each in the apply set that it is in."""
    existing = reads.existing(pool.ref for pool in pools)
    return [upsert(pool, "", existing[pool.ref]) for pool in pools]
