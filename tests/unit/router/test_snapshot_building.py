from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from runyard.registry.v1 import registry_pb2 as pb
from services.router.clients import snapshot as building
from services.router.clients.snapshot import (
    SnapshotBuilder,
    pool_of,
    provider_of,
    script_of,
    snapshot_of,
)
from services.router.core.model import (
    Clocks,
    Credential,
    Header,
    HomeStrategy,
    MidStream,
    OpenAi,
    Pool,
    PoolMember,
    ReturnHome,
    StickyScope,
    SwitchPolicy,
    Unsupported,
)
from services.router.core.script import Fault, FaultKind, Reply, ScriptedCall
from tests.contract.router.world import builtin, home, model, pool, seconds, stand_in


def test_models_and_pools_become_targets() -> None:
    # given
    resources = [
        pool("p", home("a"), stand_in("b")),
        model("a", "script", "up-a"),
        model("b", "script"),
        builtin("script"),
        pb.Resource(agent=pb.Agent(id="not-routed")),
    ]

    # when
    snapshot = snapshot_of(resources, 7, "inc")

    # then
    assert (snapshot.version, snapshot.incarnation) == (7, "inc")
    assert sorted(snapshot.targets) == ["a", "b", "p"]
    found = snapshot.targets["p"]
    assert [(m.id, m.weight, m.failover_only) for m in found.members] == [
        ("a", 1, False),
        ("b", 1, True),
    ]
    assert found.is_pool
    alone = snapshot.targets["a"]
    assert (alone.is_pool, alone.lone, alone.members[0].model.upstream_model) == (
        False,
        True,
        "up-a",
    )


def test_the_revision_is_the_registrys_hash_or_our_own() -> None:
    # given
    hashed, bare, other = pool("p", home("a")), pool("p", home("a")), pool("p", home("b"))
    hashed.meta.content_hash = "0123456789abcdef" * 4
    bare.meta.since_version = 9

    # when
    found = [
        snapshot_of([builtin("s"), model("a", "s"), model("b", "s"), each], 1, "inc")
        .targets["p"]
        .revision
        for each in (hashed, bare, pool("p", home("a")), other)
    ]

    # then
    assert found[0] == "0123456789abcdef"
    assert found[1] == found[2]
    assert found[1] != found[3]
    assert len(found[1]) == 16


def test_what_refers_to_nothing_is_left_out() -> None:
    # when
    resources = [builtin("s"), model("a", "s"), model("b", "gone"), pool("p", home("a"), home("b"))]
    snapshot = snapshot_of(resources, 1, "inc")

    # then
    assert sorted(snapshot.targets) == ["a"]


def test_what_has_not_changed_is_taken_from_the_last_snapshot() -> None:
    # given two providers with a model each, a pool of each model and one of both
    resources = {
        "s": builtin("s"),
        "t": builtin("t"),
        "a": model("a", "s"),
        "b": model("b", "t"),
        "pa": pool("pa", home("a")),
        "pb": pool("pb", home("b")),
        "both": pool("both", home("a"), home("b")),
    }
    builder = SnapshotBuilder()
    first = builder.build(resources.values(), 1, "inc")

    # when one of the providers is another object with other content
    changed = {**resources, "t": builtin("t", pb.BuiltinStep(reply=pb.BuiltinReply(text="new")))}
    second = builder.build(changed.values(), 2, "inc")

    # then what leads to it is made anew, and the rest is what it was
    assert second.targets == snapshot_of(changed.values(), 2, "inc").targets
    same = {id_ for id_, target in second.targets.items() if target is first.targets[id_]}
    assert same == {"a", "pa"}
    assert second.targets["both"].members[1].provider.revision != ""
    assert second.targets["both"] != first.targets["both"]


def test_what_is_no_more_leaves_the_snapshot() -> None:
    # given
    resources = [builtin("s"), model("a", "s"), model("b", "s"), pool("p", home("a"), home("b"))]
    builder = SnapshotBuilder()
    builder.build(resources, 1, "inc")

    # when a model goes, and comes back
    without = builder.build([resources[0], resources[1], resources[3]], 2, "inc")
    again = builder.build(resources, 3, "inc")

    # then so does the pool that needs it
    assert sorted(without.targets) == ["a"]
    assert sorted(again.targets) == ["a", "b", "p"]


def test_a_pool_without_settings_has_the_defaults() -> None:
    assert pool_of(pb.ModelPool(id="p", members=[home("a")])) == Pool("p", (PoolMember("a"),))


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
    )

    # when, then
    assert pool_of(whole) == Pool(
        "p",
        (PoolMember("a", 3),),
        HomeStrategy.ROUND_ROBIN,
        StickyScope.RUN,
        SwitchPolicy(False, False, False, True, 0.0, 0),
        60.0,
        ReturnHome.NEXT_SESSION,
        0,
        Clocks(1.0, 2.0, 3.5),
        MidStream.RESTART,
    )


def provider(**fields: Any) -> pb.Resource:
    return pb.Resource(provider=pb.Provider(id="v", **fields))


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
    )
    reference = pb.CredentialRef(env="KEY")

    # when
    bare = provider_of(provider(openai=pb.OpenAiAdapter()))
    whole = provider_of(
        provider(
            openai=options, base_url="http://x/v1", credential_ref=reference, timeout=seconds(9)
        )
    )

    # then
    assert bare.adapter == OpenAi("https://api.openai.com/v1")
    assert (bare.credential, bare.timeout_s) == (None, 300.0)
    assert whole.adapter == OpenAi(
        "http://x/v1",
        "org",
        "prj",
        "max_completion_tokens",
        False,
        (Header("X-A", "1"), Header("X-B", secret=Credential(file="/run/key"))),
    )
    assert (whole.credential, whole.timeout_s) == (Credential(env="KEY"), 9.0)
    assert bare.revision != whole.revision


def test_kinds_of_providers_that_are_not_served_yet() -> None:
    assert provider_of(provider(anthropic=pb.AnthropicAdapter())).adapter == Unsupported(
        "anthropic"
    )
    assert provider_of(provider(grpc=pb.GrpcAdapter())).adapter == Unsupported("grpc")
    assert provider_of(provider()).adapter == Unsupported("unknown")


def test_a_script_with_everything_set() -> None:
    # given
    reply = pb.BuiltinReply(
        text="t", reasoning="r", tool_calls=[pb.BuiltinToolCall(tool_id="look")]
    )
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


def test_a_broken_expression_matches_nothing_and_harms_nobody() -> None:
    # given
    step = pb.BuiltinStep(matches="(", reply=pb.BuiltinReply(text="never"))

    # when
    (built,) = script_of(pb.BuiltinAdapter(steps=[step])).steps

    # then
    assert built.matches is not None
    assert built.matches.search("(") is None
    assert built.matches.search("") is None


@pytest.mark.parametrize(
    ("table", "enum"),
    [
        (building.HOME_FROM_PB, pb.HomeStrategy),
        (building.SCOPE_FROM_PB, pb.StickyScope),
        (building.RETURN_FROM_PB, pb.ReturnHome),
        (building.MID_STREAM_FROM_PB, pb.MidStream),
        (building.LIMIT_FIELD_FROM_PB, pb.OpenAiTokenLimitField),
        (building.FAULT_FROM_PB, pb.BuiltinFaultKind),
    ],
)
def test_every_number_of_an_enum_is_known(table: Mapping[int, object], enum: Any) -> None:
    assert set(table) == set(enum.values())
