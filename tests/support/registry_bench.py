"""The use cases of the registry over a store of dictionaries."""

from __future__ import annotations

import pickle
from collections.abc import Coroutine, Iterable
from typing import TypeVar

from services.chassis.caller import LOCAL_PRINCIPAL, RequestKey
from services.registry.core.applying import ApplyCommand
from services.registry.core.history import History
from services.registry.core.history_ports import HistoryStore
from services.registry.core.model import Provider, Ref, Resource
from services.registry.core.ports import (
    Head,
    ListQuery,
    Origin,
    RegistryReads,
    ResourceCodec,
    Stored,
)
from services.registry.core.provider_lifecycle import ProviderLifecycle
from services.registry.core.registering import ProviderCommand
from services.registry.core.registry import Applied, Registry
from services.registry.core.validating import Submitted
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


class Bench:
    """The use cases over one store, the dictionaries unless another one is given."""

    def __init__(
        self, store: HistoryStore | None = None, codec: ResourceCodec | None = None
    ) -> None:
        self.clock = ManualClock()
        self.store: HistoryStore = store or MemoryRegistryStore()
        self.codec = codec or PickleCodec()
        self.registry = Registry(self.store, self.codec, pickle.dumps, self.clock)
        self.providers = ProviderLifecycle(self.store, self.codec, pickle.dumps, self.clock)
        self.history = History(self.store, self.codec, pickle.dumps, self.clock)

    async def apply(self, *given: Resource, **fields: object) -> Applied:
        applied = await self.registry.apply(origin(), command(given, **fields))
        assert isinstance(applied, Applied)
        return applied

    async def head(self) -> Head:
        return await self.store.read(lambda reads: reads.head())

    async def stored(self) -> dict[Ref, Stored]:
        """Everything in the current version as it is kept, by kind and id."""

        def find(reads: RegistryReads) -> dict[Ref, Stored]:
            found = (reads.stored(each.ref) for each in reads.listed(EVERYTHING))
            return {stored.ref: stored for stored in found if stored}

        return await self.store.read(find)

    async def contents(self) -> dict[Ref, Resource]:
        return {ref: self.codec.decode(each.body) for ref, each in (await self.stored()).items()}


def origin(key: str = "", digest: bytes = b"") -> Origin:
    request = RequestKey("default", "/Apply", key, digest) if key else None
    return Origin(LOCAL_PRINCIPAL, "/Apply", request)


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
