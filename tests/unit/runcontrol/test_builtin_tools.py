"""What calls of built-in tools mean, and which are not meant."""

from __future__ import annotations

import json

import pytest

from services.runcontrol.core.builtin_tools import DEFINITIONS
from services.runcontrol.core.commands import (
    AckCommand,
    JoinCommand,
    decode_command,
    encode_command,
)
from services.runcontrol.core.exchange import CallState
from services.runcontrol.core.model import RunState
from services.runcontrol.core.specs import Builtin
from tests.unit.runcontrol.world import World


@pytest.mark.parametrize(
    ("tool_id", "arguments", "text"),
    [
        ("pool_send", {"body": "x", "colour": "red"}, "unknown argument colour"),
        ("pool_send", {}, "body is required"),
        ("pool_send", {"body": "x" * 65_537}, "body is larger than 65536 bytes"),
        ("pool_send", {"body": "x", "pool_id": 3}, "pool_id must be a string"),
        (
            "pool_send",
            {"body": "x", "to": {"agent_id": "a", "run_id": "b"}},
            "to must have exactly one of agent_id, run_id, topic",
        ),
        (
            "pool_send",
            {"body": "x", "to": {"planet": "a"}},
            "to must have exactly one of agent_id, run_id, topic",
        ),
        (
            "pool_send",
            {"body": "x", "to": "a"},
            "to must have exactly one of agent_id, run_id, topic",
        ),
        ("pool_send", {"body": "x", "to": {"topic": ""}}, "topic is required"),
        ("pool_join", {}, "pool_id is required"),
        ("pool_join", {"pool_id": "p", "topics": "t"}, "topics must be an array of strings"),
        ("pool_join", {"pool_id": "p", "topics": [1]}, "topics must be an array of strings"),
        ("pool_respond", {"body": "x"}, "message_id is required"),
        ("pool_wait", {"timeout_s": "1"}, "timeout_s must be a number of seconds"),
        ("pool_wait", {"timeout_s": True}, "timeout_s must be a number of seconds"),
        ("pool_wait", {"timeout_s": 0}, "timeout_s must be more than 0 and at most 2592000"),
        ("ask_human", {"question": 3}, "question must be a string"),
    ],
)
def test_arguments_that_do_not_fit_are_explained_to_the_model(
    tool_id: str, arguments: dict[str, object], text: str
) -> None:
    # given a run in a pool
    world = World()

    # when its model calls a tool with arguments that do not fit
    world.in_pool((tool_id, json.dumps(arguments)))

    # then the call has failed with the reason, and nothing left
    assert (world.call().state, world.call().result) == (
        CallState.FAILED,
        f"bad arguments: {text}",
    )


@pytest.mark.parametrize(
    "arguments",
    ['{"body": "half of \\ud83d"}', '{"body": ' + "[" * 100_000 + "]" * 100_000 + "}", "[]", "{"],
)
def test_arguments_that_nobody_can_carry_fail_their_call_and_not_the_run(arguments: str) -> None:
    # given a run in a pool
    world = World()

    # when its model calls a tool with what is no object that could be passed on
    world.in_pool(("pool_send", arguments))

    # then the model reads why, in the step that follows
    assert world.call().result == "the arguments are not a JSON object"
    assert (world.run().state, world.run().step) == (RunState.RUNNING, 2)


def test_with_several_pools_the_pool_has_to_be_named() -> None:
    # given a run in two pools
    world = World()
    world.in_pool(("pool_join", '{"pool_id": "other"}'))
    world.settle(world.command(), world.joined())
    claimed = world.claim_one()
    world.advance(claimed)

    # when it sends without naming one
    world.answer(claimed, ("pool_send", '{"body": "hi"}'))

    # then it cannot be guessed
    assert world.call().result == (
        "bad arguments: pool_id is required: the run has joined several pools"
    )


@pytest.mark.parametrize("to", ["agent_id", "run_id", "topic"])
def test_a_message_goes_to_whom_it_names(to: str) -> None:
    # given a run in a pool
    world = World()

    # when it sends to somebody
    world.in_pool(("pool_send", json.dumps({"body": "hi", "to": {to: "x"}})))

    # then only that address is set
    command = world.command()
    addresses = {n: getattr(command, f"to_{n}") for n in ("agent_id", "run_id", "topic")}
    assert {name for name, value in addresses.items() if value} == {to}


def test_every_tool_that_is_served_says_how_it_is_used() -> None:
    # given the definitions
    # when their schemas are read
    schemas = {b: json.loads(d.json_schema) for b, d in DEFINITIONS.items()}

    # then every served tool has one, and requires only what it has
    assert set(schemas) == set(Builtin) - {Builtin.POOL_CHECK}
    for builtin, schema in schemas.items():
        assert DEFINITIONS[builtin].description
        assert set(schema["required"]) <= set(schema["properties"])
        assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "command",
    [
        JoinCommand("default", "me", "r", "r.0.0", "p", "helper", ("a", "b")),
        AckCommand("default", "me", "r", "", "p", "m", "token"),
    ],
)
def test_commands_survive_the_outbox(command: JoinCommand | AckCommand) -> None:
    # given a command as it is put into the outbox
    payload = encode_command(command)

    # when it is taken out again
    # then it is the same
    assert decode_command(command.kind, payload) == command


def test_a_tool_that_is_not_pinned_is_a_defect() -> None:
    # given specifications without that tool
    world = World()
    world.submit()
    specs = world.claim_one().specs
    assert specs is not None

    # when it is required
    # then that is said, never guessed
    with pytest.raises(LookupError):
        specs.require("other")
