"""Content hashes never change: not with a release, and not with a field that comes later.

A stored hash that differed from today's would make every apply after an upgrade a new version, and
void every approval, since the hash of a tool is its version.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any

import pytest

from services.content.model import Approval, EffectClass, ReasoningEffort, Sampling
from services.registry.core import model as m
from services.registry.core.canonical import SINCE, content_hash, plain
from services.registry.core.executors import BuiltinTool, WorkerExecutor

S = timedelta(seconds=1)

HEADERS = (m.HttpHeader("x-a", "1"), m.HttpHeader("x-b", value_ref=m.EnvCredential("SECRET")))
REPLY = m.BuiltinReply("hi", (m.BuiltinToolCall("search", '{"q": 1}'),), "because")
OPENAI = m.OpenAiAdapter("org", "project", m.TokenLimitField.MAX_COMPLETION_TOKENS, False, HEADERS)
STEPS = (
    m.BuiltinStep(REPLY, "he(llo)?", 2, "up"),
    m.BuiltinStep(m.BuiltinFault(m.BuiltinFaultKind.RATE_LIMITED, 2.5 * S, 3, "slow down")),
)
POOL = m.ModelPool(
    "pool",
    (m.PoolMember("m-1", 3), m.PoolMember("m-2", role=m.MemberRole.FAILOVER_ONLY)),
    m.PoolRouting(m.HomeStrategy.ROUND_ROBIN, m.StickyScope.RUN),
    m.PoolSwitch(False, False, False, True, 7 * S, 4),
    m.PoolBreaker(6, 31 * S, 2),
    m.PoolStickiness(61 * S, m.ReturnHome.NEXT_SESSION),
    m.PoolRetry(3),
    m.PoolClocks(8 * S, 9 * S, 10 * S),
    m.MidStream.RESTART,
)
AGENT = m.Agent(
    "agent",
    "pool",
    "be brief: é 🚀",
    ("search", "wait"),
    (m.ApprovalRule("search", Approval.DENY), m.ApprovalRule("*", Approval.ASK)),
    5,
    9_000,
    Sampling(0.5, 0.9, 100, ("END", "STOP"), 7, ReasoningEffort.HIGH),
    m.AgentEndpoint("https://agent.example", m.FileCredential("/run/secret"), 12 * S),
)

# Every field of every kind, and every arm of every oneof, with a value of its own.
RESOURCES: dict[str, m.Resource] = {
    "provider-builtin": m.Provider(
        "p", m.BuiltinAdapter(STEPS, 0.05 * S), "", m.EnvCredential("KEY"), 42 * S
    ),
    "provider-openai": m.Provider(
        "p", OPENAI, "https://openai.example", m.FileCredential("/run/key"), 42 * S
    ),
    "provider-with-query": m.Provider(
        "p",
        replace(OPENAI, query=(m.QueryParameter("api-version", "1"), m.QueryParameter("b"))),
        "https://openai.example",
    ),
    "provider-anthropic": m.Provider(
        "p",
        m.AnthropicAdapter("2024-01-01", ("beta-1", "beta-2"), HEADERS),
        "https://anthropic.example",
    ),
    "provider-grpc": m.Provider(
        "p", m.GrpcAdapter(m.GrpcTransport.PLAINTEXT, "authority"), "grpc.example:443"
    ),
    "model": m.Model(
        *("m", "p", "up", 200_000, 8_192, (m.Modality.TEXT, m.Modality.IMAGE)),
        m.ModelCapabilities(True, False, True, False, True),
        m.ModelPrices("EUR", "1.5", "2", "0.1", "3"),
        300 * S,
        "2025-06",
    ),
    "pool": POOL,
    "agent": AGENT,
    "tool-builtin": m.Tool(
        "t", BuiltinTool.POOL_WAIT, "waits", "{}", EffectClass.PURE, Approval.ASK, 13 * S
    ),
    "tool-worker": m.Tool(
        *("t", WorkerExecutor("gpu"), "works", '{"type": "object"}'),
        *(EffectClass.AT_MOST_ONCE, Approval.DENY, 14 * S),
    ),
    "tool-with-timeout": m.Tool(
        "t", WorkerExecutor(), approval=Approval.ASK, approval_timeout=3_600 * S
    ),
    "agent-with-rule-timeout": m.Agent(
        "agent", approval_rules=(m.ApprovalRule("*", Approval.ASK, 60 * S),)
    ),
    "bare-provider": m.Provider("p", m.BuiltinAdapter()),
    "bare-model": m.Model("m", "p", "up"),
    "bare-pool": m.ModelPool("pool", (m.PoolMember("m-1"),)),
    "bare-agent": m.Agent("agent"),
    "bare-tool": m.Tool("t", WorkerExecutor()),
}
GOLDEN = {
    "provider-builtin": "0eae3c8d8b2fc93e1761651c3ed2cc1e5e9a45e9ec740f35faca7d1e2566addf",
    "provider-openai": "5112f4a862a9ded963363b4aa04a8ea74c34db5454cead64978cee246c1f8e1a",
    "provider-with-query": "5f9139c0e260c13c0030c6214f38e3deea9faa88aea53adf123a29194e7411a9",
    "provider-anthropic": "a5a885472d4930669a31129d32f326f217b549c6bee7534e0a4f9595be5acc08",
    "provider-grpc": "5649ccbf56f1d8ab7917ee5c80c0b30ef6b62cc13b23ba02f8ae1a6e185186fc",
    "model": "9492545596a44fed0b40fa7aab0391d5d67c981c43fdb7ed7b03a5429652ee12",
    "pool": "26f3367b3a5c2d9c32b545bee46deb01c1741eb396a703b2e4f509b3c254ff23",
    "agent": "ef5223678531e0cf4d1e48d2733d125bdb0b4a512e57e70dc585c4956d8906ac",
    "tool-builtin": "c07c83a59e596139d4f632f1bd3120648180be15a654119da6540292e2764c11",
    "tool-worker": "b1765c8ed01d05e09f16cf0ea9b7b1d1a2d39e0562968445e6c010031146506f",
    "tool-with-timeout": "aab14238a31afdd4937728817251bb52a4071479b5ca495f9176217eafb540b9",
    "agent-with-rule-timeout": "1e20e6f93cd5d461bb0a588c3b46d252b208d435a08415d585763e6c492492fb",
    "bare-provider": "ad85860ff3a47dbbffa34d9f7712d51cfeef64d061cc72c236aa17a1c298fafa",
    "bare-model": "2476b226ae293ee9eed895bb28ae2f7310583d13bbd8e64db53697d0ce66192b",
    "bare-pool": "c15004cbde8895eac3157318c2066662e343af816511681c6224dd5d09da2c10",
    "bare-agent": "aa8853e7a519a93032f29be694b36e6665571e9ed7df36706ec5814a5f865874",
    "bare-tool": "68214a884c5072c554a15a02eaf03335787ce34e1fd02e0fbe2c1473b38afb70",
}


@pytest.mark.parametrize("name", sorted(RESOURCES | GOLDEN))
def test_the_hash_of_a_populated_resource_never_changes(name: str) -> None:
    assert content_hash(RESOURCES[name]).hex() == GOLDEN[name]


# The fields of the first release. None is added here: those that come later are marked.
FIRST = {
    "Agent": (
        "id model_id system_prompt tools "
        "approval_rules max_rounds max_total_tokens sampling endpoint"
    ),
    "AgentEndpoint": "base_url credential_ref timeout",
    "AnthropicAdapter": "api_version betas headers",
    "ApprovalRule": "tool_id approval",
    "BuiltinAdapter": "steps delta_interval",
    "BuiltinFault": "kind retry_after after_deltas text",
    "BuiltinReply": "text tool_calls reasoning",
    "BuiltinStep": "outcome matches tool_results upstream_model",
    "BuiltinToolCall": "tool_id arguments_json",
    "EnvCredential": "env",
    "FileCredential": "file",
    "GrpcAdapter": "transport authority",
    "HttpHeader": "name value value_ref",
    "Model": (
        "id provider_id upstream_model context_window max_output_tokens "
        "modalities capabilities prices cache_ttl knowledge_cutoff"
    ),
    "ModelCapabilities": "tools parallel_tool_calls json_object json_schema reasoning",
    "ModelPool": "id members routing switch breaker stickiness retry clocks mid_stream",
    "ModelPrices": (
        "currency input_per_million "
        "output_per_million cache_read_per_million cache_write_per_million"
    ),
    "OpenAiAdapter": "organization project token_limit_field stream_usage headers",
    "QueryParameter": "name value",
    "PoolBreaker": "failure_threshold cooldown half_open_max",
    "PoolClocks": "first_chunk idle total",
    "PoolMember": "model_id weight role",
    "PoolRetry": "in_place",
    "PoolRouting": "home sticky_scope",
    "PoolStickiness": "pin_ttl return_home",
    "PoolSwitch": (
        "on_circuit_open on_quota on_permanent "
        "on_retry_exhausted quota_retry_after_threshold max_switches_per_session"
    ),
    "Provider": "id adapter base_url credential_ref timeout",
    "Sampling": "temperature top_p max_output_tokens stop seed reasoning_effort",
    "Tool": "id executor description json_schema effect_class approval timeout",
    "WorkerExecutor": "label",
}


def unmarked(kind: type[Any]) -> list[str]:
    """Fields of a dataclass that are part of every hash."""
    return [each.name for each in fields(kind) if SINCE not in each.metadata]


def without_default(kind: type[Any]) -> Iterator[str]:
    """Fields that came later and have no default to be left out at."""
    for each in fields(kind):
        if SINCE in each.metadata and each.default is each.default_factory is dataclasses.MISSING:
            yield each.name


def kinds_of_the_model() -> list[type[Any]]:
    return [
        kind for _, kind in inspect.getmembers(m, inspect.isclass) if dataclasses.is_dataclass(kind)
    ]


def test_a_field_that_is_added_is_marked() -> None:
    """Unmarked, it would change the hash of everything that is stored."""
    assert {kind.__name__: " ".join(unmarked(kind)) for kind in kinds_of_the_model()} == FIRST
    assert [name for kind in kinds_of_the_model() for name in without_default(kind)] == []


@dataclass(frozen=True, slots=True)
class Before:
    id: str
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nested:
    team: str = ""


@dataclass(frozen=True, slots=True)
class Marked:
    """``Before`` with fields that came later, of every sort of default."""

    id: str
    tools: tuple[str, ...] = ()
    owner: str = field(default="", metadata={SINCE: "0.2"})
    labels: tuple[str, ...] = field(default=(), metadata={SINCE: "0.2"})
    limit: int = field(default=7, metadata={SINCE: "0.2"})
    contact: Nested = field(default_factory=Nested, metadata={SINCE: "0.2"})


@dataclass(frozen=True, slots=True)
class Forgotten:
    """``Before`` with a field whose mark was forgotten."""

    id: str
    tools: tuple[str, ...] = ()
    owner: str = ""


def test_a_marked_field_is_left_out_at_its_default() -> None:
    assert plain(Marked("a")) == plain(Before("a"))


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"owner": "ann"}, "owner"),
        ({"labels": ("x",)}, "labels"),
        ({"limit": 0}, "limit"),
        ({"contact": Nested("ops")}, "contact"),
    ],
)
def test_a_marked_field_counts_once_it_is_set(changed: dict[str, Any], path: str) -> None:
    with_it, without = plain(Marked("a", **changed)), plain(Before("a"))

    assert isinstance(with_it, dict)
    assert isinstance(without, dict)
    assert with_it.keys() - without.keys() == {path}


def test_a_field_without_a_mark_changes_the_form_and_is_found() -> None:
    assert plain(Forgotten("a")) != plain(Before("a"))
    assert unmarked(Forgotten) != unmarked(Marked) == unmarked(Before)
