"""One form per content: what is written differently and means the same is the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from services.content.model import EffectClass
from services.registry.core.canonical import content_hash
from services.registry.core.model import (
    Agent,
    AgentEndpoint,
    AnthropicAdapter,
    BuiltinAdapter,
    BuiltinTool,
    GrpcAdapter,
    Modality,
    Model,
    ModelPool,
    ModelPrices,
    OpenAiAdapter,
    PoolMember,
    Provider,
    Resource,
    Tool,
    WorkerExecutor,
)
from services.registry.core.normalising import normalised
from tests.support.registry_strategies import resources


@pytest.mark.parametrize(
    ("adapter", "written", "base_url"),
    [
        (OpenAiAdapter(), "", "https://api.openai.com/v1"),
        (AnthropicAdapter(), "", "https://api.anthropic.com"),
        (OpenAiAdapter(), "http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1"),
        (GrpcAdapter(), "models:50051", "models:50051"),
        (BuiltinAdapter(), "", ""),
    ],
)
def test_a_base_url_is_filled_by_the_vendor(adapter: object, written: str, base_url: str) -> None:
    provider = Provider("p", adapter, base_url=written)  # type: ignore[arg-type]  # one of the arms

    assert normalised(provider) == replace(provider, base_url=base_url)


@pytest.mark.parametrize("written", ["https://agents.example/a", "https://agents.example/a/"])
def test_the_address_of_a_remote_agent_ends_without_a_slash(written: str) -> None:
    agent = Agent("a", endpoint=AgentEndpoint(written))

    assert normalised(agent) == Agent("a", endpoint=AgentEndpoint("https://agents.example/a"))


def test_the_order_of_modalities_means_nothing() -> None:
    one = Model("m", "p", "u", modalities=(Modality.IMAGE, Modality.TEXT))
    other = Model("m", "p", "u", modalities=(Modality.TEXT, Modality.IMAGE))

    assert normalised(one) == normalised(other) == other


@pytest.mark.parametrize(
    ("written", "price"),
    [("", ""), ("0", "0"), ("000", "0"), ("0.150", "0.15"), ("01.0", "1"), ("10", "10")],
)
def test_a_price_has_one_spelling(written: str, price: str) -> None:
    model = Model("m", "p", "u", prices=ModelPrices(input_per_million=written))

    result = normalised(model)

    assert isinstance(result, Model)
    assert result.prices == ModelPrices(input_per_million=price)


def test_a_workers_tool_runs_at_most_once_and_for_a_minute_by_default() -> None:
    tool = normalised(Tool("t", WorkerExecutor()))

    assert tool == Tool(
        "t",
        WorkerExecutor(),
        effect_class=EffectClass.AT_MOST_ONCE,
        timeout=timedelta(seconds=60),
    )


def test_a_built_in_tool_is_idempotent_and_may_wait_for_ever() -> None:
    tool = normalised(Tool("t", BuiltinTool.POOL_WAIT))

    assert tool == Tool("t", BuiltinTool.POOL_WAIT, effect_class=EffectClass.IDEMPOTENT)


def test_what_a_caller_set_stays() -> None:
    tool = Tool("t", WorkerExecutor(), effect_class=EffectClass.PURE, timeout=timedelta(hours=2))
    pool = ModelPool("mp", (PoolMember("b"), PoolMember("a")))

    assert normalised(tool) == tool
    assert normalised(pool) == pool
    assert normalised(Agent("a", "m")) == Agent("a", "m")


@given(resources())
def test_normalising_twice_changes_nothing(resource: Resource) -> None:
    once = normalised(resource)

    assert normalised(once) == once
    assert content_hash(normalised(once)) == content_hash(once)
