"""A resource in a few words, for tables."""

from __future__ import annotations

from runyard.registry.v1 import registry_pb2 as pb
from runyard.types.v1 import content_pb2
from services.cli.base.messages import short_name

_SHOWN_MEMBERS = 3


def summary(resource: pb.Resource) -> str:
    """What it is, in one line; empty for a kind that is not known here."""
    match resource.WhichOneof("resource"):
        case "provider":
            return _provider(resource.provider)
        case "model":
            return _model(resource.model)
        case "model_pool":
            return _pool(resource.model_pool)
        case "agent":
            return _agent(resource.agent)
        case "tool":
            return _tool(resource.tool)
        case _:
            return ""


def _provider(provider: pb.Provider) -> str:
    adapter = provider.WhichOneof("adapter") or "no adapter"
    if adapter == "builtin":
        return f"builtin, {_counted(len(provider.builtin.steps), 'step')}"
    key = provider.credential_ref
    source = (
        f", key from {key.WhichOneof('source')} {key.env or key.file}" if key.ByteSize() else ""
    )
    return f"{adapter} at {provider.base_url}{source}"


def _model(model: pb.Model) -> str:
    window = f", {model.context_window:,} tokens" if model.HasField("context_window") else ""
    return f"{model.upstream_model} at {model.provider_id}{window}"


def _pool(pool: pb.ModelPool) -> str:
    names = [
        f"({member.model_id})"
        if member.role == pb.POOL_MEMBER_ROLE_FAILOVER_ONLY
        else member.model_id
        for member in pool.members
    ]
    more = len(names) - _SHOWN_MEMBERS
    members = ", ".join(names[:_SHOWN_MEMBERS]) + (f" and {more} more" if more > 0 else "")
    return f"{members}; {short_name(pb.HomeStrategy.DESCRIPTOR, pool.routing.home)}"


def _agent(agent: pb.Agent) -> str:
    tools = f", {_counted(len(agent.tools), 'tool')}" if agent.tools else ""
    if agent.HasField("endpoint"):
        return f"remote at {agent.endpoint.base_url}{tools}"
    return f"on {agent.model_id}{tools}"


def _tool(tool: pb.Tool) -> str:
    approval = short_name(content_pb2.Approval.DESCRIPTOR, tool.approval)
    if tool.WhichOneof("executor") == "builtin":
        return f"builtin {short_name(pb.BuiltinTool.DESCRIPTOR, tool.builtin)}; {approval}"
    effect = short_name(content_pb2.EffectClass.DESCRIPTOR, tool.effect_class)
    where = f"worker {tool.worker.label}".rstrip()
    return f"{where}, {effect}; {approval}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
