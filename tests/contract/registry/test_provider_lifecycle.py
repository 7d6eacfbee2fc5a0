"""Registering, replacing and removing providers, one call each."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from runyard.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tests.contract.registry.calls import apply, everything, refused, unmet
from tests.support.registry_resources import agent, model, pool, provider, quickstart

BLOCK = service_pb.PROVIDER_REMOVAL_POLICY_BLOCK_IF_REFERENCED
CASCADE = service_pb.PROVIDER_REMOVAL_POLICY_CASCADE_UNUSED_MODELS
POLICIES = pytest.mark.parametrize("policy", [BLOCK, CASCADE])
REMOTE = pb.AgentEndpoint(base_url="https://agents.example")


def register(id_: str = "local", **fields: Any) -> service_pb.RegisterProviderRequest:
    return service_pb.RegisterProviderRequest(provider=provider(id_).provider, **fields)


def replace(message: pb.Provider, **fields: Any) -> service_pb.ReplaceProviderRequest:
    return service_pb.ReplaceProviderRequest(provider=message, **fields)


def preview(id_: str = "local") -> service_pb.PreviewRemoveProviderRequest:
    return service_pb.PreviewRemoveProviderRequest(provider_id=id_)


def remove(
    policy: service_pb.ProviderRemovalPolicy, id_: str = "local", **fields: Any
) -> service_pb.RemoveProviderRequest:
    return service_pb.RemoveProviderRequest(provider_id=id_, policy=policy, **fields)


def slower() -> pb.Provider:
    message = provider().provider
    message.timeout.FromSeconds(400)
    return message


async def test_remove_provider_blocks_when_model_and_agent_depend_on_it(
    registry: RegistryServiceStub,
) -> None:
    # given
    await apply(registry, provider(), model(), agent())
    before = await everything(registry)

    # when
    previewed = await registry.PreviewRemoveProvider(preview())
    refusals = [
        await refused(registry.RemoveProvider(remove(policy))) for policy in (BLOCK, CASCADE)
    ]

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
        assert facts.metadata["model_ids"] == "small"
        assert facts.metadata["pool_ids"] == ""
        assert facts.metadata["agent_ids"] == "scout"
    assert await everything(registry) == before


async def test_remove_provider_cascades_unused_models(registry: RegistryServiceStub) -> None:
    # given models that no agent uses, which the other policy would keep
    await apply(registry, provider(), model("m"), model("n"))
    facts = await refused(registry.RemoveProvider(remove(BLOCK)))
    assert facts.metadata["model_ids"] == "m\nn"

    # when
    answer = await registry.RemoveProvider(remove(CASCADE))

    # then provider and models are gone in one version
    version, left = await everything(registry)
    assert left == {}
    assert answer == service_pb.RemoveProviderResponse(
        provider_id="local",
        removed_model_ids=["m", "n"],
        version=3,
        incarnation=answer.incarnation,
        removed_model_count=2,
    )
    assert (version, bool(answer.incarnation)) == (3, True)


async def test_replace_provider_keeps_models_pools_and_agents(
    registry: RegistryServiceStub,
) -> None:
    # given
    await apply(registry, *quickstart())
    _, before = await everything(registry)

    # when
    answer = await registry.ReplaceProvider(replace(slower(), expected_version=2))

    # then nothing but the provider differs, by a byte
    version, after = await everything(registry)
    assert answer.version == version == 3
    assert after["provider/local"] != before["provider/local"]
    del after["provider/local"], before["provider/local"]
    assert after == before
    assert sorted(after) == ["agent/scout", "model/small", "model_pool/both", "tool/search"]


async def test_concurrent_provider_registrations_all_survive(
    registry: RegistryServiceStub,
) -> None:
    # given version 2
    await apply(registry, provider(), model(), agent())

    # when
    answers = await asyncio.gather(
        *(registry.RegisterProvider(register(f"p-{n}")) for n in range(16))
    )

    # then
    version, after = await everything(registry)
    assert sorted(answer.version for answer in answers) == list(range(3, 19))
    assert version == 18
    assert {f"provider/p-{n}" for n in range(16)} < after.keys()


async def test_a_known_provider_is_not_registered_again(registry: RegistryServiceStub) -> None:
    """Identical content included: who registers must know that it was first."""
    # given
    first = await registry.RegisterProvider(register(expected_version=1))

    # when
    facts = await refused(registry.RegisterProvider(register()))

    # then
    assert first.version == 2
    assert facts.code is grpc.StatusCode.ALREADY_EXISTS
    assert facts.reason == "PROVIDER_EXISTS"
    assert facts.metadata["provider_id"] == "local"
    assert (await everything(registry))[0] == 2


async def test_an_unknown_provider_is_not_found(registry: RegistryServiceStub) -> None:
    # given a model of the name
    await apply(registry, provider("p"), model("local", "p"))

    for call in (
        registry.ReplaceProvider(replace(provider().provider)),
        registry.PreviewRemoveProvider(preview()),
        registry.RemoveProvider(remove(BLOCK)),
        registry.RemoveProvider(remove(CASCADE)),
    ):
        # when
        facts = await refused(call)

        # then
        assert facts.code is grpc.StatusCode.NOT_FOUND
        assert facts.reason == "PROVIDER_NOT_FOUND"
        assert facts.metadata["provider_id"] == "local"
    assert (await everything(registry))[0] == 2


async def test_replacing_with_the_same_content_is_no_version(
    registry: RegistryServiceStub,
) -> None:
    await registry.RegisterProvider(register())

    answer = await registry.ReplaceProvider(replace(provider().provider))

    assert answer.version == 2


async def test_the_preview_shows_agents_behind_pools(registry: RegistryServiceStub) -> None:
    """Directly, through one pool, through two; sorted and once; a remote agent is none of them."""
    # given
    await apply(
        registry,
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
    previewed = await registry.PreviewRemoveProvider(preview())

    # then
    assert list(previewed.model_ids) == ["m", "n"]
    assert list(previewed.pool_ids) == ["x", "y"]
    assert list(previewed.agent_ids) == ["also-y", "direct", "through-y"]
    assert not previewed.block_if_referenced_allowed
    assert not previewed.cascade_unused_models_allowed
    assert [previewed.model_count, previewed.pool_count, previewed.agent_count] == [2, 2, 3]


@POLICIES
async def test_an_agent_behind_a_pool_blocks_the_removal(
    registry: RegistryServiceStub, policy: service_pb.ProviderRemovalPolicy
) -> None:
    # given a pool that could go on without the provider
    two = (provider("other"), model("o", "other"))
    await apply(registry, provider(), model("m"), *two, pool("both", ["m", "o"]))
    await apply(registry, agent("behind", "both"))
    before = await everything(registry)

    # when
    facts = await refused(registry.RemoveProvider(remove(policy)))

    # then
    named = [facts.metadata[f"{each}_ids"] for each in ("model", "pool", "agent")]
    assert named == ["m", "both", "behind"]
    assert await everything(registry) == before


async def test_a_cascade_removes_pools_without_a_home_and_shrinks_others(
    registry: RegistryServiceStub,
) -> None:
    # given pools whose home members are all, none or some of the provider's
    spare = pb.PoolMember(model_id="o", role=pb.POOL_MEMBER_ROLE_FAILOVER_ONLY, weight=4)
    homeless, shrinking = pool("homeless", ["m"]), pool("shrinking", ["o", "m"])
    homeless.model_pool.members.append(spare)
    shrinking.model_pool.members[0].weight = 3
    shrinking.model_pool.breaker.failure_threshold = 9
    await apply(registry, provider(), model("m"), provider("other"), model("o", "other"))
    await apply(registry, homeless, shrinking, pool("alone", ["m"]), pool("other pool", ["o"]))
    await apply(registry, agent("remote", "m", endpoint=REMOTE), agent("user", "other pool"))
    _, before = await everything(registry)

    # when
    previewed = await registry.PreviewRemoveProvider(preview())
    answer = await registry.RemoveProvider(remove(CASCADE))

    # then
    assert previewed.cascade_unused_models_allowed
    assert list(previewed.pool_ids) == ["alone", "homeless", "shrinking"]
    assert list(answer.removed_model_ids) == ["m"]
    assert list(answer.removed_pool_ids) == ["alone", "homeless"]
    assert (list(answer.updated_pool_ids), answer.updated_pool_count) == (["shrinking"], 1)
    assert list(answer.affected_agent_ids) == []
    version, after = await everything(registry)
    assert answer.version == version == 5
    kept = ["agent/remote", "agent/user", "model/o", "model_pool/other pool", "provider/other"]
    assert sorted(after) == sorted([*kept, "model_pool/shrinking"])
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    left = pb.Resource.FromString(after["model_pool/shrinking"]).model_pool
    assert [(each.model_id, each.weight) for each in left.members] == [("o", 3)]
    assert left.breaker.failure_threshold == 9
    # and what is left is valid as a whole
    assert await apply(registry, *map(pb.Resource.FromString, after.values())) == 5


@POLICIES
async def test_a_provider_without_models_may_go(
    registry: RegistryServiceStub, policy: service_pb.ProviderRemovalPolicy
) -> None:
    # given
    await apply(registry, provider(), provider("other"))
    previewed = await registry.PreviewRemoveProvider(preview())

    # when
    answer = await registry.RemoveProvider(remove(policy, expected_version=2))

    # then
    assert previewed.block_if_referenced_allowed
    assert previewed.cascade_unused_models_allowed
    assert answer.version == 3
    assert list((await everything(registry))[1]) == ["provider/other"]


async def test_a_removal_sees_what_came_after_the_preview(registry: RegistryServiceStub) -> None:
    # given a preview that allows a cascade, and an agent that comes meanwhile
    await apply(registry, provider(), model())
    previewed = await registry.PreviewRemoveProvider(preview())
    await apply(registry, agent("late"))

    # when
    facts = await refused(registry.RemoveProvider(remove(CASCADE)))

    # then
    assert previewed.cascade_unused_models_allowed
    assert facts.metadata["agent_ids"] == "late"


async def test_a_removal_and_a_new_user_cannot_both_win(registry: RegistryServiceStub) -> None:
    """Whichever comes first, the other is refused; the snapshot stays valid."""
    for turn in range(8):
        # given
        await apply(registry, provider(), model())
        version, _ = await everything(registry)

        # when
        name = f"user-{turn}"
        outcomes = await asyncio.gather(
            registry.RemoveProvider(remove(CASCADE)),
            apply(registry, agent(name)),
            return_exceptions=True,
        )

        # then
        assert sum(isinstance(each, grpc.aio.AioRpcError) for each in outcomes) == 1
        after, left = await everything(registry)
        assert after == version + 1
        assert (f"agent/{name}" in left) == ("model/small" in left)
        if f"agent/{name}" in left:
            request = service_pb.DeleteResourceRequest(kind=pb.RESOURCE_KIND_AGENT, id=name)
            await registry.DeleteResource(request)


async def test_every_mutation_compares_the_version(registry: RegistryServiceStub) -> None:
    await apply(registry, provider())

    for call in (
        registry.RegisterProvider(register("new", expected_version=1)),
        registry.ReplaceProvider(replace(slower(), expected_version=3)),
        registry.RemoveProvider(remove(BLOCK, expected_version=1)),
    ):
        facts = await refused(call)
        assert facts.code is grpc.StatusCode.ABORTED
        assert facts.reason == "VERSION_MISMATCH"
        assert facts.metadata["current"] == "2"


async def test_repeats_get_the_first_answers(registry: RegistryServiceStub) -> None:
    # given each mutation under a key
    async def register_replace_and_remove() -> list[object]:
        return [
            await registry.RegisterProvider(register(request_id="r")),
            await registry.ReplaceProvider(replace(slower(), request_id="r")),
            await registry.RemoveProvider(remove(CASCADE, request_id="r")),
        ]

    first = await register_replace_and_remove()

    # when all of them come again
    again = await register_replace_and_remove()

    # then
    assert again == first
    assert (await everything(registry)) == (4, {})


async def test_repeats_that_come_together_get_one_answer(registry: RegistryServiceStub) -> None:
    """A repeat that overtakes nothing must not see the first one's effect as an error."""
    # when
    answers = await asyncio.gather(
        *(registry.RegisterProvider(register(request_id="r")) for _ in range(8))
    )

    # then
    assert {answer.version for answer in answers} == {2}


async def test_a_key_with_another_request_is_a_conflict(registry: RegistryServiceStub) -> None:
    await registry.RegisterProvider(register(request_id="r"))

    facts = await refused(registry.RegisterProvider(register("other", request_id="r")))

    assert facts.code is grpc.StatusCode.ALREADY_EXISTS
    assert facts.reason == "IDEMPOTENCY_CONFLICT"


async def test_everything_wrong_with_a_provider_is_told_by_field(
    registry: RegistryServiceStub,
) -> None:
    # given a secret in a header, a user in the URL, an unknown number and more
    wrong = pb.Provider(base_url="https://user:password@models.example/v1")
    wrong.openai.token_limit_field = 77  # type: ignore[assignment]  # of a later version
    wrong.openai.headers.add(name="X-Key", value="sk-abcdefghijklmnopqrstuvwxyz123456")
    wrong.openai.headers.add(name="Content-Length", value="0")
    wrong.credential_ref.SetInParent()
    wrong.timeout.FromSeconds(-1)

    for call in (
        registry.RegisterProvider(
            service_pb.RegisterProviderRequest(provider=wrong, request_id="a\n")
        ),
        registry.ReplaceProvider(replace(wrong, request_id="a\n")),
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
    assert (await everything(registry)) == (1, {})


async def test_an_empty_request_names_what_is_missing(registry: RegistryServiceStub) -> None:
    facts = [
        await refused(call)
        for call in (
            registry.RegisterProvider(service_pb.RegisterProviderRequest()),
            registry.ReplaceProvider(service_pb.ReplaceProviderRequest()),
            registry.RegisterProvider(service_pb.RegisterProviderRequest(provider=pb.Provider())),
            registry.PreviewRemoveProvider(service_pb.PreviewRemoveProviderRequest()),
            registry.RemoveProvider(service_pb.RemoveProviderRequest()),
            registry.RemoveProvider(remove(9, "p\n")),  # type: ignore[arg-type]  # of a later version
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


async def test_a_provider_that_no_client_could_read_is_refused(
    registry: RegistryServiceStub,
) -> None:
    # given a script of more than 1 MiB
    wordy = pb.Provider(id="wordy")
    wordy.builtin.steps.add().reply.text = "x" * (1 << 20)

    # when
    request = service_pb.RegisterProviderRequest(provider=wordy)
    facts = await refused(registry.RegisterProvider(request))

    # then
    assert unmet(facts) == ["provider"]
