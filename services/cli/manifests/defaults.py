"""What the registry fills in where a manifest says nothing, written as manifests write it.

An export leaves these out, a diff does not repeat them, and the schema for editors shows them. A
test compares them with what a registry answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor

Value = str | int | float | bool | list["Value"] | dict[str, "Value"]

_DEFAULTS: Mapping[str, Value] = {
    "Provider.timeout": "300s",
    "BuiltinAdapter.delta_interval": "0s",
    "OpenAiAdapter.token_limit_field": "max_tokens",
    "OpenAiAdapter.stream_usage": True,
    "AnthropicAdapter.api_version": "2023-06-01",
    "GrpcAdapter.transport": "tls",
    "Model.modalities": ["text"],
    "Model.cache_ttl": "0s",
    "ModelPrices.currency": "USD",
    "PoolMember.weight": 1,
    "PoolMember.role": "member",
    "PoolRouting.home": "deterministic",
    "PoolRouting.sticky_scope": "thread",
    "PoolSwitch.on_circuit_open": True,
    "PoolSwitch.on_quota": True,
    "PoolSwitch.on_permanent": True,
    "PoolSwitch.on_retry_exhausted": False,
    "PoolBreaker.failure_threshold": 5,
    "PoolBreaker.cooldown": "30s",
    "PoolBreaker.half_open_max": 1,
    "PoolStickiness.pin_ttl": "3600s",
    "PoolStickiness.return_home": "never",
    "PoolRetry.in_place": 1,
    "PoolClocks.first_chunk": "60s",
    "PoolClocks.idle": "60s",
    "ModelPool.mid_stream": "interrupt",
    "Agent.max_rounds": 16,
    "AgentEndpoint.timeout": "300s",
    "Tool.approval": "allow",
}
# Those that depend on which choice of a oneof stands beside them.
_BESIDE: Mapping[tuple[str, str], Value] = {
    ("Provider.base_url", "openai"): "https://api.openai.com/v1",
    ("Provider.base_url", "anthropic"): "https://api.anthropic.com",
    ("Tool.effect_class", "builtin"): "idempotent",
    ("Tool.effect_class", "worker"): "at_most_once",
    ("Tool.timeout", "worker"): "60s",
}
# Parts that are always there; an empty one says nothing. Elsewhere it says that there is one.
_ALWAYS_THERE = frozenset(
    {
        "ModelPool.routing",
        "ModelPool.switch",
        "ModelPool.breaker",
        "ModelPool.stickiness",
        "ModelPool.retry",
        "ModelPool.clocks",
        "Agent.sampling",
    }
)


def default_of(of: FieldDescriptor, arms: Iterable[str] = ()) -> Value | None:
    """The default of a field; None when there is none.

    Args:
        arms: The choices that are set beside it, for defaults that depend on one.
    """
    name = _name(of)
    if name in _DEFAULTS:
        return _DEFAULTS[name]
    return next((_BESIDE[name, arm] for arm in arms if (name, arm) in _BESIDE), None)


def is_always_there(of: FieldDescriptor) -> bool:
    return _name(of) in _ALWAYS_THERE


def defaulted_fields() -> frozenset[str]:
    """``Message.field`` of every default, conditional ones included."""
    return frozenset(_DEFAULTS) | {name for name, _ in _BESIDE}


def _name(of: FieldDescriptor) -> str:
    holder: Descriptor = of.containing_type
    return f"{holder.name}.{of.name}"
