"""A registry as its clients see it: the calls of several suites, and the facts of a refusal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.access.policy import Authenticator
from services.chassis.calls.rpc_status import ErrorFacts, reason_of
from services.chassis.calls.streaming import streaming
from services.chassis.clock import Clock
from services.registry.main import SERVICE
from services.registry.settings import RegistrySettings
from tests.support.registry_resources import provider
from tests.support.serving import serving

BLOCK = service_pb.PROVIDER_REMOVAL_POLICY_BLOCK_IF_REFERENCED
CASCADE = service_pb.PROVIDER_REMOVAL_POLICY_CASCADE_UNUSED_MODELS
REMOTE = pb.AgentEndpoint(base_url="https://agents.example")

Frame = service_pb.WatchSnapshotResponse


class Watch:
    """An open watch; ``change`` reads up to the last part of the next change."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def frame(self) -> Frame:
        frame: Frame = await self._call.read()
        assert frame is not grpc.aio.EOF
        return frame

    async def change(self) -> list[Frame]:
        return await self.rest_of([await self.frame()])

    async def rest_of(self, parts: list[Frame]) -> list[Frame]:
        """``parts`` and those that follow, up to the last of the change."""
        while not parts[-1].last_part:
            parts.append(await self.frame())
        return parts

    async def ended(self) -> bool:
        return await self._call.read() is grpc.aio.EOF


class Client(RegistryServiceStub):
    """The stub, and its calls with the fields of the request as arguments."""

    async def applied(
        self, *resources: pb.Resource, **fields: Any
    ) -> service_pb.ApplyResourcesResponse:
        request = service_pb.ApplyResourcesRequest(resources=resources, **fields)
        # Channels of one process share connections, and with them the pause after a failed one.
        return await self.ApplyResources(request, wait_for_ready=True)

    async def apply(self, *resources: pb.Resource, **fields: Any) -> int:
        """The version afterwards."""
        return (await self.applied(*resources, **fields)).version

    async def publish(self, *names: str) -> None:
        """A provider of each name, each in a version of its own."""
        for name in names:
            await self.apply(provider(name))

    async def register(
        self, resource: pb.Resource, **fields: Any
    ) -> service_pb.RegisterProviderResponse:
        request = service_pb.RegisterProviderRequest(provider=resource.provider, **fields)
        return await self.RegisterProvider(request)

    async def replace(
        self, resource: pb.Resource, **fields: Any
    ) -> service_pb.ReplaceProviderResponse:
        request = service_pb.ReplaceProviderRequest(provider=resource.provider, **fields)
        return await self.ReplaceProvider(request)

    async def preview_removal(self, id_: str = "local") -> service_pb.PreviewRemoveProviderResponse:
        request = service_pb.PreviewRemoveProviderRequest(provider_id=id_)
        return await self.PreviewRemoveProvider(request)

    async def remove_provider(
        self, policy: service_pb.ProviderRemovalPolicy, id_: str = "local", **fields: Any
    ) -> service_pb.RemoveProviderResponse:
        request = service_pb.RemoveProviderRequest(provider_id=id_, policy=policy, **fields)
        return await self.RemoveProvider(request)

    async def delete(self, kind: str, id_: str, **fields: Any) -> service_pb.DeleteResourceResponse:
        kind = f"RESOURCE_KIND_{kind.upper()}"
        request = service_pb.DeleteResourceRequest(kind=kind, id=id_, **fields)
        return await self.DeleteResource(request)

    async def get(self, kind: str, id_: str) -> service_pb.GetResourceResponse:
        request = service_pb.GetResourceRequest(kind=f"RESOURCE_KIND_{kind.upper()}", id=id_)
        return await self.GetResource(request)

    async def list_resources(self, **fields: Any) -> service_pb.ListResourcesResponse:
        return await self.ListResources(service_pb.ListResourcesRequest(**fields))

    async def version(self) -> int:
        return (await self.list_resources()).version

    async def everything(self) -> tuple[int, dict[str, bytes]]:
        """The current version, and every resource of it byte for byte, by kind and id."""
        answer = await self.list_resources(page_size=1000)
        assert not answer.next_page_token
        return answer.version, {
            f"{arm}/{getattr(resource, arm).id}": resource.SerializeToString(deterministic=True)
            for resource in answer.resources
            if (arm := resource.WhichOneof("resource"))
        }

    async def snapshot(self, version: int | None = None) -> list[service_pb.GetSnapshotResponse]:
        """The parts of a version; of the current one by default."""
        request = service_pb.GetSnapshotRequest(version=version)
        async with streaming(self.GetSnapshot(request)) as call:
            return [part async for part in call]

    async def versions(self, **fields: Any) -> service_pb.ListVersionsResponse:
        return await self.ListVersions(service_pb.ListVersionsRequest(**fields))

    async def diff(self, **fields: Any) -> service_pb.DiffVersionsResponse:
        return await self.DiffVersions(service_pb.DiffVersionsRequest(**fields))

    async def roll_back(self, **fields: Any) -> service_pb.RollbackResponse:
        return await self.Rollback(service_pb.RollbackRequest(**fields))

    async def audit(self, **fields: Any) -> service_pb.ListAuditEntriesResponse:
        return await self.ListAuditEntries(service_pb.ListAuditEntriesRequest(**fields))

    @asynccontextmanager
    async def watching(
        self, after_version: int = 0, incarnation: str = "", lineage: str = ""
    ) -> AsyncIterator[Watch]:
        request = service_pb.WatchSnapshotRequest(
            after_version=after_version, incarnation=incarnation, lineage=lineage
        )
        async with streaming(self.WatchSnapshot(request)) as call:
            yield Watch(call)


def settings_of(database_url: str, port: int = 0) -> RegistrySettings:
    """At any free port unless one is given."""
    return RegistrySettings(
        listen=f"127.0.0.1:{port}", database_url=database_url, drain_grace_s=1.0
    )


@asynccontextmanager
async def started(
    settings: RegistrySettings,
    clock: Clock | None = None,
    authenticator: Authenticator | None = None,
) -> AsyncIterator[Client]:
    """A registry that runs for the length of the block."""
    server = serving(SERVICE.build, settings, clock=clock, authenticator=authenticator)
    async with server as served:
        yield Client(served.channel)


async def refused(call: Awaitable[object]) -> ErrorFacts:
    """What ``call`` was refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


def unmet(facts: ErrorFacts) -> list[str]:
    """The fields that are at fault."""
    return [violation.field for violation in facts.violations]


def dependents(facts: ErrorFacts) -> list[str]:
    """The models, pools and agents that a refusal names, each as a text of lines."""
    return [facts.metadata[f"{kind}_ids"] for kind in ("model", "pool", "agent")]


def ids(resources: Iterable[pb.Resource]) -> list[str]:
    return [getattr(each, each.WhichOneof("resource") or "").id for each in resources]


def named(changes: Iterable[Any]) -> list[tuple[str, str]]:
    """What happened to which; of changes or of audit entries."""
    return [
        (
            service_pb.ChangeAction.Name(change.action).removeprefix("CHANGE_ACTION_").lower(),
            change.ref.id,
        )
        for change in changes
    ]


def span(parts: list[Frame]) -> tuple[int, int]:
    return parts[0].from_version, parts[0].to_version
