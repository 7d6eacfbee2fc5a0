"""Deleting one resource: only when nothing refers to it, and who does is told."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.contract.registry.calls import apply, everything, refused, unmet
from tests.support.registry_resources import agent, model, pool, provider, quickstart, tool

PROVIDER = pb.RESOURCE_KIND_PROVIDER
MODEL = pb.RESOURCE_KIND_MODEL
POOL = pb.RESOURCE_KIND_MODEL_POOL
AGENT = pb.RESOURCE_KIND_AGENT
TOOL = pb.RESOURCE_KIND_TOOL
RULE = pb.ApprovalRule(tool_id="search", approval="APPROVAL_ASK")
REMOTE = pb.AgentEndpoint(base_url="https://agents.example")


def delete(kind: pb.ResourceKind, id_: str, **fields: Any) -> service_pb.DeleteResourceRequest:
    return service_pb.DeleteResourceRequest(kind=kind, id=id_, **fields)


async def test_what_nothing_refers_to_goes_and_the_rest_stays(
    registry: RegistryServiceStub,
) -> None:
    # given
    await apply(registry, *quickstart())
    _, before = await everything(registry)

    # when
    answer = await registry.DeleteResource(delete(AGENT, "scout"))

    # then it is one version, and no other resource has changed by a byte
    version, after = await everything(registry)
    assert answer.version == version == 3
    assert answer.incarnation
    del before["agent/scout"]
    assert after == before


@pytest.mark.parametrize(
    ("kind", "id_", "models", "pools", "agents"),
    [
        (PROVIDER, "local", "large\nsmall", "", ""),
        (MODEL, "small", "", "both\nmore", "direct"),
        (POOL, "both", "", "", "scout"),
        (TOOL, "search", "", "", "far\nruled\nscout"),
    ],
)
async def test_a_refusal_names_every_dependent_by_kind(
    registry: RegistryServiceStub,
    kind: pb.ResourceKind,
    id_: str,
    models: str,
    pools: str,
    agents: str,
) -> None:
    # given dependents of every kind; a remote agent counts for its tools, not for its model
    await apply(
        registry,
        *quickstart(),
        model("large"),
        pool("more"),
        agent("direct"),
        agent("far", model_id="small", tools=["search"], endpoint=REMOTE),
        agent("ruled", "large", approval_rules=[RULE]),
    )
    before = await everything(registry)

    # when
    facts = await refused(registry.DeleteResource(delete(kind, id_)))

    # then
    assert facts.code is grpc.StatusCode.FAILED_PRECONDITION
    assert facts.reason == "RESOURCE_IN_USE"
    assert facts.metadata["id"] == id_
    named = [facts.metadata[f"{each}_ids"] for each in ("model", "pool", "agent")]
    assert named == [models, pools, agents]
    assert await everything(registry) == before


async def test_the_model_of_a_remote_agent_may_go(registry: RegistryServiceStub) -> None:
    # given
    await apply(registry, provider(), model(), agent(endpoint=REMOTE))

    # when
    await registry.DeleteResource(delete(MODEL, "small"))

    # then the agent is as it was
    _, left = await everything(registry)
    assert sorted(left) == ["agent/scout", "provider/local"]


async def test_a_refusal_of_very_many_dependents_counts_them(
    registry: RegistryServiceStub,
) -> None:
    # given more agents than an error can name
    await apply(registry, provider(), model(), *(agent(f"agent-{n:04}") for n in range(1000)))

    # when
    facts = await refused(registry.DeleteResource(delete(MODEL, "small")))

    # then
    assert facts.metadata["agent_count"] == "1000"
    assert facts.metadata["agent_ids"].startswith("agent-0000\nagent-0001\n")
    assert facts.metadata["model_count"] == facts.metadata["pool_count"] == "0"


async def test_an_unknown_resource_is_not_found(registry: RegistryServiceStub) -> None:
    """A pool does not answer to the name of a model, though both share their ids."""
    await apply(registry, *quickstart())

    facts = await refused(registry.DeleteResource(delete(MODEL, "both")))

    assert facts.code is grpc.StatusCode.NOT_FOUND
    assert facts.reason == "RESOURCE_NOT_FOUND"
    assert (facts.metadata["kind"], facts.metadata["id"]) == ("model", "both")


async def test_an_id_is_free_again_for_the_other_kind(registry: RegistryServiceStub) -> None:
    # given a model that gives its name back
    await apply(registry, provider(), model("small"), model("name"))
    await registry.DeleteResource(delete(MODEL, "name"))

    # when a pool takes it
    version = await apply(registry, pool("name"))

    # then
    assert version == 4


async def test_what_was_deleted_can_be_made_again(registry: RegistryServiceStub) -> None:
    await apply(registry, tool())
    await registry.DeleteResource(delete(TOOL, "search"))

    version = await apply(registry, tool())

    assert version == 4


async def test_a_delete_compares_the_version(registry: RegistryServiceStub) -> None:
    # given
    await apply(registry, tool())

    # when
    facts = await refused(registry.DeleteResource(delete(TOOL, "search", expected_version=1)))
    answer = await registry.DeleteResource(delete(TOOL, "search", expected_version=2))

    # then
    assert facts.reason == "VERSION_MISMATCH"
    assert answer.version == 3


async def test_a_repeated_delete_gets_the_first_answer(registry: RegistryServiceStub) -> None:
    # given
    await apply(registry, tool())
    first = await registry.DeleteResource(delete(TOOL, "search", request_id="r-1"))

    # when
    again = await registry.DeleteResource(delete(TOOL, "search", request_id="r-1"))

    # then
    assert again == first
    assert (await everything(registry))[0] == 3


async def test_everything_wrong_with_a_delete_is_told(registry: RegistryServiceStub) -> None:
    facts = await refused(
        registry.DeleteResource(service_pb.DeleteResourceRequest(kind=9, request_id="\n"))  # type: ignore[arg-type]
    )

    assert facts.code is grpc.StatusCode.INVALID_ARGUMENT
    assert unmet(facts) == ["id", "kind", "request_id"]
