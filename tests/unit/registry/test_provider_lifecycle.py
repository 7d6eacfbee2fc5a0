"""The use cases of providers, over dictionaries."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import timedelta

import pytest

from services.chassis.caller import Replay
from services.chassis.errors import InvalidRequestError, Violation
from services.registry.core import model as m
from services.registry.core.changes.provider_lifecycle import Registered, Removed, Replaced
from services.registry.core.changes.removing_providers import Impact, RemovalCommand, RemovalPolicy
from services.registry.core.errors import (
    ProviderExistsError,
    ProviderInUseError,
    ProviderNotFoundError,
    VersionMismatchError,
)
from services.registry.core.model import Agent, BuiltinAdapter, Model, ModelPool, Provider
from services.registry.core.refs import Kind, Ref
from tests.support.callers import LOCAL, keyed
from tests.support.registry_use_cases import UseCases, provider_command

BLOCK = RemovalPolicy.BLOCK_IF_REFERENCED
CASCADE = RemovalPolicy.CASCADE_UNUSED_MODELS
ONE = Provider("one", BuiltinAdapter())
SLOWER = replace(ONE, timeout=timedelta(seconds=400))
MODEL = Model("m", "one", "u")


async def test_a_provider_is_registered_once() -> None:
    # given
    use_cases = UseCases()
    first = await use_cases.providers.register(LOCAL, provider_command(ONE))

    # when the very same comes again
    with pytest.raises(ProviderExistsError) as caught:
        await use_cases.providers.register(LOCAL, provider_command(ONE))

    # then
    assert first == Registered(2, "in-memory")
    assert caught.value.metadata == {"provider_id": "one"}


async def test_a_replaced_provider_keeps_its_set_and_what_refers_to_it() -> None:
    # given
    use_cases = UseCases()
    await use_cases.apply(ONE, MODEL, apply_set="team")
    before = await use_cases.stored()

    # when
    answer = await use_cases.providers.replace(LOCAL, provider_command(SLOWER))

    # then
    after = await use_cases.stored()
    assert answer == Replaced(3, "in-memory")
    assert after[MODEL.ref] == before[MODEL.ref]
    assert after[ONE.ref].apply_set == "team"
    assert (await use_cases.contents())[ONE.ref] == SLOWER


async def test_replacing_a_provider_with_itself_is_no_version() -> None:
    use_cases = UseCases()
    await use_cases.apply(ONE)

    answer = await use_cases.providers.replace(LOCAL, provider_command(ONE))

    assert answer == Replaced(2, "in-memory")


async def test_an_unknown_provider_is_neither_replaced_nor_previewed_nor_removed() -> None:
    use_cases = UseCases()

    for work in (
        use_cases.providers.replace(LOCAL, provider_command(ONE)),
        use_cases.providers.preview_removal("one"),
        use_cases.providers.remove(LOCAL, RemovalCommand("one", CASCADE)),
    ):
        with pytest.raises(ProviderNotFoundError) as caught:
            await work
        assert caught.value.metadata == {"provider_id": "one"}


async def test_every_mutation_compares_the_version() -> None:
    use_cases = UseCases()
    await use_cases.apply(ONE)

    for work in (
        use_cases.providers.register(LOCAL, provider_command(ONE, expected_version=1)),
        use_cases.providers.replace(LOCAL, provider_command(SLOWER, expected_version=3)),
        use_cases.providers.remove(LOCAL, RemovalCommand("one", BLOCK, expected_version=1)),
    ):
        with pytest.raises(VersionMismatchError):
            await work


async def test_everything_that_is_wrong_with_a_provider_is_told() -> None:
    # given
    use_cases = UseCases()
    wrong = provider_command(
        Provider("", BuiltinAdapter(), base_url="https://h", timeout=timedelta(0)),
        unreadable=(Violation("request_id", "is wrong"),),
    )

    # when
    with pytest.raises(InvalidRequestError) as caught:
        await use_cases.providers.register(LOCAL, wrong)

    # then
    assert [violation.field for violation in caught.value.violations] == [
        "provider.base_url",
        "provider.id",
        "provider.timeout",
        "request_id",
    ]


async def test_a_cascade_takes_models_and_empty_pools_and_nothing_else() -> None:
    # given a pool with a member elsewhere, one without, and a remote agent of the model's name
    use_cases = UseCases()
    two, other = Provider("two", BuiltinAdapter()), Model("other", "two", "u")
    shared = ModelPool("shared", (m.PoolMember("other", 7), m.PoolMember("m")))
    alone = ModelPool("alone", (m.PoolMember("m"),))
    remote = Agent("remote", "m", endpoint=m.AgentEndpoint("https://agents.example"))
    await use_cases.apply(ONE, two, MODEL, other, shared, alone, remote, apply_set="team")
    before = await use_cases.stored()
    preview = await use_cases.providers.preview_removal("one")

    # when
    answer = await use_cases.providers.remove(LOCAL, RemovalCommand("one", CASCADE))

    # then all of it is one version
    assert preview.impact == Impact("one", ("m",), ("alone", "shared"), ())
    assert preview.version == 2
    assert answer == Removed("one", ("m",), ("alone",), ("shared",), (), 3, "in-memory")
    after = await use_cases.stored()
    untouched = (two.ref, other.ref, remote.ref)
    assert [after[ref] for ref in untouched] == [before[ref] for ref in untouched]
    assert after.keys() == {two.ref, other.ref, remote.ref, shared.ref}
    assert after[shared.ref].apply_set == "team"
    left = replace(shared, members=(m.PoolMember("other", 7),))
    assert (await use_cases.contents())[shared.ref] == left


@pytest.mark.parametrize("policy", RemovalPolicy)
async def test_an_agent_behind_a_pool_is_in_the_way(policy: RemovalPolicy) -> None:
    # given
    use_cases = UseCases()
    pool = ModelPool("pool", (m.PoolMember("m"),))
    await use_cases.apply(ONE, MODEL, pool, Agent("behind", "pool"))
    before = await use_cases.stored()

    # when
    with pytest.raises(ProviderInUseError) as caught:
        await use_cases.providers.remove(LOCAL, RemovalCommand("one", policy))

    # then
    assert caught.value.metadata["agent_ids"] == "behind"
    assert caught.value.metadata["pool_ids"] == "pool"
    assert await use_cases.stored() == before


async def test_a_model_alone_is_in_the_way_of_blocking() -> None:
    # given
    use_cases = UseCases()
    await use_cases.apply(ONE, MODEL)

    # when
    with pytest.raises(ProviderInUseError) as caught:
        await use_cases.providers.remove(LOCAL, RemovalCommand("one", BLOCK))

    # then
    assert caught.value.metadata["model_ids"] == "m"
    assert (await use_cases.head()).version == 2


async def test_a_provider_without_models_goes_alone() -> None:
    use_cases = UseCases()
    await use_cases.apply(ONE)

    answer = await use_cases.providers.remove(LOCAL, RemovalCommand("one", BLOCK))

    assert answer == Removed("one", (), (), (), (), 3, "in-memory")
    assert await use_cases.stored() == {}


async def test_a_repeat_gets_the_first_answer_whatever_has_become_of_it() -> None:
    # given a provider that was registered, then removed
    use_cases = UseCases()
    asked = keyed(LOCAL, "k", b"1")
    first = await use_cases.providers.register(asked, provider_command(ONE))
    await use_cases.providers.remove(LOCAL, RemovalCommand("one", BLOCK))

    # when
    again = await use_cases.providers.register(asked, provider_command(ONE))

    # then it is told what was true then, and nothing is done
    assert isinstance(again, Replay)
    assert pickle.loads(again.body) == first  # noqa: S301  # what the use_cases made
    assert Ref(Kind.PROVIDER, "one") not in await use_cases.stored()
