"""Every rule about one resource: one line per way to break it, and the limits that still pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services.chassis.errors import Violation
from services.content.model import Approval, EffectClass, Sampling
from services.registry.core.field_rules import field_violations
from services.registry.core.model import (
    Agent,
    AgentEndpoint,
    AnthropicAdapter,
    ApprovalRule,
    BuiltinAdapter,
    BuiltinFault,
    BuiltinFaultKind,
    BuiltinReply,
    BuiltinStep,
    BuiltinTool,
    BuiltinToolCall,
    EnvCredential,
    FileCredential,
    GrpcAdapter,
    HttpHeader,
    MemberRole,
    Modality,
    Model,
    ModelPool,
    ModelPrices,
    OpenAiAdapter,
    PoolBreaker,
    PoolClocks,
    PoolMember,
    PoolRetry,
    PoolStickiness,
    PoolSwitch,
    Provider,
    Resource,
    Tool,
    WorkerExecutor,
)

S = timedelta(seconds=1)
OPENAI = Provider("p", OpenAiAdapter())
BUILTIN = Provider("p", BuiltinAdapter())
GRPC = Provider("p", GrpcAdapter(), base_url="dns:///models:50051")
MODEL = Model("m", "p", "upstream")
POOL = ModelPool("mp", (PoolMember("m"),))
AGENT = Agent("a", "m")
TOOL = Tool("t", WorkerExecutor())
BUILTIN_TOOL = Tool("t", BuiltinTool.POOL_SEND)


def fields(resource: Resource) -> list[str]:
    return [violation.field for violation in field_violations(resource, "r")]


def scripted(step: BuiltinStep) -> Provider:
    return replace(BUILTIN, adapter=BuiltinAdapter((step,)))


def priced(**prices: str) -> Model:
    return replace(MODEL, prices=ModelPrices(**prices))


def headed(*headers: HttpHeader) -> Provider:
    return replace(OPENAI, adapter=OpenAiAdapter(headers=headers))


def credited(ref: EnvCredential | FileCredential) -> Provider:
    return replace(OPENAI, credential_ref=ref)


LEGAL: list[Resource] = [
    OPENAI,
    BUILTIN,
    GRPC,
    replace(GRPC, base_url="[::1]:50051"),
    replace(GRPC, base_url="localhost:1"),
    replace(GRPC, base_url="localhost:65535", adapter=GrpcAdapter(authority="models.example")),
    replace(OPENAI, adapter=OpenAiAdapter("org-1", "proj 2")),
    replace(OPENAI, base_url="https://münchen.example/v1"),
    headed(HttpHeader("X-Title", "x" * 4096), HttpHeader("X-Empty", "")),
    headed(HttpHeader("X-Tier", "Basic plan"), HttpHeader("X-Forwarded-Host", "h")),
    Provider(
        "p", AnthropicAdapter(betas=("tools-2024",)), base_url="https://proxy.example:8443/v1"
    ),
    replace(OPENAI, base_url="http://127.0.0.1:8000"),
    replace(OPENAI, timeout=timedelta(hours=1)),
    replace(OPENAI, timeout=timedelta(microseconds=1)),
    credited(EnvCredential("OPENAI_API_KEY_2")),
    credited(FileCredential("/run/secrets/openai")),
    headed(HttpHeader("X-Team", "research"), HttpHeader("Authorization", None, EnvCredential("T"))),
    scripted(BuiltinStep(BuiltinReply("hi"), matches="x" * 1024)),
    scripted(BuiltinStep(BuiltinReply(tool_calls=(BuiltinToolCall("t", "{}"),)))),
    scripted(BuiltinStep(BuiltinFault(BuiltinFaultKind.CUT, retry_after=S, after_deltas=3))),
    replace(BUILTIN, adapter=BuiltinAdapter(delta_interval=timedelta(minutes=1))),
    MODEL,
    replace(MODEL, context_window=1, max_output_tokens=1),
    replace(MODEL, max_output_tokens=5),
    replace(MODEL, modalities=(Modality.IMAGE, Modality.TEXT), cache_ttl=timedelta(days=1)),
    replace(MODEL, knowledge_cutoff="2025-01"),
    replace(MODEL, knowledge_cutoff="2024-02-29"),
    priced(currency="EUR", input_per_million="0", output_per_million="123456789012.654321"),
    POOL,
    replace(POOL, members=tuple(PoolMember(f"m{n}", weight=1_000_000) for n in range(64))),
    replace(POOL, members=(PoolMember("h"), PoolMember("f", role=MemberRole.FAILOVER_ONLY))),
    replace(POOL, switch=PoolSwitch(max_switches_per_session=0, quota_retry_after_threshold=0 * S)),
    replace(POOL, breaker=PoolBreaker(1, timedelta(milliseconds=100), 1)),
    replace(POOL, breaker=PoolBreaker(1000, timedelta(hours=1), 100)),
    replace(POOL, stickiness=PoolStickiness(pin_ttl=timedelta(days=30))),
    replace(POOL, retry=PoolRetry(0)),
    replace(POOL, clocks=PoolClocks(total=timedelta(hours=1))),
    AGENT,
    replace(AGENT, tools=("t", "u"), approval_rules=(ApprovalRule("*", Approval.ASK),)),
    replace(AGENT, max_rounds=1000, max_total_tokens=100_000_000),
    replace(AGENT, sampling=Sampling(0, 1, 1, ("\n",) * 16, -1)),
    Agent("remote", endpoint=AgentEndpoint("https://agents.example/a", EnvCredential("TOKEN"))),
    TOOL,
    replace(TOOL, json_schema='{"type": "object"}', timeout=timedelta(days=1)),
    replace(TOOL, json_schema='{"title": "\\ud83d\\ude80 ü"}'),
    replace(TOOL, executor=WorkerExecutor("gpu")),
    BUILTIN_TOOL,
    replace(BUILTIN_TOOL, effect_class=EffectClass.IDEMPOTENT, timeout=S),
]

BROKEN: list[tuple[Resource, list[str]]] = [
    # ids
    (replace(OPENAI, id=""), ["r.id"]),
    (replace(MODEL, id="a\x00b"), ["r.id"]),
    (replace(AGENT, id="x" * 513), ["r.id"]),
    # providers
    (replace(OPENAI, timeout=0 * S), ["r.timeout"]),
    (replace(OPENAI, timeout=3601 * S), ["r.timeout"]),
    (replace(OPENAI, base_url="ftp://models"), ["r.base_url"]),
    (replace(OPENAI, base_url="https://"), ["r.base_url"]),
    (replace(OPENAI, base_url="https://h:99999"), ["r.base_url"]),
    (replace(OPENAI, base_url="https://h/?key=1"), ["r.base_url"]),
    (replace(OPENAI, base_url="https://h/#here"), ["r.base_url"]),
    (replace(OPENAI, base_url="https://me:secret@h/"), ["r.base_url"]),
    (replace(OPENAI, base_url="https://h/" + "x" * 4096), ["r.base_url"]),
    (replace(OPENAI, base_url="https://ho\nst/"), ["r.base_url"]),
    (replace(OPENAI, base_url="\thttps://h/"), ["r.base_url"]),
    (replace(OPENAI, base_url="https://h/a b"), ["r.base_url"]),
    (replace(BUILTIN, base_url="https://h"), ["r.base_url"]),
    (replace(GRPC, base_url=""), ["r.base_url"]),
    (replace(GRPC, base_url="https://models:50051"), ["r.base_url"]),
    (replace(GRPC, base_url="models:0"), ["r.base_url"]),
    (replace(GRPC, base_url="models:65536"), ["r.base_url"]),
    (replace(GRPC, adapter=GrpcAdapter(authority="a\nb")), ["r.grpc.authority"]),
    (replace(OPENAI, adapter=OpenAiAdapter(organization="a\nb")), ["r.openai.organization"]),
    (replace(OPENAI, adapter=OpenAiAdapter(project=" p")), ["r.openai.project"]),
    (credited(EnvCredential("")), ["r.credential_ref.env"]),
    (credited(EnvCredential("2ND")), ["r.credential_ref.env"]),
    (credited(EnvCredential("MY-KEY")), ["r.credential_ref.env"]),
    (credited(EnvCredential("AKIAIOSFODNN7EXAMPLE")), ["r.credential_ref.env"]),
    (credited(FileCredential("secrets/key")), ["r.credential_ref.file"]),
    (credited(FileCredential("/run/../etc/key")), ["r.credential_ref.file"]),
    (credited(FileCredential("/run/\n")), ["r.credential_ref.file"]),
    (credited(FileCredential("/" + "x" * 4096)), ["r.credential_ref.file"]),
    (credited(FileCredential("/sk-abcdefghijklmnop")), ["r.credential_ref.file"]),
    (headed(HttpHeader("bad name", "v")), ["r.openai.headers[0].name"]),
    (headed(HttpHeader("X", "a"), HttpHeader("x", "b")), ["r.openai.headers[1].name"]),
    (headed(HttpHeader("Authorization", "x")), ["r.openai.headers[0].value"]),
    (headed(HttpHeader("X-Other", "Bearer abc")), ["r.openai.headers[0].value"]),
    (headed(HttpHeader("X-Other", "a\r\nb")), ["r.openai.headers[0].value"]),
    (headed(HttpHeader("Content-Length", "0")), ["r.openai.headers[0].name"]),
    (headed(HttpHeader("host", "h")), ["r.openai.headers[0].name"]),
    (headed(HttpHeader("Transfer-Encoding", "chunked")), ["r.openai.headers[0].name"]),
    (headed(HttpHeader("Host", None, EnvCredential("H"))), ["r.openai.headers[0].name"]),
    (headed(HttpHeader("X-Other", "a ")), ["r.openai.headers[0].value"]),
    (headed(HttpHeader("X-Other", "a " * 2049)), ["r.openai.headers[0].value"]),
    (headed(HttpHeader("X", None, EnvCredential("a b"))), ["r.openai.headers[0].value_ref.env"]),
    (headed(*(HttpHeader(f"x-{n}", "v") for n in range(65))), ["r.openai.headers"]),
    (Provider("p", AnthropicAdapter(betas=("",))), ["r.anthropic.betas[0]"]),
    (Provider("p", AnthropicAdapter(betas=("b",) * 65)), ["r.anthropic.betas"]),
    (Provider("p", AnthropicAdapter(betas=("a\nb",))), ["r.anthropic.betas[0]"]),
    (Provider("p", AnthropicAdapter("2023\n")), ["r.anthropic.api_version"]),
    (
        Provider("p", AnthropicAdapter(headers=(HttpHeader("", "v"),))),
        ["r.anthropic.headers[0].name"],
    ),
    (scripted(BuiltinStep(BuiltinReply(), matches="(")), ["r.builtin.steps[0].matches"]),
    (scripted(BuiltinStep(BuiltinReply(), matches="x" * 1025)), ["r.builtin.steps[0].matches"]),
    (
        scripted(BuiltinStep(BuiltinReply(tool_calls=(BuiltinToolCall(" "),)))),
        ["r.builtin.steps[0].reply.tool_calls[0].tool_id"],
    ),
    (
        scripted(BuiltinStep(BuiltinReply(tool_calls=(BuiltinToolCall("t"),) * 65))),
        ["r.builtin.steps[0].reply.tool_calls"],
    ),
    (
        scripted(BuiltinStep(BuiltinFault(BuiltinFaultKind.CUT, retry_after=-S))),
        ["r.builtin.steps[0].fault.retry_after"],
    ),
    (
        replace(BUILTIN, adapter=BuiltinAdapter((BuiltinStep(BuiltinReply()),) * 257)),
        ["r.builtin.steps"],
    ),
    (
        replace(BUILTIN, adapter=BuiltinAdapter(delta_interval=61 * S)),
        ["r.builtin.delta_interval"],
    ),
    # models
    (replace(MODEL, provider_id=""), ["r.provider_id"]),
    (replace(MODEL, upstream_model=" "), ["r.upstream_model"]),
    (replace(MODEL, upstream_model="x" * 513), ["r.upstream_model"]),
    (replace(MODEL, context_window=0), ["r.context_window"]),
    (replace(MODEL, max_output_tokens=0), ["r.max_output_tokens"]),
    (replace(MODEL, context_window=8, max_output_tokens=9), ["r.max_output_tokens"]),
    (replace(MODEL, modalities=(Modality.TEXT, Modality.TEXT)), ["r.modalities[1]"]),
    (replace(MODEL, cache_ttl=-S), ["r.cache_ttl"]),
    (replace(MODEL, cache_ttl=timedelta(days=1, seconds=1)), ["r.cache_ttl"]),
    (replace(MODEL, knowledge_cutoff="2025"), ["r.knowledge_cutoff"]),
    (replace(MODEL, knowledge_cutoff="2025-13"), ["r.knowledge_cutoff"]),
    (replace(MODEL, knowledge_cutoff="2025-02-29"), ["r.knowledge_cutoff"]),
    (priced(currency="usd"), ["r.prices.currency"]),
    (priced(input_per_million="-1"), ["r.prices.input_per_million"]),
    (priced(output_per_million="1e3"), ["r.prices.output_per_million"]),
    (priced(cache_read_per_million="NaN"), ["r.prices.cache_read_per_million"]),
    (priced(cache_write_per_million="1."), ["r.prices.cache_write_per_million"]),
    # pools
    (replace(POOL, members=()), ["r.members"]),
    (replace(POOL, members=tuple(PoolMember(f"m{n}") for n in range(65))), ["r.members"]),
    (replace(POOL, members=(PoolMember("m", role=MemberRole.FAILOVER_ONLY),)), ["r.members"]),
    (replace(POOL, members=(PoolMember("m"), PoolMember("m"))), ["r.members[1].model_id"]),
    (replace(POOL, members=(PoolMember(""),)), ["r.members[0].model_id"]),
    (replace(POOL, members=(PoolMember("m", weight=0),)), ["r.members[0].weight"]),
    (replace(POOL, members=(PoolMember("m", weight=1_000_001),)), ["r.members[0].weight"]),
    (
        replace(POOL, switch=PoolSwitch(quota_retry_after_threshold=-S)),
        ["r.switch.quota_retry_after_threshold"],
    ),
    (replace(POOL, breaker=PoolBreaker(failure_threshold=0)), ["r.breaker.failure_threshold"]),
    (replace(POOL, breaker=PoolBreaker(failure_threshold=1001)), ["r.breaker.failure_threshold"]),
    (
        replace(POOL, breaker=PoolBreaker(cooldown=timedelta(milliseconds=99))),
        ["r.breaker.cooldown"],
    ),
    (replace(POOL, breaker=PoolBreaker(cooldown=3601 * S)), ["r.breaker.cooldown"]),
    (replace(POOL, breaker=PoolBreaker(half_open_max=101)), ["r.breaker.half_open_max"]),
    (replace(POOL, stickiness=PoolStickiness(pin_ttl=0 * S)), ["r.stickiness.pin_ttl"]),
    (replace(POOL, retry=PoolRetry(11)), ["r.retry.in_place"]),
    (replace(POOL, clocks=PoolClocks(0 * S, 0 * S)), ["r.clocks.first_chunk", "r.clocks.idle"]),
    (replace(POOL, clocks=PoolClocks(total=3601 * S)), ["r.clocks.total"]),
    # agents
    (replace(AGENT, model_id=""), ["r.model_id"]),
    (replace(AGENT, tools=("t", "t")), ["r.tools[1]"]),
    (replace(AGENT, tools=("",)), ["r.tools[0]"]),
    (replace(AGENT, tools=tuple(f"t{n}" for n in range(257))), ["r.tools"]),
    (
        replace(AGENT, approval_rules=(ApprovalRule("", Approval.ASK),)),
        ["r.approval_rules[0].tool_id"],
    ),
    (replace(AGENT, approval_rules=(ApprovalRule("t", Approval.ASK),) * 257), ["r.approval_rules"]),
    (replace(AGENT, max_rounds=0), ["r.max_rounds"]),
    (replace(AGENT, max_rounds=1001), ["r.max_rounds"]),
    (replace(AGENT, max_total_tokens=0), ["r.max_total_tokens"]),
    (replace(AGENT, max_total_tokens=100_000_001), ["r.max_total_tokens"]),
    (replace(AGENT, sampling=Sampling(temperature=2.1)), ["r.sampling.temperature"]),
    (replace(AGENT, sampling=Sampling(temperature=float("nan"))), ["r.sampling.temperature"]),
    (replace(AGENT, sampling=Sampling(top_p=0)), ["r.sampling.top_p"]),
    (replace(AGENT, sampling=Sampling(top_p=float("nan"))), ["r.sampling.top_p"]),
    (replace(AGENT, sampling=Sampling(max_output_tokens=0)), ["r.sampling.max_output_tokens"]),
    (replace(AGENT, sampling=Sampling(stop=("",))), ["r.sampling.stop[0]"]),
    (replace(AGENT, sampling=Sampling(stop=("x",) * 17)), ["r.sampling.stop"]),
    (Agent("a", endpoint=AgentEndpoint("agents.example")), ["r.endpoint.base_url"]),
    (
        Agent("a", endpoint=AgentEndpoint("https://h", EnvCredential("-"), timedelta(days=2))),
        ["r.endpoint.credential_ref.env", "r.endpoint.timeout"],
    ),
    (Agent("a", "x\n", endpoint=AgentEndpoint("https://h")), ["r.model_id"]),
    # tools
    (replace(TOOL, id="*"), ["r.id"]),
    (replace(TOOL, timeout=timedelta(milliseconds=99)), ["r.timeout"]),
    (replace(TOOL, description="é" * 32_769), ["r.description"]),
    (replace(TOOL, json_schema="{"), ["r.json_schema"]),
    (replace(TOOL, json_schema="[]"), ["r.json_schema"]),
    (replace(TOOL, json_schema="[" * 100_000), ["r.json_schema"]),
    (replace(TOOL, json_schema='{"default": NaN}'), ["r.json_schema"]),
    (replace(TOOL, json_schema='{"maximum": 1e999}'), ["r.json_schema"]),
    (replace(TOOL, json_schema='{"title": "\\ud83d"}'), ["r.json_schema"]),
    (replace(TOOL, json_schema='{"a": "' + "x" * 262_144 + '"}'), ["r.json_schema"]),
    (replace(TOOL, executor=WorkerExecutor("a\tb")), ["r.worker.label"]),
    (
        replace(
            BUILTIN_TOOL, description="d", json_schema="{}", effect_class=EffectClass.AT_MOST_ONCE
        ),
        ["r.description", "r.json_schema", "r.effect_class"],
    ),
]


@pytest.mark.parametrize("resource", LEGAL, ids=repr)
def test_a_legal_resource_breaks_no_rule(resource: Resource) -> None:
    assert list(field_violations(resource, "r")) == []


@pytest.mark.parametrize(("resource", "wrong"), BROKEN)
def test_a_broken_rule_names_its_field(resource: Resource, wrong: list[str]) -> None:
    assert fields(resource) == wrong


def test_every_broken_rule_is_reported_at_once() -> None:
    # given a pool with five mistakes
    pool = ModelPool(
        "",
        (PoolMember("m", 0), PoolMember("m")),
        breaker=PoolBreaker(0),
        retry=PoolRetry(99),
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
    resource: Resource, description: str
) -> None:
    (violation,) = field_violations(resource, "r")

    assert violation.description == description


def test_a_secret_is_never_repeated() -> None:
    # given secrets in every place that takes a reference
    secret = "sk-ant-api03-aB3dE5fG7hI9jK1l"
    ref = EnvCredential(secret)
    provider = Provider(
        "p",
        OpenAiAdapter(headers=(HttpHeader("X-Key", secret), HttpHeader("Y", None, ref))),
        credential_ref=FileCredential(f"/{secret}"),
    )

    # then
    found = list(field_violations(provider, "r"))
    assert len(found) == 3
    assert not any(secret in violation.description for violation in found)
