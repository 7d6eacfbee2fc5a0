"""Answers about very many resources stay below 4 MiB and say what they leave out."""

from __future__ import annotations

import pytest

from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.contract.registry.calls import apply
from tests.support.registry_resources import model, provider, tool

# What is cut is cut above the store, and ten thousand rows take their time.
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LARGEST_BYTES = 4 << 20
LONG = "x" * 500


@ON_SQLITE
async def test_a_prune_of_very_many_is_told_as_far_as_it_fits(
    registry: RegistryServiceStub,
) -> None:
    # given a set of 9,000 tools whose names alone are more than 4 MiB
    await apply(registry, *(tool(f"{n:04}{LONG}") for n in range(4500)), apply_set="s")
    await apply(registry, *(tool(f"{n:04}{LONG}") for n in range(4500, 9000)), apply_set="s")

    # when all of them go
    request = service_pb.ApplyResourcesRequest(apply_set="s", prune=True, request_id="r")
    answer = await registry.ApplyResources(request)

    # then the first ones are told, the rest is counted, and a repeat is told the same
    assert 3 << 20 < answer.ByteSize() <= LARGEST_BYTES
    assert answer.changes_omitted > 1000
    assert len(answer.changes) + answer.changes_omitted == 9000
    assert answer.changes[0].ref.id == f"0000{LONG}"
    assert await registry.ApplyResources(request) == answer
    listed = await registry.ListResources(service_pb.ListResourcesRequest())
    assert list(listed.resources) == []


@ON_SQLITE
async def test_a_removal_of_very_many_models_is_told_as_far_as_it_fits(
    registry: RegistryServiceStub,
) -> None:
    # given 2,500 models whose names are more than 1 MiB
    names = [f"{n:04}{LONG}" for n in range(2500)]
    await apply(registry, provider(), *map(model, names))

    # when
    preview = await registry.PreviewRemoveProvider(
        service_pb.PreviewRemoveProviderRequest(provider_id="local")
    )
    answer = await registry.RemoveProvider(
        service_pb.RemoveProviderRequest(
            provider_id="local",
            policy=service_pb.PROVIDER_REMOVAL_POLICY_CASCADE_UNUSED_MODELS,
        )
    )

    # then
    told = list(preview.model_ids)
    assert 1000 < len(told) < 2500
    assert told == names[: len(told)]
    assert preview.model_count == answer.removed_model_count == 2500
    assert list(answer.removed_model_ids) == told
