"""Registering, replacing and removing providers, one call each."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from tests.contract.registry.calls import BLOCK, CASCADE, REMOTE, Client, dependents, refused, unmet
from tests.support.registry_resources import agent, model, pool, provider, quickstart

POLICIES = pytest.mark.parametrize("policy", [BLOCK, CASCADE])
SLOWER = provider(timeout={"seconds": 400})


async def test_remove_provider_blocks_when_model_and_agent_depend_on_it(registry: Client) -> None:
    # given
    await registry.apply(provider(), model(), agent())
    before = await registry.everything()

    # when
    previewed = await registry.preview_removal()
    refusals = [await refused(registry.remove_provider(policy)) for policy in (BLOCK, CASCADE)]

    # then
    assert previewed == service_pb.PreviewRemoveProviderResponse(
        provider_id="local",
        model_ids=["small"],
        agent_ids=["scout"],
        version=2,
        model_count=1,
        agent_count=1,
    )
    for facts in refusals:
        assert facts.code is grpc.StatusCode.FAILED_PRECONDITION
        assert facts.reason == "PROVIDER_IN_USE"
        assert facts.metadata["provider_id"] == "local"
        assert dependents(facts) == ["small", "", "scout"]
    assert await registry.everything() == before


async def test_remove_provider_cascades_unused_models(registry: Client) -> None:
    # given models that no agent uses, which the other policy would keep
    await registry.apply(provider(), model("m"), model("n"))
    facts = await refused(registry.remove_provider(BLOCK))
    assert facts.metadata["model_ids"] == "m\nn"

    # when
    answer = await registry.remove_provider(CASCADE)

    # then provider and models are gone in one version
    version, left = await registry.everything()
    assert left == {}
    assert answer == service_pb.RemoveProviderResponse(
        provider_id="local",
        removed_model_ids=["m", "n"],
        version=3,
        incarnation=answer.incarnation,
        removed_model_count=2,
    )
    assert (version, bool(answer.incarnation)) == (3, True)


async def test_replace_provider_keeps_models_pools_and_agents(registry: Client) -> None:
    # given
    await registry.apply(*quickstart())
    _, before = await registry.everything()

    # when
    answer = await registry.replace(SLOWER, expected_version=2)

    # then nothing but the provider differs, by a byte
    version, after = await registry.everything()
    assert answer.version == version == 3
    assert after["provider/local"] != before["provider/local"]
    del after["provider/local"], before["provider/local"]
    assert after == before
    assert sorted(after) == ["agent/scout", "model/small", "model_pool/both", "tool/search"]


async def test_concurrent_provider_registrations_all_survive(registry: Client) -> None:
    # given version 2
    await registry.apply(provider(), model(), agent())

    # when
    answers = await asyncio.gather(*(registry.register(provider(f"p-{n}")) for n in range(16)))

    # then
    version, after = await registry.everything()
    assert sorted(answer.version for answer in answers) == list(range(3, 19))
    assert version == 18
    assert {f"provider/p-{n}" for n in range(16)} < after.keys()


async def test_a_known_provider_is_not_registered_again(registry: Client) -> None:
    """Identical content included: who registers must know that it was first."""
    # given
    first = await registry.register(provider(), expected_version=1)

    # when
    facts = await refused(registry.register(provider()))

    # then
    assert first.version == 2
    assert facts.code is grpc.StatusCode.ALREADY_EXISTS
    assert facts.reason == "PROVIDER_EXISTS"
    assert facts.metadata["provider_id"] == "local"
    assert await registry.version() == 2


async def test_an_unknown_provider_is_not_found(registry: Client) -> None:
    # given a model of the name
    await registry.apply(provider("p"), model("local", "p"))

    for call in (
        registry.replace(provider()),
        registry.preview_removal(),
        registry.remove_provider(BLOCK),
        registry.remove_provider(CASCADE),
    ):
        # when
        facts = await refused(call)

        # then
        assert facts.code is grpc.StatusCode.NOT_FOUND
        assert facts.reason == "PROVIDER_NOT_FOUND"
        assert facts.metadata["provider_id"] == "local"
    assert await registry.version() == 2


async def test_replacing_with_the_same_content_is_no_version(registry: Client) -> None:
    await registry.register(provider())

    answer = await registry.replace(provider())

    assert answer.version == 2


async def test_the_preview_shows_agents_behind_pools(registry: Client) -> None:
    """Directly, through one pool, through two; sorted and once; a remote agent is none of them."""
    # given
    await registry.apply(
        provider(),
        model("n"),
        model("m"),
        pool("y", ["m", "n"]),
        pool("x", ["n"]),
        agent("through-y", "y"),
        agent("direct", "m"),
        agent("also-y", "y"),
        agent("remote", "m", endpoint=REMOTE),
        provider("other"),
        model("o", "other"),
        agent("elsewhere", "o"),
    )

    # when
    previewed = await registry.preview_removal()

    # then
    assert list(previewed.model_ids) == ["m", "n"]
    assert list(previewed.pool_ids) == ["x", "y"]
    assert list(previewed.agent_ids) == ["also-y", "direct", "through-y"]
    assert not previewed.block_if_referenced_allowed
    assert not previewed.cascade_unused_models_allowed
    assert [previewed.model_count, previewed.pool_count, previewed.agent_count] == [2, 2, 3]


@POLICIES
async def test_an_agent_behind_a_pool_blocks_the_removal(
    registry: Client, policy: service_pb.ProviderRemovalPolicy
) -> None:
    # given a pool that could go on without the provider
    two = (provider("other"), model("o", "other"))
    await registry.apply(provider(), model("m"), *two, pool("both", ["m", "o"]))
    await registry.apply(agent("behind", "both"))
    before = await registry.everything()

    # when
    facts = await refused(registry.remove_provider(policy))

    # then
    assert dependents(facts) == ["m", "both", "behind"]
    assert await registry.everything() == before


async def test_a_cascade_removes_pools_without_a_home_and_shrinks_others(registry: Client) -> None:
    # given pools whose home members are all, none or some of the provider's
    spare = pb.PoolMember(model_id="o", role=pb.POOL_MEMBER_ROLE_FAILOVER_ONLY, weight=4)
    homeless, shrinking = pool("homeless", ["m"]), pool("shrinking", ["o", "m"])
    homeless.model_pool.members.append(spare)
    shrinking.model_pool.members[0].weight = 3
    shrinking.model_pool.breaker.failure_threshold = 9
    await registry.apply(provider(), model("m"), provider("other"), model("o", "other"))
    await registry.apply(homeless, shrinking, pool("alone", ["m"]), pool("other pool", ["o"]))
    await registry.apply(agent("remote", "m", endpoint=REMOTE), agent("user", "other pool"))
    _, before = await registry.everything()

    # when
    previewed = await registry.preview_removal()
    answer = await registry.remove_provider(CASCADE)

    # then
    assert previewed.cascade_unused_models_allowed
    assert list(previewed.pool_ids) == ["alone", "homeless", "shrinking"]
    assert list(answer.removed_model_ids) == ["m"]
    assert list(answer.removed_pool_ids) == ["alone", "homeless"]
    assert (list(answer.updated_pool_ids), answer.updated_pool_count) == (["shrinking"], 1)
    assert list(answer.affected_agent_ids) == []
    version, after = await registry.everything()
    assert answer.version == version == 5
    kept = ["agent/remote", "agent/user", "model/o", "model_pool/other pool", "provider/other"]
    assert sorted(after) == sorted([*kept, "model_pool/shrinking"])
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    left = pb.Resource.FromString(after["model_pool/shrinking"]).model_pool
    assert [(each.model_id, each.weight) for each in left.members] == [("o", 3)]
    assert left.breaker.failure_threshold == 9
    # and what is left is valid as a whole
    assert await registry.apply(*map(pb.Resource.FromString, after.values())) == 5


@POLICIES
async def test_a_provider_without_models_may_go(
    registry: Client, policy: service_pb.ProviderRemovalPolicy
) -> None:
    # given
    await registry.apply(provider(), provider("other"))
    previewed = await registry.preview_removal()

    # when
    answer = await registry.remove_provider(policy, expected_version=2)

    # then
    assert previewed.block_if_referenced_allowed
    assert previewed.cascade_unused_models_allowed
    assert answer.version == 3
    assert list((await registry.everything())[1]) == ["provider/other"]


async def test_a_removal_sees_what_came_after_the_preview(registry: Client) -> None:
    # given a preview that allows a cascade, and an agent that comes meanwhile
    await registry.apply(provider(), model())
    previewed = await registry.preview_removal()
    await registry.apply(agent("late"))

    # when
    facts = await refused(registry.remove_provider(CASCADE))

    # then
    assert previewed.cascade_unused_models_allowed
    assert facts.metadata["agent_ids"] == "late"


async def test_a_removal_and_a_new_user_cannot_both_win(registry: Client) -> None:
    """Whichever comes first, the other is refused; the snapshot stays valid."""
    for turn in range(8):
        # given
        await registry.apply(provider(), model())
        version = await registry.version()

        # when
        name = f"user-{turn}"
        calls = [registry.remove_provider(CASCADE), registry.apply(agent(name))]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

        # then
        assert sum(isinstance(each, grpc.aio.AioRpcError) for each in outcomes) == 1
        after, left = await registry.everything()
        assert after == version + 1
        assert (f"agent/{name}" in left) == ("model/small" in left)
        if f"agent/{name}" in left:
            await registry.delete("agent", name)


async def test_every_mutation_compares_the_version(registry: Client) -> None:
    await registry.apply(provider())

    for call in (
        registry.register(provider("new"), expected_version=1),
        registry.replace(SLOWER, expected_version=3),
        registry.remove_provider(BLOCK, expected_version=1),
    ):
        facts = await refused(call)
        assert facts.code is grpc.StatusCode.ABORTED
        assert facts.reason == "VERSION_MISMATCH"
        assert facts.metadata["current"] == "2"


async def test_repeats_get_the_first_answers(registry: Client) -> None:
    # given each mutation under a key
    async def register_replace_and_remove() -> list[object]:
        return [
            await registry.register(provider(), request_id="r"),
            await registry.replace(SLOWER, request_id="r"),
            await registry.remove_provider(CASCADE, request_id="r"),
        ]

    first = await register_replace_and_remove()

    # when all of them come again
    again = await register_replace_and_remove()

    # then
    assert again == first
    assert (await registry.everything()) == (4, {})


async def test_repeats_that_come_together_get_one_answer(registry: Client) -> None:
    """A repeat that overtakes nothing must not see the first one's effect as an error."""
    # when
    answers = await asyncio.gather(
        *(registry.register(provider(), request_id="r") for _ in range(8))
    )

    # then
    assert {answer.version for answer in answers} == {2}


async def test_a_key_with_another_request_is_a_conflict(registry: Client) -> None:
    await registry.register(provider(), request_id="r")

    facts = await refused(registry.register(provider("other"), request_id="r"))

    assert facts.code is grpc.StatusCode.ALREADY_EXISTS
    assert facts.reason == "IDEMPOTENCY_CONFLICT"


async def test_every_mistake_in_a_provider_is_reported_by_field(registry: Client) -> None:
    # given a secret in a header, a user in the URL, an unknown number and more
    wrong = pb.Provider(base_url="https://user:password@models.example/v1")
    wrong.openai.token_limit_field = 77  # type: ignore[assignment]  # of a later version
    wrong.openai.headers.add(name="X-Key", value="sk-abcdefghijklmnopqrstuvwxyz123456")
    wrong.openai.headers.add(name="Content-Length", value="0")
    wrong.credential_ref.SetInParent()
    wrong.timeout.FromSeconds(-1)

    for call in (
        registry.register(pb.Resource(provider=wrong), request_id="a\n"),
        registry.replace(pb.Resource(provider=wrong), request_id="a\n"),
    ):
        # when
        facts = await refused(call)

        # then
        assert facts.code is grpc.StatusCode.INVALID_ARGUMENT
        assert facts.reason == "INVALID_REQUEST"
        assert unmet(facts) == [
            "provider.base_url",
            "provider.credential_ref",
            "provider.id",
            "provider.openai.headers[0].value",
            "provider.openai.headers[1].name",
            "provider.openai.token_limit_field",
            "provider.timeout",
            "request_id",
        ]
        told = facts.message + "".join(each.description for each in facts.violations)
        assert "sk-" not in told
        assert "password" not in told
    assert (await registry.everything()) == (1, {})


async def test_an_empty_request_names_what_is_missing(registry: Client) -> None:
    facts = [
        await refused(call)
        for call in (
            registry.RegisterProvider(service_pb.RegisterProviderRequest()),
            registry.ReplaceProvider(service_pb.ReplaceProviderRequest()),
            registry.register(pb.Resource()),
            registry.preview_removal(""),
            registry.remove_provider(0, ""),
            registry.remove_provider(9, "p\n"),  # of a later version
        )
    ]

    assert {each.code for each in facts} == {grpc.StatusCode.INVALID_ARGUMENT}
    assert list(map(unmet, facts)) == [
        ["provider"],
        ["provider"],
        ["provider", "provider.id"],
        ["provider_id"],
        ["policy", "provider_id"],
        ["policy", "provider_id"],
    ]


async def test_a_provider_that_no_client_could_read_is_refused(registry: Client) -> None:
    # given a script of more than 1 MiB
    wordy = pb.Provider(id="wordy")
    wordy.builtin.steps.add().reply.text = "x" * (1 << 20)

    # when
    facts = await refused(registry.register(pb.Resource(provider=wordy)))

    # then
    assert unmet(facts) == ["provider"]
