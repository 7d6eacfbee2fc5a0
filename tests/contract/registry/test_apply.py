"""Applying resources over gRPC: versions, modes, sets, dry runs, repeats, refusals."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.calls.rpc_status import reason_of
from tests.contract.registry.calls import Client, named, refused, unmet
from tests.support.registry_resources import agent, model, pool, provider, quickstart, tool


async def test_many_resources_make_one_version(registry: Client) -> None:
    # given an empty registry, which is version 1
    assert await registry.version() == 1

    # when one of each kind is applied, each before what it refers to
    answer = await registry.applied(*reversed(quickstart()))

    # then all of them are one version, listed by kind and id
    assert answer.version == 2
    assert named(answer.changes) == [
        ("created", "local"),
        ("created", "small"),
        ("created", "both"),
        ("created", "scout"),
        ("created", "search"),
    ]
    assert await registry.version() == 2


async def test_identical_content_is_no_new_version(registry: Client) -> None:
    """Leaving a default out and spelling it are the same content."""
    # given
    await registry.apply(*quickstart())

    # when the same is applied with a default spelled out
    again = quickstart()
    again[2].model_pool.members[0].weight = 1
    answer = await registry.applied(*again)

    # then nothing happened
    assert answer.version == 2
    assert {action for action, _ in named(answer.changes)} == {"unchanged"}


async def test_what_was_read_can_be_applied_again(registry: Client) -> None:
    # given
    await registry.apply(*quickstart())
    listed = await registry.list_resources()

    # when the answers go back in as they are
    answer = await registry.applied(*listed.resources)

    # then
    assert len(listed.resources) == 5
    assert answer.version == 2


async def test_a_refused_apply_changes_nothing_and_reports_everything(registry: Client) -> None:
    # given
    await registry.apply(*quickstart())

    # when five things are wrong in one request
    facts = await refused(
        registry.apply(
            model("orphan", provider_id="nowhere"),
            pool("lonely", members=["missing"]),
            agent("lost", model_id="missing", tools=["search", "missing"]),
            model("both"),
            provider("fine"),
        )
    )

    # then all five are named, by field, rule and dependency
    assert facts.code is grpc.StatusCode.INVALID_ARGUMENT
    assert facts.reason == "INVALID_REQUEST"
    assert facts.domain == "registry.runyard.dev"
    assert [(v.field, v.reason) for v in facts.violations] == [
        ("resources[0].model.provider_id", "model_missing_provider"),
        ("resources[1].model_pool.members[0].model_id", "model_pool_missing_model"),
        ("resources[2].agent.model_id", "agent_missing_model"),
        ("resources[2].agent.tools[1]", "agent_missing_tool"),
        ("resources[3].model.id", "ambiguous_model_reference"),
    ]
    assert facts.violations[0].description == (
        "model/orphan: needs provider 'nowhere', which does not exist"
    )
    # and not even the valid one is there
    assert await registry.version() == 2
    listed = await registry.list_resources()
    assert len(listed.resources) == 5


async def test_unreadable_input_is_reported_beside_broken_rules(registry: Client) -> None:
    # given an empty resource, an unknown enum number, a missing arm, a bad number, a bad reference
    odd = pool("odd", members=["gone"])
    odd.model_pool.routing.home = 77  # type: ignore[assignment]  # a number of a later version
    odd.model_pool.members[0].weight = 0
    bare = pb.Resource(provider=pb.Provider(id="bare", base_url="https://example.com"))

    # when
    facts = await refused(registry.apply(pb.Resource(), odd, bare))

    # then
    assert [(v.field, v.reason) for v in facts.violations] == [
        ("resources[0]", ""),
        ("resources[1].model_pool.members[0].model_id", "model_pool_missing_model"),
        ("resources[1].model_pool.members[0].weight", ""),
        ("resources[1].model_pool.routing.home", ""),
        ("resources[2].provider", ""),
    ]


async def test_a_secret_is_refused_and_not_repeated(registry: Client) -> None:
    # given a key where the name of its place belongs
    pasted = "sk-abcdefghijklmnopqrstuvwxyz123456"
    careless = provider("careless", credential_ref=pb.CredentialRef(env=pasted))

    # when
    facts = await refused(registry.apply(careless))

    # then the answer points at it without showing it
    assert unmet(facts) == ["resources[0].provider.credential_ref.env"]
    assert "looks like a secret" in facts.violations[0].description
    assert pasted not in facts.message + facts.violations[0].description


async def test_expected_version_is_compare_and_set(registry: Client) -> None:
    # given version 2
    await registry.apply(provider("first"))

    # when one caller decides on 2 and another still on 1
    answer = await registry.applied(provider("second"), expected_version=2)
    facts = await refused(registry.apply(provider("third"), expected_version=2))

    # then the second one is told where things are
    assert answer.version == 3
    assert facts.code is grpc.StatusCode.ABORTED
    assert facts.reason == "VERSION_MISMATCH"
    assert (facts.metadata["expected"], facts.metadata["current"]) == ("2", "3")


@pytest.mark.parametrize(
    ("mode", "code", "reason", "at_fault"),
    [
        ("APPLY_MODE_CREATE", grpc.StatusCode.ALREADY_EXISTS, "RESOURCE_EXISTS", "known"),
        ("APPLY_MODE_UPDATE", grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", "new"),
    ],
)
async def test_a_mode_refuses_what_does_not_fit_it(
    registry: Client, mode: str, code: grpc.StatusCode, reason: str, at_fault: str
) -> None:
    # given
    await registry.apply(provider("known"))

    # when the content of what is known is identical
    facts = await refused(registry.apply(provider("known"), provider("new"), mode=mode))

    # then
    assert facts.code is code
    assert facts.reason == reason
    assert facts.metadata["resources"] == f"provider/{at_fault}"


async def test_a_dry_run_tells_the_plan_and_writes_nothing(registry: Client) -> None:
    # given
    await registry.apply(*quickstart())

    # when a member gets more weight and a tool is new
    heavier = pool()
    heavier.model_pool.members[0].weight = 3
    plan = await registry.applied(heavier, tool("browse"), dry_run=True, request_id="plan-1")

    # then the plan says so, field by field
    assert plan.version == 3
    assert named(plan.changes) == [("updated", "both"), ("created", "browse")]
    (field,) = plan.changes[0].fields
    assert (field.path, field.before, field.after) == ("members[0].weight", "1", "3")
    assert {f.path: f.after for f in plan.changes[1].fields}["effect_class"] == '"at_most_once"'
    # and the registry is where it was
    assert await registry.version() == 2
    assert await registry.apply(*quickstart()) == 2


async def test_a_dry_run_reports_what_an_apply_would(registry: Client) -> None:
    # when
    facts = await refused(registry.apply(model("orphan"), dry_run=True))

    # then
    assert [v.reason for v in facts.violations] == ["model_missing_provider"]


async def test_prune_removes_only_what_carries_the_set(registry: Client) -> None:
    # given two resources of a set and one of nobody
    await registry.apply(provider("kept"), provider("dropped"), apply_set="team")
    await registry.apply(provider("foreign"))

    # when the set no longer has one of them
    answer = await registry.applied(provider("kept"), apply_set="team", prune=True)

    # then
    assert named(answer.changes) == [("removed", "dropped"), ("unchanged", "kept")]
    listed = await registry.list_resources()
    assert [r.provider.id for r in listed.resources] == ["foreign", "kept"]


async def test_prune_refuses_to_leave_a_reference_dangling(registry: Client) -> None:
    # given an agent of nobody that uses a model of the set
    await registry.apply(provider(), model(), apply_set="team")
    await registry.apply(agent("user-of-it"))

    # when
    facts = await refused(registry.apply(provider(), apply_set="team", prune=True))

    # then
    assert [(v.field, v.reason) for v in facts.violations] == [
        ("agent/user-of-it", "agent_missing_model")
    ]


async def test_a_set_takes_over_what_is_there_without_a_new_version(registry: Client) -> None:
    # given
    await registry.apply(provider("one"))

    # when the same content is applied as part of a set
    answer = await registry.applied(provider("one"), apply_set="team")

    # then only its mark changes
    assert answer.version == 2
    listed = await registry.list_resources(apply_set="team")
    assert [r.meta.apply_set for r in listed.resources] == ["team"]


async def test_without_a_set_what_is_marked_stays_so(registry: Client) -> None:
    # given a set, and something that belongs to none
    await registry.apply(provider("one"), provider("two"), apply_set="team")
    await registry.apply(provider("free"))

    # when the same and other content is applied without a set, and one apply is refused
    await registry.apply(provider("one"), provider("free"))
    await registry.apply(provider("two", timeout=Duration(seconds=7)))
    await refused(
        registry.apply(
            provider("one"), provider("two"), mode="APPLY_MODE_CREATE", apply_set="other"
        )
    )

    # then
    listed = await registry.list_resources()
    marks = {each.provider.id: each.meta.apply_set for each in listed.resources}
    assert marks == {"free": "", "one": "team", "two": "team"}


async def test_a_repeated_request_gets_the_first_answer(registry: Client) -> None:
    # given
    first = await registry.applied(provider("one"), request_id="r-1")
    await registry.apply(provider("two"))

    # when
    again = await registry.applied(provider("one"), request_id="r-1")

    # then
    assert again == first
    assert again.version == 2


async def test_a_request_id_with_other_content_is_a_conflict(registry: Client) -> None:
    # given
    await registry.apply(provider("one"), request_id="r-1")

    # when
    facts = await refused(registry.apply(provider("two"), request_id="r-1"))

    # then
    assert facts.code is grpc.StatusCode.ALREADY_EXISTS
    assert facts.reason == "IDEMPOTENCY_CONFLICT"


async def test_an_error_is_not_remembered(registry: Client) -> None:
    # given a request that failed for want of a provider
    await refused(registry.apply(model(), request_id="r-1"))

    # when the provider is there and the request is repeated
    await registry.apply(provider())
    answer = await registry.applied(model(), request_id="r-1")

    # then
    assert answer.version == 3


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "resources"),
        ({"prune": True}, "prune"),
        ({"apply_set": "x\n", "prune": True}, "apply_set"),
        ({"apply_set": "x\0", "prune": True}, "apply_set"),
        ({"mode": 9}, "mode"),
        ({"request_id": "a\x00b"}, "request_id"),
    ],
)
async def test_a_malformed_command_names_the_field(
    registry: Client, fields: dict[str, object], field: str
) -> None:
    facts = await refused(registry.apply(**fields))

    assert field in unmet(facts)


async def test_what_is_wrong_with_a_command_comes_beside_what_is_wrong_with_its_resources(
    registry: Client,
) -> None:
    # given nothing that could be applied or repeated
    bad = {"mode": 9, "apply_set": "x\n", "request_id": "y\n"}

    # when
    facts = await refused(registry.apply(model("orphan"), pb.Resource(), **bad))

    # then
    of_resources = ["resources[0].model.provider_id", "resources[1]"]
    assert unmet(facts) == ["apply_set", "mode", "request_id", *of_resources]


async def test_a_resource_that_no_client_could_read_is_refused(registry: Client) -> None:
    # given 1 MiB of prompt and a little
    wordy = agent(system_prompt="x" * (1 << 20))

    # when
    facts = await refused(registry.apply(provider(), model(), wordy))

    # then
    assert unmet(facts) == ["resources[2].agent"]


async def test_a_resource_of_the_largest_size_can_be_applied_as_it_was_read(
    registry: Client,
) -> None:
    # given an agent whose content has 1 MiB in its normalised form
    largest = agent(max_rounds=16, sampling=pb.Sampling())
    largest.agent.system_prompt = "x" * ((1 << 20) - largest.agent.ByteSize() - 4)
    assert largest.agent.ByteSize() == 1 << 20
    await registry.apply(provider(), model(), largest)

    # when what is read is applied, meta and all
    read = await registry.get("agent", "scout")
    answer = await registry.applied(read.resource)

    # then
    assert read.resource.ByteSize() > 1 << 20
    assert named(answer.changes) == [("unchanged", "scout")]


async def test_concurrent_applies_all_survive(registry: Client) -> None:
    # when 16 callers apply at once
    answers = await asyncio.gather(*(registry.applied(provider(f"p{n}")) for n in range(16)))

    # then each has a version of its own, and the last one holds all of them
    assert sorted(answer.version for answer in answers) == list(range(2, 18))
    listed = await registry.list_resources()
    assert (listed.version, len(listed.resources)) == (17, 16)


async def test_only_one_of_those_who_decided_on_the_same_version_wins(registry: Client) -> None:
    # when 8 callers decide on version 1 at once
    answers = await asyncio.gather(
        *(registry.applied(provider(f"p{n}"), expected_version=1) for n in range(8)),
        return_exceptions=True,
    )

    # then
    lost = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert len(lost) == 7
    assert {reason_of(each).reason for each in lost} == {"VERSION_MISMATCH"}
    assert await registry.version() == 2


async def test_an_apply_records_who_and_when(registry: Client) -> None:
    # when
    await registry.apply(provider("one"))

    # then
    answer = await registry.get("provider", "one")
    meta = answer.resource.meta
    assert (meta.since_version, meta.updated_by) == (2, "local")
    assert meta.update_time.ToJsonString() == "2026-01-01T00:00:00Z"
    assert len(meta.content_hash) == 64
