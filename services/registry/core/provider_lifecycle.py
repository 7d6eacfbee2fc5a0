"""The use cases of providers: register, replace, preview a removal, remove."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from services.chassis.caller import Replay
from services.chassis.clock import Clock
from services.registry.core.applying import Action, Held, Upsert, check_version, upsert
from services.registry.core.errors import ProviderNotFoundError
from services.registry.core.model import Kind, ModelPool, Ref
from services.registry.core.ports import (
    Head,
    Origin,
    RegistryReads,
    RegistryStore,
    RegistryTx,
    ResourceCodec,
)
from services.registry.core.publishing import Publisher, mutate
from services.registry.core.registering import (
    ProviderCommand,
    check_provider,
    registered,
    replaced,
)
from services.registry.core.removing_providers import (
    Impact,
    RemovalCommand,
    cascade,
    check_removable,
    impact_of,
)


@dataclass(frozen=True, slots=True)
class Registered:
    """The version with the new provider."""

    version: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """The version with the provider as it was asked for; the current one if it was so before."""

    version: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class RemovalPreview:
    """What a removal would touch at this version."""

    impact: Impact
    version: int


@dataclass(frozen=True, slots=True)
class Removed:
    """What a removal took with it; every list is sorted, without doubles.

    Attributes:
        shrunk_pool_ids: Pools that stay without the models that went.
    """

    provider_id: str
    model_ids: tuple[str, ...]
    pool_ids: tuple[str, ...]
    shrunk_pool_ids: tuple[str, ...]
    agent_ids: tuple[str, ...]
    version: int
    incarnation: str


class ProviderLifecycle:
    """What can be done to one provider.

    Args:
        encode: The bytes of an answer, kept for repeats of a request.
    """

    def __init__(
        self,
        store: RegistryStore,
        codec: ResourceCodec,
        encode: Callable[[Registered | Replaced | Removed], bytes],
        clock: Clock,
    ) -> None:
        self._store = store
        self._codec = codec
        self._encode = encode
        self._publisher = Publisher(codec, clock)

    async def register(self, origin: Origin, command: ProviderCommand) -> Registered | Replay:
        """Add a provider.

        Raises:
            VersionMismatchError: ``expected_version`` is not current.
            InvalidRequestError: With every violation.
            ProviderExistsError: The id is known.
        """

        def register(tx: RegistryTx, head: Head) -> Registered:
            version = self._put(tx, head, origin, command, registered)
            return Registered(version, head.incarnation)

        return await mutate(self._store, origin, register, self._encode)

    async def replace(self, origin: Origin, command: ProviderCommand) -> Replaced | Replay:
        """Put a provider in the place of one; what refers to it stays as it is.

        Raises:
            VersionMismatchError: ``expected_version`` is not current.
            InvalidRequestError: With every violation.
            ProviderNotFoundError: The id is unknown.
        """

        def replace(tx: RegistryTx, head: Head) -> Replaced:
            return Replaced(self._put(tx, head, origin, command, replaced), head.incarnation)

        return await mutate(self._store, origin, replace, self._encode)

    async def preview_removal(self, provider_id: str) -> RemovalPreview:
        """Raises:
        ProviderNotFoundError: The id is unknown.
        """

        def preview(reads: RegistryReads) -> RemovalPreview:
            return RemovalPreview(_impact(reads, provider_id), reads.head().version)

        return await self._store.read(preview)

    async def remove(self, origin: Origin, command: RemovalCommand) -> Removed | Replay:
        """Remove a provider and what the policy lets go with it.

        Raises:
            VersionMismatchError: ``expected_version`` is not current.
            ProviderNotFoundError: The id is unknown.
            ProviderInUseError: The policy does not allow it.
        """

        def remove(tx: RegistryTx, head: Head) -> Removed:
            check_version(command.expected_version, head.version)
            impact = _impact(tx, command.provider_id)
            check_removable(impact, command.policy)
            return self._remove(tx, head, origin, impact)

        return await mutate(self._store, origin, remove, self._encode)

    def _put(
        self,
        tx: RegistryTx,
        head: Head,
        origin: Origin,
        command: ProviderCommand,
        decide: Callable[[ProviderCommand, Held | None], Upsert],
    ) -> int:
        check_version(command.expected_version, head.version)
        check_provider(command)
        ref = command.submitted.ref
        decided = decide(command, tx.held([ref]).get(ref))
        if decided.action is Action.UNCHANGED:
            return head.version
        return self._publisher.publish(tx, head, origin, upserts=[decided])

    def _remove(self, tx: RegistryTx, head: Head, origin: Origin, impact: Impact) -> Removed:
        models = [Ref(Kind.MODEL, id_) for id_ in impact.model_ids]
        pools = cascade(self._pools(tx, impact.pool_ids), frozenset(impact.model_ids))
        version = self._publisher.publish(
            tx,
            head,
            origin,
            upserts=_marked(tx, pools.shrunk),
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

    def _pools(self, reads: RegistryReads, ids: Iterable[str]) -> list[ModelPool]:
        found = (reads.stored(Ref(Kind.MODEL_POOL, id_)) for id_ in ids)
        pools = (self._codec.decode(stored.body) for stored in found if stored)
        return [pool for pool in pools if isinstance(pool, ModelPool)]


def _impact(reads: RegistryReads, provider_id: str) -> Impact:
    provider = Ref(Kind.PROVIDER, provider_id)
    if not reads.held([provider]):
        raise ProviderNotFoundError.of(provider_id)
    return impact_of(provider, reads.dependents)


def _marked(reads: RegistryReads, pools: Sequence[ModelPool]) -> list[Upsert]:
    """The pools as they are to be written, each with the mark that it has."""
    held = reads.held(pool.ref for pool in pools)
    return [upsert(pool, "", held[pool.ref]) for pool in pools]
