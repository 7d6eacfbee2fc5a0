"""How a decision becomes a version: once per request, with the head to itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from services.chassis.caller import Replay, once
from services.chassis.clock import Clock
from services.registry.core.applying import Upsert
from services.registry.core.model import Ref
from services.registry.core.ports import (
    Head,
    Origin,
    Publication,
    RegistryStore,
    RegistryTx,
    ResourceCodec,
    Written,
)
from services.registry.core.references import references

T = TypeVar("T")


async def mutate(
    store: RegistryStore,
    origin: Origin,
    effect: Callable[[RegistryTx, Head], T],
    encode: Callable[[T], bytes],
) -> T | Replay:
    """Run ``effect`` alone on the head, unless the request was answered before.

    Args:
        encode: The bytes of its answer, kept for repeats.
    """

    def alone(tx: RegistryTx) -> T | Replay:
        # The head first, everywhere: the log locks its key, and two locks in two orders would
        # wait for each other.
        head = tx.lock_head()
        return once(tx, origin.request, lambda: effect(tx, head), encode)

    return await store.write(alone)


class Publisher:
    """Makes versions of decided changes."""

    def __init__(self, codec: ResourceCodec, clock: Clock) -> None:
        self._codec = codec
        self._clock = clock

    def publish(
        self,
        tx: RegistryTx,
        head: Head,
        origin: Origin,
        *,
        upserts: Sequence[Upsert] = (),
        removed: Sequence[Ref] = (),
        restored_from: int | None = None,
    ) -> int:
        """The version with these changes; the current one when there are none."""
        if not upserts and not removed:
            return head.version
        publication = Publication(
            version=head.version + 1,
            upserts=[self._written(upsert) for upsert in upserts],
            removed=removed,
            at=self._clock.now(),
            by=origin.actor,
            method=origin.method,
            request_id=origin.request.key if origin.request else "",
            restored_from=restored_from,
        )
        tx.publish(publication)
        return publication.version

    def _written(self, upsert: Upsert) -> Written:
        return Written(
            upsert.ref,
            upsert.content_hash,
            upsert.apply_set,
            self._codec.encode(upsert.resource),
            frozenset(one.target for one in references(upsert.resource)),
        )
