"""A very large apply: as one version, as a no-op when repeated, and beside other callers."""

from __future__ import annotations

import asyncio

import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1.registry_service_pb2 import ApplyResourcesRequest, ChangeAction
from tests.contract.registry.calls import Client
from tests.support.profiles import amount, both_in_chaos, scaled
from tests.support.registry_resources import agent, model, provider, tool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), scaled, both_in_chaos]

# In chaos as many as one apply takes.
RESOURCES = amount(gate=5_200, chaos=20_000)
REQUEST_BYTES = RESOURCES * (16 << 20) // 20_000


def very_many() -> list[pb.Resource]:
    """As many bytes for each as make 16 MiB of 20,000."""
    half = RESOURCES // 2 - 1
    tools = [tool(f"t{n:05}", description="finds " * 128, worker={}) for n in range(half)]
    agents = [
        agent(f"a{n:05}", tools=[f"t{n:05}"], system_prompt="be brief " * 88) for n in range(half)
    ]
    return [provider(), model(), *tools, *agents]


async def test_a_very_large_export_applies_as_a_no_op(registry: Client) -> None:
    # given
    resources = very_many()
    request = ApplyResourcesRequest(resources=resources)
    assert len(resources) == RESOURCES
    assert 0.95 * REQUEST_BYTES < request.ByteSize() < REQUEST_BYTES

    # when it is applied, exported and applied again, while somebody reads and writes
    applying = asyncio.ensure_future(registry.applied(*resources))
    await registry.publish("other")
    await applying
    exported = [each for part in await registry.snapshot() for each in part.resources]
    again = [one for one in exported if one.provider.id != "other"]
    for one in again:
        one.ClearField("meta")
    answer = await registry.applied(*again)

    # then both made one version, and the last none
    assert answer.version == 3
    assert {change.action for change in answer.changes} == {ChangeAction.CHANGE_ACTION_UNCHANGED}
    assert len(answer.changes) + answer.changes_omitted == RESOURCES
    assert len(exported) == RESOURCES + 1
