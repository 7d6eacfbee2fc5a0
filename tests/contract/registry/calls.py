"""Calls that several suites make, and what is told when one is refused."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from services.chassis.rpc_status import ErrorFacts, reason_of


async def apply(registry: RegistryServiceStub, *resources: pb.Resource, **fields: Any) -> int:
    """The version afterwards."""
    request = service_pb.ApplyResourcesRequest(resources=resources, **fields)
    return int((await registry.ApplyResources(request)).version)


async def refused(call: Awaitable[object]) -> ErrorFacts:
    """What ``call`` was refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def everything(registry: RegistryServiceStub) -> tuple[int, dict[str, bytes]]:
    """The current version, and every resource of it byte for byte, by kind and id."""
    listed = await registry.ListResources(service_pb.ListResourcesRequest(page_size=1000))
    assert not listed.next_page_token
    return int(listed.version), {
        f"{arm}/{getattr(resource, arm).id}": resource.SerializeToString(deterministic=True)
        for resource in listed.resources
        if (arm := resource.WhichOneof("resource"))
    }


def unmet(facts: ErrorFacts) -> list[str]:
    """The fields that are at fault."""
    return [violation.field for violation in facts.violations]
