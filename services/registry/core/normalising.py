"""The one form of a resource that is stored, hashed, compared and handed out.

Plain defaults are filled where a resource is constructed; here are those that depend on another
field, and the values that can be written in more than one way.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from services.content.model import EffectClass
from services.registry.core.model import (
    Agent,
    AgentEndpoint,
    AnthropicAdapter,
    BuiltinTool,
    Modality,
    Model,
    ModelPrices,
    OpenAiAdapter,
    Provider,
    Resource,
    Tool,
)

WORKER_TIMEOUT = timedelta(seconds=60)
_VENDOR_URLS = {
    OpenAiAdapter: "https://api.openai.com/v1",
    AnthropicAdapter: "https://api.anthropic.com",
}
_MODALITIES = tuple(Modality)


def normalised(resource: Resource) -> Resource:
    """Fill and unify; the result normalises to itself. ``resource`` follows the field rules."""
    match resource:
        case Provider(adapter=adapter, base_url=base_url):
            vendor = _VENDOR_URLS.get(type(adapter), "")
            return replace(resource, base_url=(base_url or vendor).rstrip("/"))
        case Model(modalities=modalities, prices=prices):
            ordered = tuple(sorted(modalities, key=_MODALITIES.index)) or (Modality.TEXT,)
            return replace(resource, modalities=ordered, prices=prices and _prices(prices))
        case Agent(endpoint=AgentEndpoint(base_url=base_url) as endpoint):
            address = replace(endpoint, base_url=base_url.rstrip("/"))
            return replace(resource, endpoint=address)
        case Tool():
            return _tool(resource)
        case _:
            return resource


def _prices(prices: ModelPrices) -> ModelPrices:
    return ModelPrices(
        prices.currency,
        _decimal(prices.input_per_million),
        _decimal(prices.output_per_million),
        _decimal(prices.cache_read_per_million),
        _decimal(prices.cache_write_per_million),
    )


def _decimal(text: str) -> str:
    """``0.150`` and ``00.15`` are the same price."""
    if not text:
        return ""
    whole, _, fraction = text.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _tool(tool: Tool) -> Tool:
    if isinstance(tool.executor, BuiltinTool):
        return replace(tool, effect_class=EffectClass.IDEMPOTENT)
    return replace(
        tool,
        effect_class=tool.effect_class or EffectClass.AT_MOST_ONCE,
        timeout=tool.timeout or WORKER_TIMEOUT,
    )
