"""Calls of built-in tools: the commands they become, and the arguments that are refused."""

from __future__ import annotations

import json

import pytest

from services.runcontrol.core.builtin_tools import DEFINITIONS
from services.runcontrol.core.commands import (
    AckCommand,
    Command,
    JoinCommand,
    SuspendCommand,
    decode_command,
    encode_command,
)
from services.runcontrol.core.exchange import CallState
from services.runcontrol.core.model import RunState
from services.runcontrol.core.specs import Builtin
from tests.unit.runcontrol.in_memory_runcontrol import JOINED, InMemoryRunControl

_NO_TEXTS = "correlation must be an object whose values are strings"
WRONG_CORRELATIONS: list[tuple[object, str]] = [
    ("order", _NO_TEXTS),
    ({"order": 7}, _NO_TEXTS),
    ({str(n): "" for n in range(17)}, "correlation must have at most 16 entries"),
]
ONE_ADDRESS = "to must have exactly one of agent_id, run_id, topic"


@pytest.mark.parametrize(
    ("tool_id", "arguments", "text"),
    [
        ("pool_send", {"body": "x", "colour": "red"}, "unknown argument colour"),
        ("pool_send", {}, "body is required"),
        ("pool_send", {"body": "x" * 65_537}, "body is larger than 65536 bytes"),
        ("pool_send", {"body": "x", "pool_id": 3}, "pool_id must be a string"),
        ("pool_send", {"body": "x", "to": {"agent_id": "a", "run_id": "b"}}, ONE_ADDRESS),
        ("pool_send", {"body": "x", "to": {"planet": "a"}}, ONE_ADDRESS),
        ("pool_send", {"body": "x", "to": "a"}, ONE_ADDRESS),
        ("pool_send", {"body": "x", "to": {"topic": ""}}, "topic is required"),
        ("pool_join", {}, "pool_id is required"),
        ("pool_join", {"pool_id": "p", "topics": "t"}, "topics must be an array of strings"),
        ("pool_join", {"pool_id": "p", "topics": [1]}, "topics must be an array of strings"),
        ("pool_respond", {"body": "x"}, "message_id is required"),
        ("pool_wait", {"timeout_s": "1"}, "timeout_s must be a number of seconds"),
        ("pool_wait", {"timeout_s": True}, "timeout_s must be a number of seconds"),
        ("pool_wait", {"timeout_s": 0}, "timeout_s must be more than 0 and at most 2592000"),
        ("pool_wait", {"kinds": "member.joined"}, "kinds must be an array of strings"),
        ("pool_wait", {"kinds": ["k"] * 65}, "kinds must have at most 64 entries"),
        ("pool_wait", {"from_agent_id": 3}, "from_agent_id must be a string"),
        ("pool_wait", {"count": 0}, "count must be a whole number from 1 to 64"),
        ("pool_wait", {"count": 65}, "count must be a whole number from 1 to 64"),
        ("pool_wait", {"count": True}, "count must be a whole number from 1 to 64"),
        ("pool_check", {"max_messages": 65}, "max_messages must be a whole number from 1 to 64"),
        ("pool_check", {"max_messages": 1.5}, "max_messages must be a whole number from 1 to 64"),
        *(
            (tool_id, {"body": "x", "correlation": wrong}, reason)
            if tool_id == "pool_send"
            else (tool_id, {"correlation": wrong}, reason)
            for tool_id in ("pool_send", "pool_wait")
            for wrong, reason in WRONG_CORRELATIONS
        ),
        ("ask_human", {"question": 3}, "question must be a string"),
    ],
)
def test_wrong_arguments_fail_the_call_with_the_reason(
    system: InMemoryRunControl, tool_id: str, arguments: dict[str, object], text: str
) -> None:
    # given a run in a pool
    # when its model calls a tool with wrong arguments
    system.in_pool((tool_id, json.dumps(arguments)))

    # then the call has failed with the reason, and nothing was sent
    assert system.call().state is CallState.FAILED
    assert system.call().result == f"bad arguments: {text}"


@pytest.mark.parametrize(
    "arguments",
    ['{"body": "half of \\ud83d"}', '{"body": ' + "[" * 100_000 + "]" * 100_000 + "}", "[]", "{"],
)
def test_arguments_that_cannot_be_encoded_fail_the_call_and_not_the_run(
    system: InMemoryRunControl, arguments: str
) -> None:
    # given a run in a pool
    # when its model calls a tool with arguments that are no encodable object
    system.in_pool(("pool_send", arguments))

    # then the model reads the reason in the next step
    assert system.call().result == "the arguments are not a JSON object"
    assert (system.run().state, system.run().step) == (RunState.RUNNING, 2)


def test_a_run_in_several_pools_has_to_name_the_pool(system: InMemoryRunControl) -> None:
    # given a run in two pools
    system.in_pool(("pool_join", '{"pool_id": "other"}'))
    system.settle(system.command(), JOINED)

    # when it sends without naming a pool
    system.execute(("pool_send", '{"body": "hi"}'))

    # then the call fails
    reason = "pool_id is required: the run has joined several pools"
    assert system.call().result == f"bad arguments: {reason}"


@pytest.mark.parametrize("to", ["agent_id", "run_id", "topic"])
def test_a_message_is_sent_to_the_named_address(system: InMemoryRunControl, to: str) -> None:
    # given a run in a pool
    # when it sends to an address
    system.in_pool(("pool_send", json.dumps({"body": "hi", "to": {to: "x"}})))

    # then only that address is set
    command = system.command()
    addresses = {n: getattr(command, f"to_{n}") for n in ("agent_id", "run_id", "topic")}
    assert {name for name, value in addresses.items() if value} == {to}


def test_every_served_tool_has_a_schema() -> None:
    # given the definitions
    # when their schemas are read
    schemas = {b: json.loads(d.json_schema) for b, d in DEFINITIONS.items()}

    # then every served tool has one, whose required properties exist
    assert set(schemas) == set(Builtin)
    for builtin, schema in schemas.items():
        assert DEFINITIONS[builtin].description
        assert set(schema["required"]) <= set(schema["properties"])
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "command",
    [
        JoinCommand("default", "me", "r", "r.0.0", "p", "helper", ("a", "b")),
        AckCommand("default", "me", "r", "", "p", "m", "token"),
        SuspendCommand(
            *("default", "me", "r", "c", "p", "c"),
            kinds=("member.*",),
            correlation=(("order", "7"), ("shop", "north")),
        ),
    ],
)
def test_commands_are_decoded_as_they_were_encoded(command: Command) -> None:
    # given a command
    payload = encode_command(command)

    # when it is encoded and decoded
    # then it is the same
    assert decode_command(command.kind, payload) == command


def test_requiring_an_unknown_tool_raises(system: InMemoryRunControl) -> None:
    # given specifications without that tool
    specs = system.claim_new().specs
    assert specs is not None

    # when it is required
    # then that raises
    with pytest.raises(LookupError):
        specs.require("other")
