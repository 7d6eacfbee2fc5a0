"""Functions as tools: their schemas, their arguments, their results."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from pydantic import Field

from runyard_worker.channel import metadata, target_of
from runyard_worker.errors import ToolError
from runyard_worker.tools import Context, result_text, tool_of
from runyard_worker.worker import Worker
from services.cli.manifests.resources import load


class Quiet:
    """Takes what a call says of itself, and forgets it."""

    cancelled = False

    def progress(self, note: str) -> None:
        pass


CONTEXT = Context("c", 1, "c", "r", "t", "a", "p", None, "", Quiet())


def refund(
    order: int,
    context: Context,
    reason: Annotated[str, Field(description="for the customer")] = "none",
) -> str:
    """Pays the price of an order back."""
    return f"{order} {reason} {context.call_id}"


def test_a_function_is_described_by_its_types_and_its_docstring() -> None:
    tool = tool_of(refund)
    assert (tool.tool_id, tool.description) == ("refund", "Pays the price of an order back.")
    assert tool.json_schema == {
        "type": "object",
        "properties": {
            "order": {"type": "integer"},
            "reason": {"type": "string", "default": "none", "description": "for the customer"},
        },
        "required": ["order"],
        "additionalProperties": False,
    }


def test_a_function_gets_its_arguments_by_name_and_the_context_by_its_type() -> None:
    tool = tool_of(refund)
    assert tool.bound('{"order": 7, "reason": "broken"}', CONTEXT)() == "7 broken c"
    assert tool.bound('{"order": 7}', CONTEXT)() == "7 none c"


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ("", "order"),
        ('{"order": "x"}', "order"),
        ('{"order": 1, "colour": 2}', "colour"),
        ("[]", "arguments"),
        ("{", "arguments"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: str, place: str) -> None:
    with pytest.raises(ToolError, match=f"^{place}: ") as error:
        tool_of(refund).bound(arguments, CONTEXT)
    assert error.value.code == "INVALID_ARGUMENTS"


def untyped(order) -> str:  # type: ignore[no-untyped-def]
    return str(order)


def by_place(order: int, /) -> str:
    return str(order)


@pytest.mark.parametrize("function", [untyped, by_place])
def test_a_function_that_cannot_be_a_tool_is_refused_when_it_is_declared(function: Any) -> None:
    with pytest.raises(TypeError, match="order"):
        tool_of(function)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ("as it is", "as it is"), ({"a": [1, 2.5]}, '{"a":[1,2.5]}'), (True, "true")],
)
def test_a_value_becomes_what_the_model_reads(value: object, text: str) -> None:
    assert result_text(value) == text


def test_a_manifest_is_what_the_registry_takes() -> None:
    worker = Worker("desk", target="127.0.0.1:1")
    worker.tool(effect="idempotent", label="eu", timeout_s=5.0)(refund)
    worker.tool(name="again")(refund)
    found = load([("worker", worker.manifests())])
    assert found.problems == []
    first, second = (each.tool for each in found.resources)
    assert (first.id, second.id, first.worker.label) == ("refund", "again", "eu")
    assert first.timeout.seconds == 5
    assert json.loads(first.json_schema) == worker.tools["refund"].json_schema
    with pytest.raises(ValueError, match="two tools refund"):
        worker.tool()(refund)


@pytest.mark.parametrize(
    ("endpoints", "target"),
    [
        ("", "127.0.0.1:7403"),
        ("router=a:1", "127.0.0.1:7403"),
        ("router=a:1, runcontrol=b:2", "b:2"),
    ],
)
def test_run_control_is_found_as_by_the_command(endpoints: str, target: str) -> None:
    assert target_of({"RUNYARD_ENDPOINTS": endpoints}) == target


@pytest.mark.parametrize(
    ("target", "more", "sent"),
    [
        ("127.0.0.1:1", {}, True),
        ("[::1]:1", {}, True),
        ("localhost:1", {}, True),
        ("unix:/run/x", {}, True),
        ("elsewhere:1", {}, False),
        ("10.0.0.1:1", {}, False),
        ("elsewhere:1", {"RUNYARD_CA_FILE": "ca"}, True),
        ("elsewhere:1", {"RUNYARD_INSECURE": "true"}, True),
    ],
)
def test_a_token_does_not_travel_in_the_open(
    target: str, more: dict[str, str], *, sent: bool
) -> None:
    environment = {"RUNYARD_TOKEN": "word", **more}
    assert metadata(target, {}) == ()
    if sent:
        assert metadata(target, environment) == (("authorization", "Bearer word"),)
        return
    with pytest.raises(ValueError, match="unencrypted"):
        metadata(target, environment)


def test_the_command_line_prints_the_tools(capsys: pytest.CaptureFixture[str]) -> None:
    worker = Worker("desk", target="127.0.0.1:1")
    worker.tool()(refund)
    worker.main(["manifest"])
    assert '"id": "refund"' in capsys.readouterr().out
    with pytest.raises(SystemExit, match="usage"):
        worker.main(["serve"])
