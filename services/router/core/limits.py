"""The limits of a call and of what is sent for it, and the checks of a request against them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta

from services.chassis.errors import Violation
from services.chassis.slices import give_way
from services.content.model import Sampling
from services.router.core.request import (
    InferCommand,
    JsonObject,
    JsonSchema,
    Prompt,
    ToolChoiceMode,
)

# Of a call without a total clock and without a deadline.
LONGEST_CALL_S = 3600.0
# Of the waits for hints of members, together.
LONGEST_WAIT = timedelta(seconds=60)
# Of all repeated fields of a request.
MAX_ENTRIES = 60_000
MAX_MESSAGES = 10_000
MAX_TOOLS = 1_000
MAX_STOPS = 16
MAX_STOP_CHARS = 4096
MAX_SCHEMA_NAME_CHARS = 64
MAX_TEMPERATURE = 2

# Pins of one answer.
DEFAULT_PAGE = 100
MAX_PAGE = 1_000

# Of one message to the caller.
MAX_FRAME_ITEMS = 64
MAX_FRAME_BYTES = 64 * 1024
# Of an answer before its commit point.
MAX_HELD_ITEMS = 64
MAX_HELD_BYTES = 256 * 1024

_SCHEMA_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_SCHEMA_NAME_CHARS}}}")


def page_size(wanted: int) -> int:
    """How many pins a page has: ``wanted``, at most 1,000; 100 for 0."""
    return min(wanted or DEFAULT_PAGE, MAX_PAGE)


def request_violations(command: InferCommand) -> Iterator[Violation]:
    """What is wrong with the values of a request whose fields could be decoded."""
    if command.min_registry_version < 0:
        yield Violation("min_registry_version", "must be at least 0")
    if command.max_attempts is not None and command.max_attempts < 1:
        yield Violation("max_attempts", "must be at least 1")
    yield from _tool_violations(command.prompt)
    yield from _tool_choice_violations(command.prompt)
    yield from _sampling_violations(command.prompt.sampling)
    yield from _response_format_violations(command.prompt.response_format)


def _tool_violations(prompt: Prompt) -> Iterator[Violation]:
    seen: set[str] = set()
    for index, tool in enumerate(prompt.tools):
        give_way()
        if tool.tool_id in seen:
            yield Violation(f"tools[{index}].tool_id", "is there twice")
        seen.add(tool.tool_id)
        if tool.json_schema and not _is_json_object(tool.json_schema):
            yield Violation(f"tools[{index}].json_schema", "must be a JSON object")


def _tool_choice_violations(prompt: Prompt) -> Iterator[Violation]:
    mode, tool_id = prompt.tool_choice.mode, prompt.tool_choice.tool_id
    if mode is ToolChoiceMode.TOOL and tool_id not in {tool.tool_id for tool in prompt.tools}:
        yield Violation("tool_choice.tool_id", "must be among tools")
    if mode is not ToolChoiceMode.TOOL and tool_id:
        yield Violation("tool_choice.tool_id", "belongs to mode TOOL_CHOICE_MODE_TOOL")
    if mode is ToolChoiceMode.REQUIRED and not prompt.tools:
        yield Violation("tool_choice.mode", "requires a tool, and tools is empty")


def _sampling_violations(sampling: Sampling) -> Iterator[Violation]:
    if sampling.temperature is not None and not 0 <= sampling.temperature <= MAX_TEMPERATURE:
        yield Violation("sampling.temperature", f"must be between 0 and {MAX_TEMPERATURE}")
    if sampling.top_p is not None and not 0 < sampling.top_p <= 1:
        yield Violation("sampling.top_p", "must be more than 0 and at most 1")
    if sampling.max_output_tokens is not None and sampling.max_output_tokens < 1:
        yield Violation("sampling.max_output_tokens", "must be at least 1")
    if not all(sampling.stop):
        yield Violation("sampling.stop", "must not have an empty text")


def _response_format_violations(wanted: JsonObject | JsonSchema | None) -> Iterator[Violation]:
    if not isinstance(wanted, JsonSchema):
        return
    field = "response_format.json_schema"
    if not _SCHEMA_NAME.fullmatch(wanted.name):
        yield Violation(f"{field}.name", 'must be 1 to 64 letters, digits, "_" and "-"')
    if not _is_json_object(wanted.json_schema):
        yield Violation(f"{field}.json_schema", "must be a JSON object")


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        return False


def _refuse(constant: str) -> None:
    """Infinity and NaN, which JSON does not have; a provider would refuse the request."""
    raise ValueError(constant)
