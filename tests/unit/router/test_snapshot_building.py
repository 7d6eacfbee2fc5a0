from __future__ import annotations

from typing import Any

import pytest

from runyard.registry.v1 import registry_pb2 as pb
from services.router.clients.snapshot import (
    SnapshotBuilder,
    model_of,
    pool_of,
    provider_of,
    script_of,
)
from services.router.core import model as core
from services.router.core.script import Fault, FaultKind, Reply, ScriptedCall
from tests.contract.router.router_under_test import builtin, model, pool, seconds
from tests.support.clients import replying


def test_models_and_pools_become_targets() -> None:
    # given
    resources = [
        pool("p", "a", failover_only=["b"]),
        model("a", "script", "up-a"),
        model("b", "script"),
        builtin("script"),
        pb.Resource(agent=pb.Agent(id="not-routed")),
    ]

    # when
    snapshot = SnapshotBuilder().build(resources, 7, "inc")

    # then
    assert (snapshot.version, snapshot.incarnation) == (7, "inc")
    assert sorted(snapshot.targets) == ["a", "b", "p"]
    found = snapshot.targets["p"]
    members = [(m.id, m.weight, m.failover_only) for m in found.members]
    assert members == [("a", 1, False), ("b", 1, True)]
    assert found.is_pool
    alone = snapshot.targets["a"]
    assert (alone.is_pool, alone.single_member) == (False, True)
    assert alone.members[0].model.upstream_model == "up-a"


def test_the_revision_is_the_registrys_hash_or_computed() -> None:
    # given
    hashed, bare, other = pool("p", "a"), pool("p", "a"), pool("p", "b")
    hashed.meta.content_hash = "0123456789abcdef" * 4
    bare.meta.since_version = 9

    # when
    models = [builtin("s"), model("a", "s"), model("b", "s")]
    found = [
        SnapshotBuilder().build([*models, each], 1, "inc").targets["p"].revision
        for each in (hashed, bare, pool("p", "a"), other)
    ]

    # then
    assert found[0] == "0123456789abcdef"
    assert found[1] == found[2]
    assert found[1] != found[3]
    assert len(found[1]) == 16


def test_resources_that_refer_to_missing_ones_are_left_out() -> None:
    # when
    resources = [builtin("s"), model("a", "s"), model("b", "gone"), pool("p", "a", "b")]
    snapshot = SnapshotBuilder().build(resources, 1, "inc")

    # then
    assert sorted(snapshot.targets) == ["a"]


def test_unchanged_resources_are_reused_from_the_last_snapshot() -> None:
    # given two providers with a model each, a pool of each model and one of both
    resources = {
        "s": builtin("s"),
        "t": builtin("t"),
        "a": model("a", "s"),
        "b": model("b", "t"),
        "pa": pool("pa", "a"),
        "pb": pool("pb", "b"),
        "both": pool("both", "a", "b"),
    }
    builder = SnapshotBuilder()
    first = builder.build(resources.values(), 1, "inc")

    # when one provider is replaced by an object with other content
    changed = {**resources, "t": builtin("t", replying("new"))}
    second = builder.build(changed.values(), 2, "inc")

    # then what refers to it is rebuilt, and the rest is reused
    assert second.targets == SnapshotBuilder().build(changed.values(), 2, "inc").targets
    same = {id_ for id_, target in second.targets.items() if target is first.targets[id_]}
    assert same == {"a", "pa"}
    assert second.targets["both"].members[1].provider.revision != ""
    assert second.targets["both"] != first.targets["both"]


def test_removed_resources_leave_the_snapshot() -> None:
    # given
    resources = [builtin("s"), model("a", "s"), model("b", "s"), pool("p", "a", "b")]
    builder = SnapshotBuilder()
    builder.build(resources, 1, "inc")

    # when a model is removed, and added again
    without = builder.build([resources[0], resources[1], resources[3]], 2, "inc")
    again = builder.build(resources, 3, "inc")

    # then the pool that refers to it is too
    assert sorted(without.targets) == ["a"]
    assert sorted(again.targets) == ["a", "b", "p"]


def test_a_pool_without_settings_has_the_defaults() -> None:
    assert pool_of(pool("p", "a").model_pool) == core.Pool("p", (core.PoolMember("a"),))


def test_a_pool_with_everything_set() -> None:
    # given
    whole = pb.ModelPool(
        id="p",
        members=[pb.PoolMember(model_id="a", weight=3)],
        routing=pb.PoolRouting(home=pb.HOME_STRATEGY_ROUND_ROBIN, sticky_scope=pb.STICKY_SCOPE_RUN),
        switch=pb.PoolSwitch(
            on_circuit_open=False,
            on_quota=False,
            on_permanent=False,
            on_retry_exhausted=True,
            quota_retry_after_threshold=seconds(0),
            max_switches_per_session=0,
        ),
        stickiness=pb.PoolStickiness(pin_ttl=seconds(60), return_home=pb.RETURN_HOME_NEXT_SESSION),
        retry=pb.PoolRetry(in_place=0),
        clocks=pb.PoolClocks(first_chunk=seconds(1), idle=seconds(2), total=seconds(3.5)),
        mid_stream=pb.MID_STREAM_RESTART,
        breaker=pb.PoolBreaker(failure_threshold=2, cooldown=seconds(1.5), half_open_max=3),
    )

    # when, then
    assert pool_of(whole) == core.Pool(
        "p",
        (core.PoolMember("a", 3),),
        core.HomeStrategy.ROUND_ROBIN,
        core.StickyScope.RUN,
        core.SwitchPolicy(False, False, False, True, 0.0, 0),
        60.0,
        core.ReturnHome.NEXT_SESSION,
        0,
        core.Clocks(1.0, 2.0, 3.5),
        core.MidStream.RESTART,
        core.BreakerPolicy(2, 1.5, 3),
    )


@pytest.mark.parametrize(("reasoning", "first_chunk_s"), [(False, 60.0), (True, 200.0)])
def test_a_reasoning_model_called_directly_has_its_providers_time_to_the_first_chunk(
    reasoning: bool, first_chunk_s: float
) -> None:
    # given a model silent for 62 s, and a provider that allows 200 s
    resources = [
        pb.Resource(
            provider=pb.Provider(id="v", timeout=seconds(200), builtin=pb.BuiltinAdapter())
        ),
        pb.Resource(
            model=pb.Model(
                id="m",
                provider_id="v",
                upstream_model="u",
                capabilities=pb.ModelCapabilities(reasoning=reasoning),
            )
        ),
    ]

    # when
    direct = SnapshotBuilder().build(resources, 1, "i").targets["m"]

    # then
    assert direct.pool.clocks == core.Clocks(first_chunk_s=first_chunk_s)


def provider(**fields: Any) -> core.Provider:
    return provider_of(pb.Resource(provider=pb.Provider(id="v", **fields)))


def test_an_openai_provider_with_and_without_options() -> None:
    # given
    options = pb.OpenAiAdapter(
        organization="org",
        project="prj",
        token_limit_field=pb.OPEN_AI_TOKEN_LIMIT_FIELD_MAX_COMPLETION_TOKENS,
        stream_usage=False,
        headers=[
            pb.HttpHeader(name="X-A", value="1"),
            pb.HttpHeader(name="X-B", value_ref=pb.CredentialRef(file="/run/key")),
        ],
        query=[pb.QueryParameter(name="api-version", value="1"), pb.QueryParameter(name="b")],
    )
    reference = pb.CredentialRef(env="KEY")

    # when
    bare = provider(openai=pb.OpenAiAdapter())
    whole = provider(
        openai=options, base_url="http://x/v1", credential_ref=reference, timeout=seconds(9)
    )

    # then
    assert bare.adapter == core.OpenAi("https://api.openai.com/v1")
    assert (bare.credential, bare.timeout_s) == (None, 300.0)
    assert whole.adapter == core.OpenAi(
        "http://x/v1",
        "org",
        "prj",
        "max_completion_tokens",
        False,
        (core.Header("X-A", "1"), core.Header("X-B", secret=core.Credential(file="/run/key"))),
        (("api-version", "1"), ("b", "")),
    )
    assert (whole.credential, whole.timeout_s) == (core.Credential(env="KEY"), 9.0)
    assert bare.revision != whole.revision


def test_an_anthropic_provider_with_and_without_options() -> None:
    # given
    options = pb.AnthropicAdapter(
        api_version="2099-01-01",
        betas=["one", "two"],
        headers=[pb.HttpHeader(name="X-A", value="1")],
    )

    # when
    bare = provider(anthropic=pb.AnthropicAdapter())
    whole = provider(anthropic=options, base_url="http://x")

    # then
    assert bare.adapter == core.Anthropic("https://api.anthropic.com", "2023-06-01")
    assert whole.adapter == core.Anthropic(
        "http://x", "2099-01-01", ("one", "two"), (core.Header("X-A", "1"),)
    )


def test_the_output_limit_of_a_model_is_read_if_it_is_declared() -> None:
    declared = pb.Model(id="m", provider_id="p", upstream_model="u", max_output_tokens=64_000)
    assert model_of(declared).max_output_tokens == 64_000
    assert model_of(pb.Model(id="m")).max_output_tokens is None


TEXT, IMAGE = pb.MODALITY_TEXT, pb.MODALITY_IMAGE
ABLE = pb.ModelCapabilities(tools=True, json_object=True, json_schema=True)
DECLARED: dict[str, tuple[pb.Model, set[str]]] = {
    "nothing": (pb.Model(id="m"), set()),
    "what the registry makes of nothing": (pb.Model(id="m", modalities=[TEXT]), set()),
    "a modality": (pb.Model(id="m", modalities=[TEXT, IMAGE]), set()),
    "no capability": (
        pb.Model(id="m", modalities=[TEXT], capabilities=pb.ModelCapabilities()),
        {"tools", "images", "json_object", "json_schema"},
    ),
    "everything but images": (pb.Model(id="m", modalities=[TEXT], capabilities=ABLE), {"images"}),
    "everything": (pb.Model(id="m", modalities=[TEXT, IMAGE], capabilities=ABLE), set()),
    "images alone": (
        pb.Model(id="m", modalities=[IMAGE], capabilities=pb.ModelCapabilities(reasoning=True)),
        {"tools", "json_object", "json_schema"},
    ),
}


@pytest.mark.parametrize(("declared", "lacks"), DECLARED.values(), ids=DECLARED)
def test_a_model_lacks_what_it_declares_that_it_lacks(declared: pb.Model, lacks: set[str]) -> None:
    assert {feature.value for feature in model_of(declared).lacks} == lacks


def test_the_context_window_of_a_model_is_read_if_it_is_declared() -> None:
    assert model_of(pb.Model(id="m", context_window=32_000)).context_window == 32_000
    assert model_of(pb.Model(id="m")).context_window is None


def test_grpc_providers_are_encrypted_unless_they_say_otherwise() -> None:
    # given
    plaintext = pb.GrpcAdapter(transport=pb.GRPC_TRANSPORT_PLAINTEXT, authority="models.example")
    tls = pb.GrpcAdapter(transport=pb.GRPC_TRANSPORT_TLS)

    # when
    adapters = [
        provider(grpc=each, base_url="models:50051").adapter
        for each in (pb.GrpcAdapter(), tls, plaintext)
    ]

    # then
    assert adapters == [
        core.Grpc("models:50051", tls=True),
        core.Grpc("models:50051", tls=True),
        core.Grpc("models:50051", tls=False, authority="models.example"),
    ]


def test_a_kind_of_provider_that_a_newer_registry_has_is_unsupported() -> None:
    assert provider().adapter == core.Unsupported()


def test_a_script_with_everything_set() -> None:
    # given
    call = pb.BuiltinToolCall(tool_id="look")
    reply = pb.BuiltinReply(text="t", reasoning="r", tool_calls=[call])
    fault = pb.BuiltinFault(
        kind=pb.BUILTIN_FAULT_KIND_CUT, retry_after=seconds(0), after_deltas=2, text="x"
    )
    steps = [
        pb.BuiltinStep(matches="a+", tool_results=0, upstream_model="u", reply=reply),
        pb.BuiltinStep(fault=fault),
    ]

    # when
    script = script_of(pb.BuiltinAdapter(steps=steps, delta_interval=seconds(0.02)))

    # then
    first, second = script.steps
    assert first.matches is not None
    assert (first.matches.pattern, first.tool_results, first.upstream_model) == ("a+", 0, "u")
    assert first.outcome == Reply("t", (ScriptedCall("look", "{}"),), "r")
    assert (second.matches, second.tool_results) == (None, None)
    assert second.outcome == Fault(FaultKind.CUT, 0.0, 2, "x")
    assert script.delta_interval_s == 0.02


def test_an_invalid_expression_matches_nothing() -> None:
    # given
    step = replying("never", matches="(")

    # when
    (built,) = script_of(pb.BuiltinAdapter(steps=[step])).steps

    # then
    assert built.matches is not None
    assert built.matches.search("(") is None
    assert built.matches.search("") is None


def test_prices_are_exact_and_those_that_are_missing_unknown() -> None:
    priced = pb.Model(
        id="m",
        prices=pb.ModelPrices(input_per_million="0.15", output_per_million="999999999999.999999"),
    )
    assert model_of(priced).prices == core.Prices("USD", 150_000, 999_999_999_999_999_999)
    free = pb.Model(id="m", prices=pb.ModelPrices(currency="EUR", cache_read_per_million="0"))
    assert model_of(free).prices == core.Prices("EUR", cache_read_micros=0)
    assert model_of(pb.Model(id="m")).prices is None
