"""The registry's RPCs: decode, delegate, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from runyard.registry.v1 import registry_service_pb2 as pb
from runyard.registry.v1 import registry_service_pb2_grpc as rpc
from services.chassis.calls import reply
from services.chassis.clock import Clock
from services.registry.api import convert, convert_providers, history
from services.registry.api.mutations import origin_of
from services.registry.api.resources import ref_from_pb
from services.registry.core.history import History
from services.registry.core.provider_lifecycle import ProviderLifecycle
from services.registry.core.registry import Registry
from services.registry.core.watching import Streams

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class RegistryServicer(rpc.RegistryServiceServicer):
    """Wire face of the registry."""

    def __init__(
        self,
        registry: Registry,
        providers: ProviderLifecycle,
        past: History,
        streams: Streams,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._providers = providers
        self._history = past
        self._streams = streams
        self._clock = clock

    async def ApplyResources(
        self, request: pb.ApplyResourcesRequest, context: Context
    ) -> pb.ApplyResourcesResponse:
        command = convert.apply_from_pb(request)
        answer = await self._registry.apply(origin_of(request), command)
        return reply(pb.ApplyResourcesResponse, answer, convert.applied_to_pb)

    async def GetResource(
        self, request: pb.GetResourceRequest, context: Context
    ) -> pb.GetResourceResponse:
        found = await self._registry.get(ref_from_pb(request.kind, request.id))
        return convert.found_to_pb(found)

    async def ListResources(
        self, request: pb.ListResourcesRequest, context: Context
    ) -> pb.ListResourcesResponse:
        listed = await self._registry.list(convert.list_from_pb(request))
        return convert.listed_to_pb(listed, request)

    async def GetSnapshot(
        self, request: pb.GetSnapshotRequest, context: Context
    ) -> AsyncIterator[pb.GetSnapshotResponse]:
        version = request.version if request.HasField("version") else None
        async with aclosing(self._streams.snapshot(version)) as parts:
            async for part in parts:
                yield convert.snapshot_part_to_pb(part)

    async def WatchSnapshot(
        self, request: pb.WatchSnapshotRequest, context: Context
    ) -> AsyncIterator[pb.WatchSnapshotResponse]:
        incarnation = await self._streams.incarnation()
        watch = self._streams.watch(convert.position_from_pb(request))
        async with aclosing(watch) as frames:
            async for frame in frames:
                yield convert.frame_to_pb(frame, incarnation, self._clock.now())

    async def DeleteResource(
        self, request: pb.DeleteResourceRequest, context: Context
    ) -> pb.DeleteResourceResponse:
        command = convert.delete_from_pb(request)
        answer = await self._registry.delete(origin_of(request), command)
        return reply(pb.DeleteResourceResponse, answer, convert.deleted_to_pb)

    async def RegisterProvider(
        self, request: pb.RegisterProviderRequest, context: Context
    ) -> pb.RegisterProviderResponse:
        command = convert_providers.provider_command_from_pb(request)
        answer = await self._providers.register(origin_of(request), command)
        return reply(pb.RegisterProviderResponse, answer, convert_providers.registered_to_pb)

    async def ReplaceProvider(
        self, request: pb.ReplaceProviderRequest, context: Context
    ) -> pb.ReplaceProviderResponse:
        command = convert_providers.provider_command_from_pb(request)
        answer = await self._providers.replace(origin_of(request), command)
        return reply(pb.ReplaceProviderResponse, answer, convert_providers.replaced_to_pb)

    async def PreviewRemoveProvider(
        self, request: pb.PreviewRemoveProviderRequest, context: Context
    ) -> pb.PreviewRemoveProviderResponse:
        provider_id = convert_providers.previewed_id_from_pb(request)
        preview = await self._providers.preview_removal(provider_id)
        return convert_providers.preview_to_pb(preview)

    async def RemoveProvider(
        self, request: pb.RemoveProviderRequest, context: Context
    ) -> pb.RemoveProviderResponse:
        command = convert_providers.removal_from_pb(request)
        answer = await self._providers.remove(origin_of(request), command)
        return reply(pb.RemoveProviderResponse, answer, convert_providers.removed_to_pb)

    async def ValidateResources(
        self, request: pb.ValidateResourcesRequest, context: Context
    ) -> pb.ValidateResourcesResponse:
        validated = await self._registry.validate(convert.validate_from_pb(request))
        return convert.validated_to_pb(validated)

    async def ListVersions(
        self, request: pb.ListVersionsRequest, context: Context
    ) -> pb.ListVersionsResponse:
        page = await self._history.versions(history.versions_before(request), request.page_size)
        return history.versions_to_pb(page)

    async def DiffVersions(
        self, request: pb.DiffVersionsRequest, context: Context
    ) -> pb.DiffVersionsResponse:
        page = await self._history.diff(history.diff_from_pb(request))
        return history.diff_to_pb(page, request)

    async def Rollback(self, request: pb.RollbackRequest, context: Context) -> pb.RollbackResponse:
        command = history.rollback_from_pb(request)
        answer = await self._history.rollback(origin_of(request), command)
        return reply(pb.RollbackResponse, answer, history.rolled_back_to_pb)

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        page = await self._history.audit(history.audit_from_pb(request))
        return history.audit_to_pb(page, request)
