"""Every rule about one resource: one line per way to break it, and the limits that still pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.chassis.errors import Violation
from services.content.model import Approval, EffectClass, Sampling
from services.registry.core import model as m
from services.registry.core.executors import BuiltinTool, WorkerExecutor
from services.registry.core.rules.validating import field_violations

S = timedelta(seconds=1)
OPENAI = m.Provider("p", m.OpenAiAdapter())
CLAUDE = m.Provider("p", m.AnthropicAdapter())
BUILTIN = m.Provider("p", m.BuiltinAdapter())
GRPC = m.Provider("p", m.GrpcAdapter(), base_url="dns:///models:50051")
MODEL = m.Model("m", "p", "upstream")
POOL = m.ModelPool("mp", (m.PoolMember("m"),))
AGENT = m.Agent("a", "m")
TOOL = m.Tool("t", WorkerExecutor())
BUILTIN_TOOL = m.Tool("t", BuiltinTool.POOL_SEND)
ADAPTERS = ("openai", "anthropic", "grpc", "builtin")
NAN = float("nan")
REPLY = m.BuiltinReply()
NO_NAME = (m.HttpHeader("", "v"),)


def fields(resource: m.Resource) -> list[str]:
    return [violation.field for violation in field_violations(resource, "r")]


def wrong(resource: m.Resource, path: str, *values: Any) -> list[tuple[m.Resource, list[str]]]:
    """For each value of the field that ``path`` begins with: the resource, and that path."""
    first = path.partition(".")[0].partition("[")[0]
    field = {"worker": "executor", **dict.fromkeys(ADAPTERS, "adapter")}.get(first, first)
    return [(replace(resource, **{field: value}), [f"r.{path}"]) for value in values]


def headed(*headers: m.HttpHeader) -> m.Provider:
    return replace(OPENAI, adapter=m.OpenAiAdapter(headers=headers))


def asked(*query: tuple[str, str]) -> m.Provider:
    parameters = tuple(m.QueryParameter(*each) for each in query)
    return replace(OPENAI, adapter=m.OpenAiAdapter(query=parameters))


def header(*header: Any) -> m.OpenAiAdapter:
    return m.OpenAiAdapter(headers=(m.HttpHeader(*header),))


def steps(outcome: m.BuiltinReply | m.BuiltinFault, matches: str = "") -> m.BuiltinAdapter:
    return m.BuiltinAdapter((m.BuiltinStep(outcome, matches),))


def calling(*tool_ids: str) -> m.BuiltinReply:
    return m.BuiltinReply(tool_calls=tuple(map(m.BuiltinToolCall, tool_ids)))


def cut(**fields: Any) -> m.BuiltinFault:
    return m.BuiltinFault(m.BuiltinFaultKind.CUT, **fields)


LEGAL: list[m.Resource] = [
    OPENAI,
    BUILTIN,
    GRPC,
    replace(GRPC, base_url="[::1]:50051"),
    replace(GRPC, base_url="localhost:1"),
    replace(GRPC, base_url="localhost:65535", adapter=m.GrpcAdapter(authority="models.example")),
    replace(OPENAI, adapter=m.OpenAiAdapter("org-1", "proj 2")),
    replace(OPENAI, base_url="https://münchen.example/v1"),
    headed(m.HttpHeader("X-Title", "x" * 4096), m.HttpHeader("X-Empty", "")),
    headed(m.HttpHeader("X-Tier", "Basic plan"), m.HttpHeader("X-Forwarded-Host", "h")),
    m.Provider(
        "p", m.AnthropicAdapter(betas=("tools-2024",)), base_url="https://proxy.example:8443/v1"
    ),
    replace(OPENAI, base_url="http://127.0.0.1:8000"),
    asked(("api-version", "2024-10-21"), ("x" * 256, "a b&=%"), ("empty", "")),
    asked(*((f"p{n}", "v" * 4096) for n in range(16))),
    asked(("A", "1"), ("a", "2")),
    m.Provider("p", m.AnthropicAdapter(), base_url="https://proxy.example/chat/completions"),
    replace(OPENAI, timeout=timedelta(hours=1)),
    replace(OPENAI, timeout=timedelta(microseconds=1)),
    replace(OPENAI, credential_ref=m.EnvCredential("OPENAI_API_KEY_2")),
    replace(OPENAI, credential_ref=m.FileCredential("/run/secrets/openai")),
    headed(
        m.HttpHeader("X-Team", "research"),
        m.HttpHeader("Authorization", None, m.EnvCredential("T")),
    ),
    replace(BUILTIN, adapter=steps(m.BuiltinReply("hi"), matches="x" * 1024)),
    replace(BUILTIN, adapter=steps(m.BuiltinReply("hi"), matches="(?i)größe-[à-ÿ]")),
    replace(BUILTIN, adapter=steps(m.BuiltinReply("hi"), matches="[a-\U0010ffff]")),
    replace(BUILTIN, adapter=steps(m.BuiltinReply(tool_calls=(m.BuiltinToolCall("t", "{}"),)))),
    replace(BUILTIN, adapter=steps(cut(retry_after=S, after_deltas=3))),
    replace(BUILTIN, adapter=m.BuiltinAdapter(delta_interval=timedelta(minutes=1))),
    MODEL,
    replace(MODEL, context_window=1, max_output_tokens=1),
    replace(MODEL, max_output_tokens=5),
    replace(MODEL, modalities=(m.Modality.IMAGE, m.Modality.TEXT), cache_ttl=timedelta(days=1)),
    replace(MODEL, knowledge_cutoff="2025-01"),
    replace(MODEL, knowledge_cutoff="2024-02-29"),
    replace(MODEL, prices=m.ModelPrices("EUR", "0", "123456789012.654321")),
    POOL,
    replace(POOL, members=tuple(m.PoolMember(f"m{n}", weight=1_000_000) for n in range(64))),
    replace(POOL, members=(m.PoolMember("h"), m.PoolMember("f", role=m.MemberRole.FAILOVER_ONLY))),
    replace(
        POOL, switch=m.PoolSwitch(max_switches_per_session=0, quota_retry_after_threshold=0 * S)
    ),
    replace(POOL, breaker=m.PoolBreaker(1, timedelta(milliseconds=100), 1)),
    replace(POOL, breaker=m.PoolBreaker(1000, timedelta(hours=1), 100)),
    replace(POOL, stickiness=m.PoolStickiness(pin_ttl=timedelta(days=30))),
    replace(POOL, retry=m.PoolRetry(0)),
    replace(POOL, clocks=m.PoolClocks(total=timedelta(hours=1))),
    AGENT,
    replace(AGENT, tools=("t", "u"), approval_rules=(m.ApprovalRule("*", Approval.ASK),)),
    replace(AGENT, max_rounds=1000, max_total_tokens=100_000_000),
    replace(AGENT, sampling=Sampling(0, 1, 1, ("\n",) * 16, -1)),
    m.Agent(
        "remote", endpoint=m.AgentEndpoint("https://agents.example/a", m.EnvCredential("TOKEN"))
    ),
    TOOL,
    replace(TOOL, json_schema='{"type": "object"}', timeout=timedelta(days=1)),
    replace(TOOL, json_schema='{"title": "\\ud83d\\ude80 ü"}'),
    replace(TOOL, executor=WorkerExecutor("gpu")),
    replace(TOOL, approval_timeout=S),
    replace(BUILTIN_TOOL, approval_timeout=timedelta(days=365)),
    replace(AGENT, approval_rules=(m.ApprovalRule("*", Approval.ASK, S),)),
    BUILTIN_TOOL,
    replace(BUILTIN_TOOL, effect_class=EffectClass.IDEMPOTENT, timeout=S),
]

BROKEN: list[tuple[m.Resource, list[str]]] = [
    # ids
    *wrong(OPENAI, "id", ""),
    *wrong(MODEL, "id", "a\x00b"),
    *wrong(AGENT, "id", "x" * 513),
    # providers
    *wrong(OPENAI, "timeout", 0 * S, 3601 * S),
    *wrong(OPENAI, "base_url", "ftp://models", "https://", "https://h:99999", "https://h/?key=1"),
    *wrong(OPENAI, "base_url", "https://h/#here", "https://me:secret@h/", "https://ho\nst/"),
    *wrong(OPENAI, "base_url", "https://h/" + "x" * 4096, "\thttps://h/", "https://h/a b"),
    *wrong(OPENAI, "base_url", "https://h/v1/chat/completions", "https://h/chat/completions//"),
    *wrong(BUILTIN, "base_url", "https://h"),
    *wrong(GRPC, "base_url", "", "https://models:50051", "models:0", "models:65536"),
    *wrong(GRPC, "grpc.authority", m.GrpcAdapter(authority="a\nb")),
    *wrong(OPENAI, "openai.organization", m.OpenAiAdapter(organization="a\nb")),
    *wrong(OPENAI, "openai.project", m.OpenAiAdapter(project=" p")),
    *wrong(OPENAI, "credential_ref.env", *map(m.EnvCredential, ("", "2ND", "MY-KEY"))),
    *wrong(OPENAI, "credential_ref.env", m.EnvCredential("AKIAIOSFODNN7EXAMPLE")),
    *wrong(OPENAI, "credential_ref.file", *map(m.FileCredential, ("secrets/key", "/run/\n"))),
    *wrong(OPENAI, "credential_ref.file", m.FileCredential("/run/../etc/key")),
    *wrong(OPENAI, "credential_ref.file", m.FileCredential("/" + "x" * 4096)),
    *wrong(OPENAI, "credential_ref.file", m.FileCredential("/sk-abcdefghijklmnop")),
    *wrong(OPENAI, "openai.headers[0].name", header("bad name", "v"), header("host", "h")),
    *wrong(OPENAI, "openai.headers[0].name", header("Content-Length", "0")),
    *wrong(OPENAI, "openai.headers[0].name", header("Transfer-Encoding", "chunked")),
    *wrong(OPENAI, "openai.headers[0].name", header("Host", None, m.EnvCredential("H"))),
    *wrong(OPENAI, "openai.headers[0].value", header("Authorization", "x")),
    *wrong(OPENAI, "openai.headers[0].value", header("X-Other", "Bearer abc")),
    *wrong(OPENAI, "openai.headers[0].value", header("X-Other", "a\r\nb")),
    *wrong(
        OPENAI, "openai.headers[0].value", header("X-Other", "a "), header("X-Other", "a " * 2049)
    ),
    *wrong(OPENAI, "openai.headers[0].value_ref.env", header("X", None, m.EnvCredential("a b"))),
    (headed(m.HttpHeader("X", "a"), m.HttpHeader("x", "b")), ["r.openai.headers[1].name"]),
    (headed(*(m.HttpHeader(f"x-{n}", "v") for n in range(65))), ["r.openai.headers"]),
    *(
        (asked((name, "v")), ["r.openai.query[0].name"])
        for name in ("", "x" * 257, " a", "a\nb", "key", "sig", "Code", "access_token", "api-key")
    ),
    *(
        (asked(("a", value)), ["r.openai.query[0].value"])
        for value in ("x" * 4097, "v ", "a\nb", "sk-abcdefghijklmnop")
    ),
    (asked(("key", "a\nb")), ["r.openai.query[0].name", "r.openai.query[0].value"]),
    (asked(("a", "1"), ("b", "2"), ("a", "3")), ["r.openai.query[2].name"]),
    (asked(*((f"p{n}", "v") for n in range(17))), ["r.openai.query"]),
    *wrong(CLAUDE, "anthropic.betas[0]", *(m.AnthropicAdapter(betas=(b,)) for b in ("", "a\nb"))),
    *wrong(CLAUDE, "anthropic.betas", m.AnthropicAdapter(betas=("b",) * 65)),
    *wrong(CLAUDE, "anthropic.api_version", m.AnthropicAdapter("2023\n")),
    (replace(CLAUDE, adapter=m.AnthropicAdapter(headers=NO_NAME)), ["r.anthropic.headers[0].name"]),
    *wrong(BUILTIN, "builtin.steps[0].matches", steps(REPLY, "("), steps(REPLY, "x" * 1025)),
    *wrong(
        BUILTIN,
        "builtin.steps[0].matches",
        steps(REPLY, "(?i)[a-\U0010ffff]"),
        steps(REPLY, r"(?s)(?i:[a-\u1000])"),
    ),
    *wrong(BUILTIN, "builtin.steps[0].reply.tool_calls[0].tool_id", steps(calling(" "))),
    *wrong(BUILTIN, "builtin.steps[0].reply.tool_calls", steps(calling(*("t",) * 65))),
    *wrong(BUILTIN, "builtin.steps[0].fault.retry_after", steps(cut(retry_after=-S))),
    *wrong(BUILTIN, "builtin.steps", m.BuiltinAdapter((m.BuiltinStep(REPLY),) * 257)),
    *wrong(BUILTIN, "builtin.delta_interval", m.BuiltinAdapter(delta_interval=61 * S)),
    # models
    *wrong(MODEL, "provider_id", ""),
    *wrong(MODEL, "upstream_model", " ", "x" * 513),
    *wrong(MODEL, "context_window", 0),
    *wrong(MODEL, "max_output_tokens", 0),
    *wrong(replace(MODEL, context_window=8), "max_output_tokens", 9),
    *wrong(MODEL, "modalities[1]", (m.Modality.TEXT, m.Modality.TEXT)),
    *wrong(MODEL, "cache_ttl", -S, timedelta(days=1, seconds=1)),
    *wrong(MODEL, "knowledge_cutoff", "2025", "2025-13", "2025-02-29"),
    *wrong(MODEL, "prices.currency", m.ModelPrices(currency="usd")),
    *wrong(MODEL, "prices.input_per_million", m.ModelPrices(input_per_million="-1")),
    *wrong(MODEL, "prices.output_per_million", m.ModelPrices(output_per_million="1e3")),
    *wrong(MODEL, "prices.cache_read_per_million", m.ModelPrices(cache_read_per_million="NaN")),
    *wrong(MODEL, "prices.cache_write_per_million", m.ModelPrices(cache_write_per_million="1.")),
    # pools
    *wrong(POOL, "members", (), tuple(m.PoolMember(f"m{n}") for n in range(65))),
    *wrong(POOL, "members", (m.PoolMember("m", role=m.MemberRole.FAILOVER_ONLY),)),
    *wrong(POOL, "members[1].model_id", (m.PoolMember("m"), m.PoolMember("m"))),
    *wrong(POOL, "members[0].model_id", (m.PoolMember(""),)),
    *wrong(POOL, "members[0].weight", (m.PoolMember("m", 0),), (m.PoolMember("m", 1_000_001),)),
    (
        replace(POOL, switch=m.PoolSwitch(quota_retry_after_threshold=-S)),
        ["r.switch.quota_retry_after_threshold"],
    ),
    *wrong(POOL, "breaker.failure_threshold", m.PoolBreaker(0), m.PoolBreaker(1001)),
    *wrong(POOL, "breaker.cooldown", m.PoolBreaker(cooldown=timedelta(milliseconds=99))),
    *wrong(POOL, "breaker.cooldown", m.PoolBreaker(cooldown=3601 * S)),
    *wrong(POOL, "breaker.half_open_max", m.PoolBreaker(half_open_max=101)),
    *wrong(POOL, "stickiness.pin_ttl", m.PoolStickiness(pin_ttl=0 * S)),
    *wrong(POOL, "retry.in_place", m.PoolRetry(11)),
    (replace(POOL, clocks=m.PoolClocks(0 * S, 0 * S)), ["r.clocks.first_chunk", "r.clocks.idle"]),
    *wrong(POOL, "clocks.total", m.PoolClocks(total=3601 * S)),
    # agents
    *wrong(AGENT, "model_id", ""),
    *wrong(AGENT, "tools[1]", ("t", "t")),
    *wrong(AGENT, "tools[0]", ("",)),
    *wrong(AGENT, "tools", tuple(f"t{n}" for n in range(257))),
    *wrong(AGENT, "approval_rules[0].tool_id", (m.ApprovalRule("", Approval.ASK),)),
    *wrong(AGENT, "approval_rules", (m.ApprovalRule("t", Approval.ASK),) * 257),
    *wrong(AGENT, "max_rounds", 0, 1001),
    *wrong(AGENT, "max_total_tokens", 0, 100_000_001),
    *wrong(AGENT, "sampling.temperature", *(Sampling(temperature=t) for t in (2.1, NAN))),
    *wrong(AGENT, "sampling.top_p", *(Sampling(top_p=p) for p in (0, NAN))),
    *wrong(AGENT, "sampling.max_output_tokens", Sampling(max_output_tokens=0)),
    *wrong(AGENT, "sampling.stop[0]", Sampling(stop=("",))),
    *wrong(AGENT, "sampling.stop", Sampling(stop=("x",) * 17)),
    *wrong(m.Agent("a"), "endpoint.base_url", m.AgentEndpoint("agents.example")),
    (
        m.Agent("a", endpoint=m.AgentEndpoint("https://h", m.EnvCredential("-"), 48 * 3600 * S)),
        ["r.endpoint.credential_ref.env", "r.endpoint.timeout"],
    ),
    *wrong(m.Agent("a", endpoint=m.AgentEndpoint("https://h")), "model_id", "x\n"),
    # tools
    *wrong(TOOL, "id", "*"),
    *wrong(TOOL, "timeout", timedelta(milliseconds=99)),
    *wrong(TOOL, "approval_timeout", 0 * S, 0.9 * S, timedelta(days=365, microseconds=1)),
    (
        replace(AGENT, approval_rules=(m.ApprovalRule("*", Approval.ASK, 0 * S),)),
        ["r.approval_rules[0].approval_timeout"],
    ),
    *wrong(TOOL, "description", "é" * 32_769),
    *wrong(TOOL, "json_schema", "{", "[]", "[" * 100_000, '{"default": NaN}'),
    *wrong(TOOL, "json_schema", '{"maximum": 1e999}', '{"title": "\\ud83d"}'),
    *wrong(TOOL, "json_schema", '{"a": "' + "x" * 262_144 + '"}'),
    *wrong(TOOL, "worker.label", WorkerExecutor("a\tb")),
    (
        replace(
            BUILTIN_TOOL, description="d", json_schema="{}", effect_class=EffectClass.AT_MOST_ONCE
        ),
        ["r.description", "r.json_schema", "r.effect_class"],
    ),
]


@pytest.mark.parametrize("resource", LEGAL, ids=repr)
def test_a_legal_resource_breaks_no_rule(resource: m.Resource) -> None:
    assert list(field_violations(resource, "r")) == []


@pytest.mark.parametrize(("resource", "wrong"), BROKEN)
def test_a_broken_rule_names_its_field(resource: m.Resource, wrong: list[str]) -> None:
    assert fields(resource) == wrong


def test_every_broken_rule_is_reported_at_once() -> None:
    # given a pool with five mistakes
    pool = m.ModelPool(
        "",
        (m.PoolMember("m", 0), m.PoolMember("m")),
        breaker=m.PoolBreaker(0),
        retry=m.PoolRetry(99),
    )

    # then
    assert sorted(fields(pool)) == [
        "r.breaker.failure_threshold",
        "r.id",
        "r.members[0].weight",
        "r.members[1].model_id",
        "r.retry.in_place",
    ]


def test_a_number_out_of_range_is_shown_with_its_range() -> None:
    (violation,) = field_violations(replace(AGENT, max_rounds=5000), "resources[3].agent")

    assert violation == Violation(
        "resources[3].agent.max_rounds", "is 5,000, must be 1 to 1,000", ""
    )


@pytest.mark.parametrize(
    ("resource", "description"),
    [
        (
            replace(MODEL, context_window=1_000_000_001),
            "is 1,000,000,001, must be 1 to 1,000,000,000",
        ),
        (
            replace(MODEL, cache_ttl=timedelta(days=1, microseconds=5)),
            "is 86,400.000005 s, must be 0 s to 86,400 s",
        ),
        (
            replace(OPENAI, timeout=timedelta(hours=1, microseconds=5)),
            "is 3,600.000005 s, must be more than 0 s, at most 3,600 s",
        ),
        (replace(AGENT, sampling=Sampling(2.1)), "is 2.1, must be 0 to 2"),
    ],
)
def test_a_number_barely_out_of_range_does_not_look_like_its_limit(
    resource: m.Resource, description: str
) -> None:
    (violation,) = field_violations(resource, "r")

    assert violation.description == description


def test_a_secret_is_never_repeated() -> None:
    # given secrets in every place that takes a reference
    secret = "sk-ant-api03-aB3dE5fG7hI9jK1l"
    ref = m.EnvCredential(secret)
    provider = m.Provider(
        "p",
        m.OpenAiAdapter(headers=(m.HttpHeader("X-Key", secret), m.HttpHeader("Y", None, ref))),
        credential_ref=m.FileCredential(f"/{secret}"),
    )

    # then
    found = list(field_violations(provider, "r"))
    assert len(found) == 3
    assert not any(secret in violation.description for violation in found)
