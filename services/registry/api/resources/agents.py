"""Agents to and from the wire."""

from __future__ import annotations

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.protobuf.decoder import Decoder, duration_to_pb, optional
from services.content.convert import APPROVALS
from services.content.model import Sampling
from services.registry.api.enums import EFFORTS
from services.registry.api.resources.providers import credential_from_pb, credential_to_pb
from services.registry.core.model import CALL_TIMEOUT, Agent, AgentEndpoint, ApprovalRule


def agent_from_pb(agent: pb.Agent, field: str, decoder: Decoder) -> Agent:
    rules = (
        _rule_from_pb(rule, f"{field}.approval_rules[{index}]", decoder)
        for index, rule in enumerate(agent.approval_rules)
    )
    default = Agent(agent.id)
    return Agent(
        id=agent.id,
        model_id=agent.model_id,
        system_prompt=agent.system_prompt,
        tools=tuple(agent.tools),
        approval_rules=tuple(rules),
        max_rounds=optional(agent, "max_rounds", default.max_rounds),
        max_total_tokens=optional(agent, "max_total_tokens", None),
        sampling=_sampling_from_pb(agent.sampling, f"{field}.sampling", decoder),
        endpoint=_endpoint_from_pb(agent, f"{field}.endpoint", decoder),
    )


def _rule_from_pb(rule: pb.ApprovalRule, field: str, decoder: Decoder) -> ApprovalRule:
    approval = decoder.required_enum(APPROVALS, rule.approval, f"{field}.approval")
    timeout = decoder.duration(rule, "approval_timeout", field, None)
    return ApprovalRule(rule.tool_id, approval, timeout)


def _sampling_from_pb(sampling: pb.Sampling, field: str, decoder: Decoder) -> Sampling:
    effort = sampling.reasoning_effort
    return Sampling(
        temperature=optional(sampling, "temperature", None),
        top_p=optional(sampling, "top_p", None),
        max_output_tokens=optional(sampling, "max_output_tokens", None),
        stop=tuple(sampling.stop),
        seed=optional(sampling, "seed", None),
        reasoning_effort=decoder.enum(EFFORTS, effort, f"{field}.reasoning_effort", None),
    )


def _endpoint_from_pb(agent: pb.Agent, field: str, decoder: Decoder) -> AgentEndpoint | None:
    if not agent.HasField("endpoint"):
        return None
    endpoint = agent.endpoint
    return AgentEndpoint(
        endpoint.base_url,
        credential_from_pb(endpoint, "credential_ref", field, decoder),
        decoder.duration(endpoint, "timeout", field, CALL_TIMEOUT),
    )


def agent_to_pb(agent: Agent) -> pb.Agent:
    return pb.Agent(
        id=agent.id,
        model_id=agent.model_id,
        system_prompt=agent.system_prompt,
        tools=agent.tools,
        approval_rules=map(_rule_to_pb, agent.approval_rules),
        max_rounds=agent.max_rounds,
        max_total_tokens=agent.max_total_tokens,
        sampling=_sampling_to_pb(agent.sampling),
        endpoint=_endpoint_to_pb(agent.endpoint) if agent.endpoint else None,
    )


def _rule_to_pb(rule: ApprovalRule) -> pb.ApprovalRule:
    approval = APPROVALS.to_pb[rule.approval]
    timeout = duration_to_pb(rule.approval_timeout)
    return pb.ApprovalRule(tool_id=rule.tool_id, approval=approval, approval_timeout=timeout)


def _sampling_to_pb(sampling: Sampling) -> pb.Sampling:
    effort = sampling.reasoning_effort
    return pb.Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_output_tokens=sampling.max_output_tokens,
        stop=sampling.stop,
        seed=sampling.seed,
        reasoning_effort=EFFORTS.to_pb[effort] if effort else None,
    )


def _endpoint_to_pb(endpoint: AgentEndpoint) -> pb.AgentEndpoint:
    return pb.AgentEndpoint(
        base_url=endpoint.base_url,
        credential_ref=credential_to_pb(endpoint.credential_ref),
        timeout=duration_to_pb(endpoint.timeout),
    )
