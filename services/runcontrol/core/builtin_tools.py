"""The built-in tools: their descriptions and schemas, and the commands that their calls become."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.runcontrol.core.commands import (
    CheckCommand,
    JoinCommand,
    PoolCommand,
    RespondCommand,
    SendCommand,
    SuspendCommand,
)
from services.runcontrol.core.exchange import Call
from services.runcontrol.core.limits import (
    MAX_BODY_BYTES,
    MAX_CHECKED_MESSAGES,
    MAX_CORRELATION,
    MAX_TOPICS,
    MAX_WAIT_EVENTS,
    MAX_WAIT_KINDS,
    MAX_WAIT_S,
)
from services.runcontrol.core.specs import Builtin
from services.runcontrol.core.work import Work

_POOL = {
    "type": "string",
    "description": "The pool; may be left out when the run joined exactly one.",
}
_BODY = {"description": "What to say: text, or any JSON value."}
_CORRELATION = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "maxProperties": MAX_CORRELATION,
}


@dataclass(frozen=True, slots=True)
class Definition:
    """The description of a tool for models; ``properties`` are those of its JSON schema."""

    description: str
    properties: Mapping[str, object]
    required: tuple[str, ...] = ()

    @property
    def json_schema(self) -> str:
        return json.dumps(
            {
                "type": "object",
                "properties": self.properties,
                "required": list(self.required),
                "additionalProperties": False,
            }
        )


DEFINITIONS: Mapping[Builtin, Definition] = {
    Builtin.POOL_JOIN: Definition(
        "Join a pool, so that other agents in it can reach you.",
        {
            "pool_id": {"type": "string", "description": "The pool to join."},
            "topics": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_TOPICS},
        },
        ("pool_id",),
    ),
    Builtin.POOL_SEND: Definition(
        "Send a message to members of a pool: to an agent, a run, a topic or everybody. "
        "Answers with the receipt; its message_id can be given to pool_wait as reply_to.",
        {
            "pool_id": _POOL,
            "to": {
                "type": "object",
                "description": "Exactly one of agent_id, run_id, topic; left out = everybody.",
                "properties": {
                    "agent_id": {"type": "string"},
                    "run_id": {"type": "string"},
                    "topic": {"type": "string"},
                },
                "additionalProperties": False,
            },
            "body": _BODY,
            "correlation": {
                **_CORRELATION,
                "description": "Keys and values that answers carry too; pool_wait finds them.",
            },
        },
        ("body",),
    ),
    Builtin.POOL_CHECK: Definition(
        "Look for messages to you in a pool without waiting. The messages follow the result.",
        {
            "pool_id": _POOL,
            "max_messages": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_CHECKED_MESSAGES,
                "description": "Take at most so many, the oldest first; left out = 16.",
            },
        },
    ),
    Builtin.POOL_RESPOND: Definition(
        "Answer a message of a pool; the answer goes to whoever sent it.",
        {
            "pool_id": _POOL,
            "message_id": {"type": "string", "description": "The message that is answered."},
            "body": _BODY,
        },
        ("message_id", "body"),
    ),
    Builtin.POOL_WAIT: Definition(
        "Wait until a message for you arrives in a pool, or until something else happens there. "
        "What is given has to fit together. The messages follow the result.",
        {
            "pool_id": _POOL,
            "kinds": {
                "type": "array",
                "items": {"type": "string"},
                "maxItems": MAX_WAIT_KINDS,
                "description": "Other events than messages to you: member.joined, member.left, "
                "message.responded, or a family, member.*",
            },
            "from_agent_id": {"type": "string", "description": "Only what this agent causes."},
            "from_run_id": {"type": "string", "description": "Only what this run causes."},
            "topic": {"type": "string", "description": "Only messages to this topic."},
            "correlation": {
                **_CORRELATION,
                "description": "Only what carries one of these keys with its value.",
            },
            "count": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_WAIT_EVENTS,
                "description": "Wait for so many; left out = 1.",
            },
            "reply_to": {
                "type": "string",
                "description": "Only answers to this message of yours; left out = any message.",
            },
            "timeout_s": {
                "type": "number",
                "exclusiveMinimum": 0,
                "description": "Give up after this many seconds; left out = never.",
            },
        },
    ),
    Builtin.ASK_HUMAN: Definition(
        "Ask a person a question and wait for the answer.",
        {"question": {"type": "string", "description": "The question."}},
        ("question",),
    ),
    Builtin.START_RUN: Definition(
        "Start a run of another agent, and wait for its answer. It has a conversation of its own, "
        "and ends at the latest when this run would.",
        {
            "agent_id": {"type": "string", "description": "The agent to start."},
            "input": {"description": "What to say to it: text, or any JSON value."},
            "wait": {
                "type": "boolean",
                "description": "false = go on at once; the answer is not told. Left out = wait.",
            },
            "pool_id": {
                "type": "string",
                "description": "A pool that it joins before its first step; left out = none.",
            },
        },
        ("agent_id", "input"),
    ),
}


class BadArgumentsError(Exception):
    """The arguments of a call are not usable; the text becomes the call's result."""


def arguments_of(builtin: Builtin, call: Call) -> dict[str, Any]:
    """The arguments of a call, all of which the tool knows.

    Raises:
        BadArgumentsError: One is unknown.
    """
    arguments: dict[str, Any] = json.loads(call.arguments_json or "{}")
    unknown = sorted(arguments.keys() - DEFINITIONS[builtin].properties.keys())
    if unknown:
        raise BadArgumentsError(f"unknown argument {unknown[0]}")
    return arguments


def pool_command(builtin: Builtin, call: Call, work: Work) -> PoolCommand:
    """The command that a call of a pool tool sends to the pool.

    Raises:
        BadArgumentsError: The arguments do not match the schema, or their pool is not one of the
            run's.
    """
    arguments = arguments_of(builtin, call)
    base = _base(call, work, _pool_id(arguments, work))
    return _COMMANDS[builtin](base, arguments, call, work)


def _base(call: Call, work: Work, pool_id: str) -> dict[str, str]:
    return {
        "tenant": call.tenant,
        "principal": work.run.principal,
        "run_id": call.run_id,
        "call_id": call.call_id,
        "pool_id": pool_id,
    }


def _join(base: dict[str, str], arguments: dict[str, Any], call: Call, work: Work) -> PoolCommand:
    if "pool_id" not in arguments:
        raise BadArgumentsError("pool_id is required")
    topics = _texts(arguments, "topics", MAX_TOPICS)
    return JoinCommand(**base, agent_id=work.run.agent_id, topics=topics)


def _send(base: dict[str, str], arguments: dict[str, Any], call: Call, work: Work) -> PoolCommand:
    to = arguments.get("to", {})
    known = {"agent_id", "run_id", "topic"}
    if not isinstance(to, dict) or len(to) > 1 or not to.keys() <= known:
        raise BadArgumentsError("to must have exactly one of agent_id, run_id, topic")
    body, media_type = _body(arguments)
    target = {f"to_{name}": text_of(to, name, required=True) for name in to}
    correlation = _correlation(arguments)
    return SendCommand(**base, body=body, media_type=media_type, correlation=correlation, **target)


def _respond(
    base: dict[str, str], arguments: dict[str, Any], call: Call, work: Work
) -> PoolCommand:
    body, media_type = _body(arguments)
    message_id = text_of(arguments, "message_id", required=True)
    return RespondCommand(**base, message_id=message_id, body=body, media_type=media_type)


def _check(base: dict[str, str], arguments: dict[str, Any], call: Call, work: Work) -> PoolCommand:
    limit = _count(arguments, "max_messages", 16, MAX_CHECKED_MESSAGES)
    return CheckCommand(**base, max_messages=limit)


def _wait(base: dict[str, str], arguments: dict[str, Any], call: Call, work: Work) -> PoolCommand:
    membership = work.membership(base["pool_id"])
    after = membership.cursor if membership else ""
    return _wait_after(base, arguments, condition_id(call), after)


def _wait_after(
    base: dict[str, str], arguments: dict[str, Any], condition: str, after: str
) -> SuspendCommand:
    timeout_s = arguments.get("timeout_s", 0)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float):
        raise BadArgumentsError("timeout_s must be a number of seconds")
    if "timeout_s" in arguments and not 0 < timeout_s <= MAX_WAIT_S:
        raise BadArgumentsError(f"timeout_s must be more than 0 and at most {MAX_WAIT_S:.0f}")
    return SuspendCommand(
        **base,
        condition_id=condition,
        timeout_s=float(timeout_s),
        after=after,
        kinds=_texts(arguments, "kinds", MAX_WAIT_KINDS),
        correlation=_correlation(arguments),
        count=_count(arguments, "count", 1, MAX_WAIT_EVENTS),
        **{name: text_of(arguments, name) for name in _NARROWING},
    )


_NARROWING = ("reply_to", "from_run_id", "from_agent_id", "topic")


def wait_again(call: Call, work: Work, pool_id: str, after: str) -> SuspendCommand:
    """The command that registers the wait of ``call``, which was sent before, once more."""
    base = _base(call, work, pool_id)
    return _wait_after(base, json.loads(call.arguments_json or "{}"), condition_id(call), after)


_Maker = Callable[[dict[str, str], dict[str, Any], Call, Work], PoolCommand]
_COMMANDS: Mapping[Builtin, _Maker] = {
    Builtin.POOL_JOIN: _join,
    Builtin.POOL_SEND: _send,
    Builtin.POOL_CHECK: _check,
    Builtin.POOL_RESPOND: _respond,
    Builtin.POOL_WAIT: _wait,
}


def condition_id(call: Call) -> str:
    """The id under which a call registers its wait; it differs for each registration."""
    return call.call_id if call.generation == 0 else f"{call.call_id}.{call.generation}"


def question(call: Call) -> str:
    """The question of a call of ``ask_human``.

    Raises:
        BadArgumentsError: The arguments have no question.
    """
    return text_of(json.loads(call.arguments_json or "{}"), "question", required=True)


def _pool_id(arguments: dict[str, Any], work: Work) -> str:
    if named := text_of(arguments, "pool_id"):
        return named
    joined = {membership.pool_id for membership in work.memberships}
    if len(joined) != 1:
        raise BadArgumentsError(
            "pool_id is required: the run has joined " + ("several pools" if joined else "no pool")
        )
    return joined.pop()


def text_of(arguments: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """A text of the arguments, "" when it is left out.

    Raises:
        BadArgumentsError: It is no text, or required and empty.
    """
    value = arguments.get(name, "")
    if not isinstance(value, str):
        raise BadArgumentsError(f"{name} must be a string")
    if required and not value:
        raise BadArgumentsError(f"{name} is required")
    return value


def _texts(arguments: Mapping[str, Any], name: str, limit: int) -> tuple[str, ...]:
    value = arguments.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadArgumentsError(f"{name} must be an array of strings")
    if len(value) > limit:
        raise BadArgumentsError(f"{name} must have at most {limit} entries")
    return tuple(value)


def _count(arguments: Mapping[str, Any], name: str, default: int, limit: int) -> int:
    value = arguments.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
        raise BadArgumentsError(f"{name} must be a whole number from 1 to {limit}")
    return value


def _correlation(arguments: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    value = arguments.get("correlation", {})
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise BadArgumentsError("correlation must be an object whose values are strings")
    if len(value) > MAX_CORRELATION:
        raise BadArgumentsError(f"correlation must have at most {MAX_CORRELATION} entries")
    return tuple(value.items())


def _body(arguments: Mapping[str, Any]) -> tuple[str, str]:
    """The body as text, and its media type."""
    if "body" not in arguments:
        raise BadArgumentsError("body is required")
    value = arguments["body"]
    plain = isinstance(value, str)
    body = value if plain else json.dumps(value, ensure_ascii=False)
    if len(body.encode()) > MAX_BODY_BYTES:
        raise BadArgumentsError(f"body is larger than {MAX_BODY_BYTES} bytes")
    return body, "text/plain" if plain else "application/json"
