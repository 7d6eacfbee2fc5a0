"""What makes an agent or a tool legal on its own, before any other resource is looked at."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import timedelta

from services.chassis.errors import Violation
from services.chassis.ids import id_violations
from services.content.model import EffectClass, Sampling
from services.registry.core import checks
from services.registry.core.model import (
    DAY,
    Agent,
    AgentEndpoint,
    BuiltinTool,
    Tool,
)

ANY_TOOL = "*"
MAX_TOOLS = 256
MAX_ROUNDS = 1000
MAX_TOTAL_TOKENS = 100_000_000
MAX_STOP_TEXTS = 16
MAX_OUTPUT_TOKENS = (1 << 32) - 1
MAX_DESCRIPTION_BYTES = 64 << 10
MAX_SCHEMA_BYTES = 256 << 10
_BROUGHT = "must be empty: a built-in tool brings its own"


def agent_violations(agent: Agent, field: str) -> Iterator[Violation]:
    if agent.endpoint is None or agent.model_id:
        yield from id_violations(agent.model_id, f"{field}.model_id")
    yield from checks.at_most(len(agent.tools), MAX_TOOLS, "tools", f"{field}.tools")
    yield from checks.distinct(agent.tools, f"{field}.tools")
    for index, tool_id in enumerate(agent.tools):
        yield from id_violations(tool_id, f"{field}.tools[{index}]")
    rules = f"{field}.approval_rules"
    yield from checks.at_most(len(agent.approval_rules), MAX_TOOLS, "rules", rules)
    for index, rule in enumerate(agent.approval_rules):
        yield from id_violations(rule.tool_id, f"{rules}[{index}].tool_id")
    yield from checks.between(agent.max_rounds, 1, MAX_ROUNDS, f"{field}.max_rounds")
    yield from checks.between(
        agent.max_total_tokens, 1, MAX_TOTAL_TOKENS, f"{field}.max_total_tokens"
    )
    yield from _sampling(agent.sampling, f"{field}.sampling")
    if agent.endpoint:
        yield from _endpoint(agent.endpoint, f"{field}.endpoint")


def _sampling(sampling: Sampling, field: str) -> Iterator[Violation]:
    yield from checks.between(sampling.temperature, 0, 2, f"{field}.temperature")
    top_p = sampling.top_p
    if top_p is not None and not 0 < top_p <= 1:
        text = "not a number" if math.isnan(top_p) else f"{top_p:g}"
        yield Violation(f"{field}.top_p", f"is {text}, must be more than 0, at most 1")
    yield from checks.between(
        sampling.max_output_tokens, 1, MAX_OUTPUT_TOKENS, f"{field}.max_output_tokens"
    )
    yield from checks.at_most(len(sampling.stop), MAX_STOP_TEXTS, "texts", f"{field}.stop")
    for index, text in enumerate(sampling.stop):
        if not text:
            yield Violation(f"{field}.stop[{index}]", "must not be empty")


def _endpoint(endpoint: AgentEndpoint, field: str) -> Iterator[Violation]:
    yield from checks.url(endpoint.base_url, f"{field}.base_url")
    yield from checks.credential(endpoint.credential_ref, f"{field}.credential_ref")
    yield from checks.positive(endpoint.timeout, DAY, f"{field}.timeout")


def tool_violations(tool: Tool, field: str) -> Iterator[Violation]:
    yield from checks.lasts(tool.timeout, timedelta(seconds=0.1), DAY, f"{field}.timeout")
    if tool.id == ANY_TOOL:
        yield Violation(f"{field}.id", "must not be '*', which stands for every tool in rules")
    if isinstance(tool.executor, BuiltinTool):
        yield from _builtin(tool, field)
        return
    yield from _size(tool.description, MAX_DESCRIPTION_BYTES, f"{field}.description")
    yield from _schema(tool.json_schema, f"{field}.json_schema")
    label = tool.executor.label
    if label:
        yield from id_violations(label, f"{field}.worker.label")


def _builtin(tool: Tool, field: str) -> Iterator[Violation]:
    if tool.description:
        yield Violation(f"{field}.description", _BROUGHT)
    if tool.json_schema:
        yield Violation(f"{field}.json_schema", _BROUGHT)
    if tool.effect_class not in {None, EffectClass.IDEMPOTENT}:
        yield Violation(
            f"{field}.effect_class", "must be idempotent or unset: the tool is built in"
        )


def _size(text: str, limit_bytes: int, field: str) -> Iterator[Violation]:
    size_bytes = len(text.encode("utf-8"))
    if size_bytes > limit_bytes:
        yield Violation(field, f"is {size_bytes:,} bytes, at most {limit_bytes:,} are allowed")


def _schema(text: str, field: str) -> Iterator[Violation]:
    yield from _size(text, MAX_SCHEMA_BYTES, field)
    if not text:
        return
    try:
        schema = json.loads(text)
        # The reader takes NaN and half a surrogate pair, which nobody downstream has to.
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        yield Violation(field, f"is no JSON: {error}")
        return
    if not isinstance(schema, dict):
        yield Violation(field, "must be a JSON object")
