"""Deleting one resource: only when nothing refers to it; a refusal lists what does."""

from __future__ import annotations

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from tests.contract.registry.calls import REMOTE, Client, dependents, refused, unmet
from tests.support.registry_resources import agent, model, pool, provider, quickstart, tool

RULE = pb.ApprovalRule(tool_id="search", approval="APPROVAL_ASK")


async def test_what_nothing_refers_to_goes_and_the_rest_stays(registry: Client) -> None:
    # given
    await registry.apply(*quickstart())
    _, before = await registry.everything()

    # when
    answer = await registry.delete("agent", "scout")

    # then it is one version, and no other resource has changed by a byte
    version, after = await registry.everything()
    assert answer.version == version == 3
    assert answer.incarnation
    del before["agent/scout"]
    assert after == before


@pytest.mark.parametrize(
    ("kind", "id_", "models", "pools", "agents"),
    [
        ("provider", "local", "large\nsmall", "", ""),
        ("model", "small", "", "both\nmore", "direct"),
        ("model_pool", "both", "", "", "scout"),
        ("tool", "search", "", "", "far\nruled\nscout"),
    ],
)
async def test_a_refusal_names_every_dependent_by_kind(
    registry: Client, kind: str, id_: str, models: str, pools: str, agents: str
) -> None:
    # given dependents of every kind; a remote agent counts for its tools, not for its model
    await registry.apply(
        *quickstart(),
        model("large"),
        pool("more"),
        agent("direct"),
        agent("far", model_id="small", tools=["search"], endpoint=REMOTE),
        agent("ruled", "large", approval_rules=[RULE]),
    )
    before = await registry.everything()

    # when
    facts = await refused(registry.delete(kind, id_))

    # then
    assert facts.code is grpc.StatusCode.FAILED_PRECONDITION
    assert facts.reason == "RESOURCE_IN_USE"
    assert facts.metadata["id"] == id_
    assert dependents(facts) == [models, pools, agents]
    assert await registry.everything() == before


async def test_the_model_of_a_remote_agent_may_go(registry: Client) -> None:
    # given
    await registry.apply(provider(), model(), agent(endpoint=REMOTE))

    # when
    await registry.delete("model", "small")

    # then the agent is as it was
    _, left = await registry.everything()
    assert sorted(left) == ["agent/scout", "provider/local"]


async def test_a_refusal_of_very_many_dependents_counts_them(registry: Client) -> None:
    # given more agents than an error can name
    await registry.apply(provider(), model(), *(agent(f"agent-{n:04}") for n in range(1000)))

    # when
    facts = await refused(registry.delete("model", "small"))

    # then
    assert facts.metadata["agent_count"] == "1000"
    assert facts.metadata["agent_ids"].startswith("agent-0000\nagent-0001\n")
    assert facts.metadata["model_count"] == facts.metadata["pool_count"] == "0"


async def test_an_unknown_resource_is_not_found(registry: Client) -> None:
    """A pool does not answer to the name of a model, though both share their ids."""
    await registry.apply(*quickstart())

    facts = await refused(registry.delete("model", "both"))

    assert facts.code is grpc.StatusCode.NOT_FOUND
    assert facts.reason == "RESOURCE_NOT_FOUND"
    assert (facts.metadata["kind"], facts.metadata["id"]) == ("model", "both")


async def test_an_id_is_free_again_for_the_other_kind(registry: Client) -> None:
    # given a model that gives its name back
    await registry.apply(provider(), model("small"), model("name"))
    await registry.delete("model", "name")

    # when a pool takes it
    version = await registry.apply(pool("name"))

    # then
    assert version == 4


async def test_what_was_deleted_can_be_made_again(registry: Client) -> None:
    await registry.apply(tool())
    await registry.delete("tool", "search")

    version = await registry.apply(tool())

    assert version == 4


async def test_a_delete_compares_the_version(registry: Client) -> None:
    # given
    await registry.apply(tool())

    # when
    facts = await refused(registry.delete("tool", "search", expected_version=1))
    answer = await registry.delete("tool", "search", expected_version=2)

    # then
    assert facts.reason == "VERSION_MISMATCH"
    assert answer.version == 3


async def test_a_repeated_delete_gets_the_first_answer(registry: Client) -> None:
    # given
    await registry.apply(tool())
    first = await registry.delete("tool", "search", request_id="r-1")

    # when
    again = await registry.delete("tool", "search", request_id="r-1")

    # then
    assert again == first
    assert await registry.version() == 3


async def test_every_mistake_in_a_delete_is_reported(registry: Client) -> None:
    wrong = service_pb.DeleteResourceRequest(kind=9, request_id="\n")  # type: ignore[arg-type]

    facts = await refused(registry.DeleteResource(wrong))

    assert facts.code is grpc.StatusCode.INVALID_ARGUMENT
    assert unmet(facts) == ["id", "kind", "request_id"]
