"""The use cases of the registry, over a store of dictionaries or another one."""

from __future__ import annotations

import pickle
from collections.abc import Coroutine, Iterable
from typing import TypeVar

from services.registry.core.changes.applying import Applied, Applier, ApplyCommand
from services.registry.core.changes.provider_lifecycle import ProviderLifecycle
from services.registry.core.changes.registering import ProviderCommand
from services.registry.core.history.history import History
from services.registry.core.model import Provider, Resource
from services.registry.core.ports import Reads, ResourceCodec, Store
from services.registry.core.refs import Ref
from services.registry.core.registry import Registry
from services.registry.core.rules.validating import Submitted
from services.registry.core.stored import Head, ListQuery, Stored
from tests.support.callers import LOCAL
from tests.support.clock import ManualClock
from tests.support.memory_registry import MemoryRegistryStore

T = TypeVar("T")

EVERYTHING = ListQuery(None, "", None, 10_000)


class PickleCodec:
    def encode(self, resource: Resource) -> bytes:
        return pickle.dumps(resource)

    def decode(self, body: bytes) -> Resource:
        decoded: Resource = pickle.loads(body)  # noqa: S301  # what encode made
        return decoded


class UseCases:
    """The use cases over one store, the dictionaries unless another one is given."""

    def __init__(self, store: Store | None = None, codec: ResourceCodec | None = None) -> None:
        self.clock = ManualClock()
        self.store: Store = store or MemoryRegistryStore()
        self.codec = codec or PickleCodec()
        self.registry = Registry(self.store, self.codec, self.clock)
        self.applier = Applier(self.store, self.codec, self.clock)
        self.providers = ProviderLifecycle(self.store, self.codec, self.clock)
        self.history = History(self.store, self.codec, self.clock)

    async def apply(self, *given: Resource, **fields: object) -> Applied:
        applied = await self.applier.apply(LOCAL, command(given, **fields))
        assert isinstance(applied, Applied)
        return applied

    async def head(self) -> Head:
        return await self.store.read(lambda reads: reads.head())

    async def stored(self) -> dict[Ref, Stored]:
        """Everything in the current version as it is kept, by kind and id."""

        def find(reads: Reads) -> dict[Ref, Stored]:
            found = (reads.stored(each.ref) for each in reads.listed(EVERYTHING))
            return {stored.ref: stored for stored in found if stored}

        return await self.store.read(find)

    async def contents(self) -> dict[Ref, Resource]:
        return {ref: self.codec.decode(each.body) for ref, each in (await self.stored()).items()}


def provider_command(provider: Provider, **fields: object) -> ProviderCommand:
    return ProviderCommand(Submitted("provider", provider), **fields)  # type: ignore[arg-type]


def command(given: Iterable[Resource], **fields: object) -> ApplyCommand:
    submitted = tuple(Submitted(f"resources[{n}]", each) for n, each in enumerate(given))
    return ApplyCommand(submitted, **fields)  # type: ignore[arg-type]  # fields of the command


def at_once(work: Coroutine[object, None, T]) -> T:
    """The result of what never waits: Hypothesis has no loop."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits for something")
