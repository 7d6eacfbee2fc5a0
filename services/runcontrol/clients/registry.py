"""The registry's agents and tools as specifications of the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runyard.provider.v1 import provider_pb2 as provider
from runyard.registry.v1 import registry_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from services.chassis.protobuf.enums import EnumTable
from services.content.convert import APPROVALS, EFFECT_CLASSES
from services.content.model import Approval, EffectClass, ReasoningEffort
from services.runcontrol.core.builtin_tools import DEFINITIONS
from services.runcontrol.core.gating import matching_rule
from services.runcontrol.core.ports import Catalogs
from services.runcontrol.core.specs import (
    DEFAULT_TIMEOUT_S,
    AgentSpec,
    Builtin,
    Catalog,
    Rule,
    Specs,
    ToolSpec,
)
from services.wire.snapshot import SnapshotConsumer

DEFAULT_MAX_ROUNDS = 16

_BUILTINS = EnumTable(pb.BuiltinTool, "BUILTIN_TOOL", Builtin)
_EFFORTS = EnumTable(pb.ReasoningEffort, "REASONING_EFFORT", ReasoningEffort)
_ROUTER_EFFORTS = EnumTable(provider.ReasoningEffort, "REASONING_EFFORT", ReasoningEffort)


@dataclass(frozen=True, slots=True)
class RegistryCatalog:
    """A registry snapshot; the specifications of an agent are built at their first use."""

    version: int
    agents: Mapping[str, pb.Agent]
    tools: Mapping[str, pb.Resource]
    _made: dict[str, Specs | None] = field(default_factory=dict)
    _denied: dict[tuple[str, str], bool] = field(default_factory=dict)

    def specs(self, agent_id: str) -> Specs | None:
        if agent_id not in self._made and agent_id in self.agents:
            self._made[agent_id] = self._make(agent_id)
        return self._made.get(agent_id)

    def denies(self, agent_id: str, tool_id: str) -> bool:
        key = agent_id, tool_id
        if key not in self._denied:
            agent, tool = self.agents.get(agent_id), self.tools.get(tool_id)
            rules = map(rule_spec, agent.approval_rules) if agent else ()
            approvals = [matching_rule(rules, tool_id).approval]
            if tool is not None:
                approvals.append(_approval(tool.tool.approval))
            self._denied[key] = Approval.DENY in approvals
        return self._denied[key]

    def _make(self, agent_id: str) -> Specs | None:
        agent = self.agents[agent_id]
        if agent.HasField("endpoint"):
            return None
        found = (self.tools.get(tool_id) for tool_id in agent.tools)
        return Specs(agent_spec(agent), tuple(tool_spec(tool) for tool in found if tool))


def build_catalog(
    resources: Mapping[tuple[int, str], pb.Resource], version: int, incarnation: str
) -> RegistryCatalog:
    """The catalog of a snapshot, as ``SnapshotConsumer`` calls it."""
    agents = {r.agent.id: r.agent for r in resources.values() if r.HasField("agent")}
    tools = {r.tool.id: r for r in resources.values() if r.HasField("tool")}
    return RegistryCatalog(version, agents, tools)


def agent_spec(agent: pb.Agent) -> AgentSpec:
    sampling = sampling_of(agent.sampling).SerializeToString(deterministic=True).hex()
    return AgentSpec(
        agent_id=agent.id,
        target_id=agent.model_id,
        system_prompt=agent.system_prompt,
        tool_ids=tuple(agent.tools),
        rules=tuple(rule_spec(rule) for rule in agent.approval_rules),
        max_rounds=agent.max_rounds if agent.HasField("max_rounds") else DEFAULT_MAX_ROUNDS,
        max_total_tokens=agent.max_total_tokens if agent.HasField("max_total_tokens") else 0,
        sampling=sampling,
    )


def rule_spec(rule: pb.ApprovalRule) -> Rule:
    timeout_s = rule.approval_timeout.ToTimedelta().total_seconds()
    return Rule(rule.tool_id, _approval(rule.approval), timeout_s)


def sampling_of(sampling: pb.Sampling) -> provider.Sampling:
    """The same options in the router's contract."""
    effort = _EFFORTS.from_pb.get(sampling.reasoning_effort)
    options = provider.Sampling(
        stop=sampling.stop,
        reasoning_effort=_ROUTER_EFFORTS.to_pb[effort] if effort else None,
    )
    for name in ("temperature", "top_p", "max_output_tokens", "seed"):
        if sampling.HasField(name):
            setattr(options, name, getattr(sampling, name))
    return options


def tool_spec(resource: pb.Resource) -> ToolSpec:
    """A tool; built-in ones bring their own description, schema and effect class."""
    tool = resource.tool
    builtin = _BUILTINS.from_pb.get(tool.builtin) if tool.HasField("builtin") else None
    definition = DEFINITIONS.get(builtin) if builtin else None
    effect = EFFECT_CLASSES.from_pb.get(tool.effect_class, EffectClass.AT_MOST_ONCE)
    return ToolSpec(
        tool_id=tool.id,
        description=definition.description if definition else tool.description,
        json_schema=definition.json_schema if definition else tool.json_schema,
        effect_class=EffectClass.IDEMPOTENT if builtin else effect,
        approval=_approval(tool.approval),
        builtin=builtin,
        version=resource.meta.content_hash,
        label=tool.worker.label,
        timeout_s=tool.timeout.ToTimedelta().total_seconds() or DEFAULT_TIMEOUT_S,
        approval_timeout_s=tool.approval_timeout.ToTimedelta().total_seconds(),
    )


def _approval(value: content.Approval) -> Approval:
    """An unset approval is ALLOW; one that this version does not know is DENY."""
    if value == content.APPROVAL_UNSPECIFIED:
        return Approval.ALLOW
    return APPROVALS.from_pb.get(value, Approval.DENY)


class RegistryCatalogs(Catalogs):
    """Implements ``Catalogs`` with the snapshots of a ``SnapshotConsumer``."""

    def __init__(self, consumer: SnapshotConsumer[RegistryCatalog]) -> None:
        self._consumer = consumer

    @property
    def version(self) -> int:
        """The version of the newest snapshot; 0 before the first."""
        return self._consumer.version

    async def at_least(self, version: int, incarnation: str) -> Catalog:
        return await self._consumer.at_least(version, incarnation)

    def newest(self) -> Catalog | None:
        return self._consumer.current
