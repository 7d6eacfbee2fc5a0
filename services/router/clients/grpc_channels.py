"""The channels to providers over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import grpc

from services.chassis.calls.channel import open_outside_channel, system_authorities
from services.router.core.model import Grpc, Provider, Snapshot


@dataclass(slots=True)
class _Kept:
    """A channel, the calls that use it, and whether the newest snapshot has its provider."""

    channel: grpc.aio.Channel
    calls: int = 0
    wanted: bool = True


class GrpcChannels:
    """One channel per provider and revision; it ends with its last snapshot and its last call."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._kept)

    @contextmanager
    def lent(self, provider: Provider, adapter: Grpc) -> Iterator[grpc.aio.Channel]:
        """The channel to a provider, for one call."""
        key = provider.id, provider.revision
        if key not in self._kept:
            credentials = self._credentials if adapter.tls else None
            channel = open_outside_channel(adapter.target, credentials, adapter.authority)
            self._kept[key] = _Kept(channel)
        kept = self._kept[key]
        kept.calls += 1
        try:
            yield kept.channel
        finally:
            kept.calls -= 1
            if not kept.wanted:
                self._changed.set()

    def keep(self, snapshot: Snapshot) -> None:
        """Let go of the channels to providers that the newest snapshot does not have."""
        members = (each for target in snapshot.targets.values() for each in target.members)
        providers = (each.provider for each in members if isinstance(each.provider.adapter, Grpc))
        wanted = {(each.id, each.revision) for each in providers}
        for key, kept in self._kept.items():
            kept.wanted = key in wanted
        self._changed.set()

    async def run(self) -> None:
        """Close channels that were let go of, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            for key, kept in list(self._kept.items()):
                if not kept.wanted and kept.calls == 0:
                    del self._kept[key]
                    await kept.channel.close()

    async def close(self) -> None:
        """Close all of them; calls under way fail."""
        while self._kept:
            _, kept = self._kept.popitem()
            await kept.channel.close()

    @cached_property
    def _credentials(self) -> grpc.ChannelCredentials:
        return system_authorities()
