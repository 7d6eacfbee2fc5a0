"""One form per content: what is written differently and means the same is the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from services.content.model import EffectClass
from services.registry.core import model as m
from services.registry.core.canonical import content_hash, normalised
from services.registry.core.executors import BuiltinTool, WorkerExecutor
from tests.support.registry_strategies import resources


@pytest.mark.parametrize(
    ("adapter", "written", "base_url"),
    [
        (m.OpenAiAdapter(), "", "https://api.openai.com/v1"),
        (m.AnthropicAdapter(), "", "https://api.anthropic.com"),
        (m.OpenAiAdapter(), "http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1"),
        (m.GrpcAdapter(), "models:50051", "models:50051"),
        (m.BuiltinAdapter(), "", ""),
    ],
)
def test_a_base_url_is_filled_by_the_vendor(adapter: object, written: str, base_url: str) -> None:
    provider = m.Provider("p", adapter, base_url=written)  # type: ignore[arg-type]  # one of the arms

    assert normalised(provider) == replace(provider, base_url=base_url)


@pytest.mark.parametrize("written", ["https://agents.example/a", "https://agents.example/a/"])
def test_the_address_of_a_remote_agent_ends_without_a_slash(written: str) -> None:
    agent = m.Agent("a", endpoint=m.AgentEndpoint(written))

    assert normalised(agent) == m.Agent("a", endpoint=m.AgentEndpoint("https://agents.example/a"))


def test_the_order_of_modalities_means_nothing() -> None:
    one = m.Model("m", "p", "u", modalities=(m.Modality.IMAGE, m.Modality.TEXT))
    other = m.Model("m", "p", "u", modalities=(m.Modality.TEXT, m.Modality.IMAGE))

    assert normalised(one) == normalised(other) == other


@pytest.mark.parametrize(
    ("written", "price"),
    [("", ""), ("0", "0"), ("000", "0"), ("0.150", "0.15"), ("01.0", "1"), ("10", "10")],
)
def test_a_price_has_one_spelling(written: str, price: str) -> None:
    model = m.Model("m", "p", "u", prices=m.ModelPrices(input_per_million=written))

    result = normalised(model)

    assert isinstance(result, m.Model)
    assert result.prices == m.ModelPrices(input_per_million=price)


def test_a_workers_tool_runs_at_most_once_and_for_a_minute_by_default() -> None:
    tool = m.Tool("t", WorkerExecutor())
    defaults = {"effect_class": EffectClass.AT_MOST_ONCE, "timeout": timedelta(seconds=60)}

    assert normalised(tool) == replace(tool, **defaults)


def test_a_built_in_tool_is_idempotent_and_may_wait_for_ever() -> None:
    tool = normalised(m.Tool("t", BuiltinTool.POOL_WAIT))

    assert tool == m.Tool("t", BuiltinTool.POOL_WAIT, effect_class=EffectClass.IDEMPOTENT)


def test_what_a_caller_set_stays() -> None:
    tool = m.Tool("t", WorkerExecutor(), effect_class=EffectClass.PURE, timeout=timedelta(hours=2))
    pool = m.ModelPool("mp", (m.PoolMember("b"), m.PoolMember("a")))

    assert normalised(tool) == tool
    assert normalised(pool) == pool
    assert normalised(m.Agent("a", "m")) == m.Agent("a", "m")


@given(resources())
def test_normalising_twice_changes_nothing(resource: m.Resource) -> None:
    once = normalised(resource)

    assert normalised(once) == once
    assert content_hash(normalised(once)) == content_hash(once)
