"""The registry's RPCs: decode, delegate, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from runyard.registry.v1 import registry_service_pb2 as pb
from runyard.registry.v1 import registry_service_pb2_grpc as rpc
from services.chassis.calls.call import decoded
from services.chassis.clock import Clock
from services.chassis.slices import in_slices
from services.registry.api import requests, responses
from services.registry.api.resources.codec import ref_from_pb
from services.registry.core.changes.applying import Applier
from services.registry.core.changes.provider_lifecycle import ProviderLifecycle
from services.registry.core.history.history import History
from services.registry.core.registry import Registry
from services.registry.core.watching import Streams

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class RegistryServicer(rpc.RegistryServiceServicer):
    """Wire face of the registry."""

    def __init__(
        self,
        registry: Registry,
        applier: Applier,
        providers: ProviderLifecycle,
        history: History,
        streams: Streams,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._applier = applier
        self._providers = providers
        self._history = history
        self._streams = streams
        self._clock = clock

    async def ApplyResources(
        self, request: pb.ApplyResourcesRequest, context: Context
    ) -> pb.ApplyResourcesResponse:
        command = await decoded(request, requests.apply_from_pb)
        return await responses.APPLIED.answer(
            request, lambda caller: self._applier.apply(caller, command)
        )

    async def GetResource(
        self, request: pb.GetResourceRequest, context: Context
    ) -> pb.GetResourceResponse:
        found = await self._registry.get(ref_from_pb(request.kind, request.id))
        return responses.found_to_pb(found)

    async def ListResources(
        self, request: pb.ListResourcesRequest, context: Context
    ) -> pb.ListResourcesResponse:
        listed = await self._registry.list(requests.list_from_pb(request))
        return responses.listed_to_pb(listed, request)

    async def GetSnapshot(
        self, request: pb.GetSnapshotRequest, context: Context
    ) -> AsyncIterator[pb.GetSnapshotResponse]:
        version = request.version if request.HasField("version") else None
        async with aclosing(self._streams.snapshot(version)) as parts:
            async for part in parts:
                yield responses.snapshot_part_to_pb(part)

    async def WatchSnapshot(
        self, request: pb.WatchSnapshotRequest, context: Context
    ) -> AsyncIterator[pb.WatchSnapshotResponse]:
        incarnation = await self._streams.incarnation()
        watch = self._streams.watch(requests.position_from_pb(request))
        async with aclosing(watch) as frames:
            async for frame in frames:
                yield responses.frame_to_pb(frame, incarnation, self._clock.now())

    async def DeleteResource(
        self, request: pb.DeleteResourceRequest, context: Context
    ) -> pb.DeleteResourceResponse:
        command = requests.delete_from_pb(request)
        return await responses.DELETED.answer(
            request, lambda caller: self._registry.delete(caller, command)
        )

    async def RegisterProvider(
        self, request: pb.RegisterProviderRequest, context: Context
    ) -> pb.RegisterProviderResponse:
        command = await decoded(request, requests.provider_command_from_pb)
        return await responses.REGISTERED.answer(
            request, lambda caller: self._providers.register(caller, command)
        )

    async def ReplaceProvider(
        self, request: pb.ReplaceProviderRequest, context: Context
    ) -> pb.ReplaceProviderResponse:
        command = await decoded(request, requests.provider_command_from_pb)
        return await responses.REPLACED.answer(
            request, lambda caller: self._providers.replace(caller, command)
        )

    async def PreviewRemoveProvider(
        self, request: pb.PreviewRemoveProviderRequest, context: Context
    ) -> pb.PreviewRemoveProviderResponse:
        provider_id = requests.previewed_id_from_pb(request)
        preview = await self._providers.preview_removal(provider_id)
        return responses.preview_to_pb(preview)

    async def RemoveProvider(
        self, request: pb.RemoveProviderRequest, context: Context
    ) -> pb.RemoveProviderResponse:
        command = requests.removal_from_pb(request)
        return await responses.REMOVED.answer(
            request, lambda caller: self._providers.remove(caller, command)
        )

    async def ValidateResources(
        self, request: pb.ValidateResourcesRequest, context: Context
    ) -> pb.ValidateResourcesResponse:
        command = await decoded(request, requests.validate_from_pb)
        validated = await self._applier.validate(command)
        return await in_slices(lambda: responses.validated_to_pb(validated))

    async def ListVersions(
        self, request: pb.ListVersionsRequest, context: Context
    ) -> pb.ListVersionsResponse:
        page = await self._history.versions(requests.versions_before(request), request.page_size)
        return responses.versions_to_pb(page, request)

    async def DiffVersions(
        self, request: pb.DiffVersionsRequest, context: Context
    ) -> pb.DiffVersionsResponse:
        page = await self._history.diff(requests.diff_from_pb(request))
        return responses.diff_to_pb(page, request)

    async def Rollback(self, request: pb.RollbackRequest, context: Context) -> pb.RollbackResponse:
        command = requests.rollback_from_pb(request)
        return await responses.ROLLED_BACK.answer(
            request, lambda caller: self._history.rollback(caller, command)
        )

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        page = await self._history.audit(requests.audit_from_pb(request))
        return responses.audit_to_pb(page, request)
