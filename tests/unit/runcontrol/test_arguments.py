"""Arguments of a call: what the schema of its tool forbids reaches nobody, at a bounded cost."""

from __future__ import annotations

import json
from typing import Any
from urllib import request

import pytest

from services.content.model import Approval, EffectClass, ToolCall
from services.runcontrol.core.arguments import Budget, refusals, violations
from services.runcontrol.core.events import ToolCallPlanned, ToolCallSettled
from services.runcontrol.core.exchange import CallState
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.stepping import Infer
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, agent

TOO_COSTLY = ("they are too large or too deep to be checked: send less in one answer",)


def lookup(schema: object, approval: Approval = Approval.ALLOW) -> ToolSpec:
    text = json.dumps(schema) if schema else ""
    return ToolSpec("lookup", "", text, EffectClass.AT_MOST_ONCE, approval, None, "v1")


def found(schema: object, arguments: object, steps: int = 50_000) -> tuple[str, ...]:
    return violations(lookup(schema), json.dumps(arguments), Budget(steps))


def of(name: str, schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: schema}}


TEXT = {"type": "string"}
DRAFTS = [
    "http://json-schema.org/draft-04/schema#",
    "http://json-schema.org/draft-06/schema#",
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
    "https://example.com/unknown",
    7,
    None,
]


@pytest.mark.parametrize(
    ("schema", "arguments", "expected"),
    [
        (of("a", TEXT), {"a": 5}, "$.a: 5 is not of type 'string'"),
        ({"required": ["a"]}, {}, "$: 'a' is a required property"),
        (of("a", {"pattern": "^[a-z]+$"}), {"a": "A"}, "$.a: 'A' does not match '^[a-z]+$'"),
        (of("a", {"enum": ["x", "y"]}), {"a": "z"}, "$.a: 'z' is not one of ['x', 'y']"),
        (of("a", {"uniqueItems": True}), {"a": [{"b": 1}, {"b": 1}]}, "$.a: two of the items are"),
        ({"additionalProperties": False}, {"a": 1}, "$: 'a' is not a property that it has"),
        ({"additionalProperties": TEXT}, {"a": 1}, "$.a: 1 is not of type 'string'"),
        ({"patternProperties": {"^x": TEXT}}, {"x1": 1}, "$.x1: 1 is not of type 'string'"),
        (of("a", {"items": TEXT}), {"a": ["b", 2]}, "$.a[1]: 2 is not of type 'string'"),
        (of("a", {"anyOf": [TEXT, {"type": "null"}]}), {"a": 1}, "$.a: 1 is not valid under any"),
        ({"$defs": {"t": TEXT}, **of("a", {"$ref": "#/$defs/t"})}, {"a": 1}, "$.a: 1 is not of"),
        (of("a", {"minimum": 0.5}), {"a": 0.25}, "$.a: 0.25 is less than the minimum of 0.5"),
        ({"unevaluatedProperties": False}, {"a": 1}, "$: Unevaluated properties are not allowed"),
    ],
)
def test_what_violates_a_schema_is_named_with_its_place(
    schema: object, arguments: object, expected: str
) -> None:
    (violation,) = found(schema, arguments)
    assert violation.startswith(expected)


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        (None, {"a": 1}),
        ({}, {"a": 1}),
        (of("a", TEXT), {"a": "b", "more": 1}),
        (of("a", {"pattern": "^b"}), {"a": 1}),
        (of("a", {"uniqueItems": True}), {"a": [1, 2]}),
        (of("a", {"uniqueItems": False}), {"a": [1, 1]}),
        (of("a", {"uniqueItems": True}), {"a": "bb"}),
        (of("a", {"additionalProperties": False}), {"a": "text"}),
        (of("a", {"patternProperties": {"^x": TEXT}}), {"a": "text"}),
        (
            {"properties": {"a": {}}, "patternProperties": {"^x": {}}}
            | {"additionalProperties": False},
            {"a": 1, "x1": 2},
        ),
        ({"patternProperties": {"^x": TEXT}}, {"y": 1}),
        (of("a", {"enum": ["x"]}), {"a": "x"}),
        (of("a", {"format": "email"}), {"a": "not one"}),
    ],
)
def test_what_fits_a_schema_is_not_refused(schema: object, arguments: object) -> None:
    assert found(schema, arguments) == ()


@pytest.mark.parametrize("dialect", DRAFTS)
def test_a_schema_is_read_as_the_dialect_that_it_names(dialect: object) -> None:
    # given a schema of any dialect, or of one that nobody knows: the newest
    schema = of("a", {"type": "integer"}) | ({"$schema": dialect} if dialect else {})

    # when arguments violate it
    if dialect == 7:
        (violation,) = found(schema, {"a": "x"})
        # then a dialect that is no text makes it unusable, and any other finds what is wrong
        assert "cannot be used: it is no JSON schema" in violation
    else:
        assert found(schema, {"a": "x"}) == ("$.a: 'x' is not of type 'integer'",)


def test_an_older_dialect_keeps_its_rules() -> None:
    # In draft 7 an array under "items" names a schema for each place.
    schema = of("a", {"items": [TEXT, {"type": "integer"}]})
    named = schema | {"$schema": "http://json-schema.org/draft-07/schema#"}
    assert found(named, {"a": ["x", "y"]}) == ("$.a[1]: 'y' is not of type 'integer'",)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "strng"}, "it is no JSON schema: $.type: 'strng' is not valid under any of"),
        ({"required": True}, "it is no JSON schema: $.required: True is not of type 'array'"),
        (of("a", {"$ref": "#/$defs/none"}), "nothing is at /$defs/none"),
        (of("a", {"$ref": "https://example.com/s"}), "nothing is at https://ex"),
        (of("a", {"pattern": "(?!x)y"}), "pattern '(?!x)y' is not one of RE2: invalid perl op"),
        (of("a", {"pattern": r"(x)\1"}), "is not one of RE2: invalid escape sequence"),
        (
            {"patternProperties": {"a": {}}, "unevaluatedProperties": False},
            "it has patternProperties beside unevaluated",
        ),
    ],
)
def test_a_schema_that_cannot_be_evaluated_refuses_every_call(schema: object, why: str) -> None:
    for _ in range(2):  # the second time it is known
        (violation,) = found(schema, {"a": "x"})
        assert violation.startswith("the schema of lookup cannot be used: ")
        assert why in violation


def test_nothing_is_fetched_for_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a schema that refers to another one
    opened: list[object] = []
    monkeypatch.setattr(request, "urlopen", lambda *args, **_: opened.append(args))

    # when arguments are checked
    (violation,) = found(of("a", {"$ref": "https://example.com/other"}), {"a": 1})

    # then it is not looked for
    assert violation.endswith("nothing is at https://example.com/other")
    assert opened == []


def test_a_schema_as_deep_as_no_reader_follows_is_not_evaluated() -> None:
    # given a schema of 300 levels
    text = '{"not": ' * 300 + "{}" + "}" * 300
    deep = ToolSpec("lookup", "", text, EffectClass.PURE, Approval.ALLOW, None)

    # when arguments are checked
    (violation,) = violations(deep, "{}", Budget())

    # then it is refused for its depth
    assert violation == "the schema of lookup cannot be used: it is too large or too deep"


FORK = {
    "$defs": {
        "tree": {
            "anyOf": [
                {"required": ["end"], "properties": {"next": {"$ref": "#/$defs/tree"}}},
                {"properties": {"next": {"$ref": "#/$defs/tree"}}, "not": {}},
            ]
        }
    },
    "properties": {"next": {"$ref": "#/$defs/tree"}},
}


def chain(levels: int) -> dict[str, Any]:
    return {"next": chain(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        pytest.param(FORK, chain(60), id="branches that double with every level"),
        pytest.param({"$ref": "#"}, {}, id="a reference to itself"),
        pytest.param(of("a", {"items": TEXT}), {"a": ["b"] * 60_000}, id="many items"),
        pytest.param(of("a", {"uniqueItems": True}), {"a": [1] * 60_000}, id="many to compare"),
        pytest.param(
            of("a", {"items": {"enum": [str(i) for i in range(1_000)]}}),
            {"a": ["999"] * 101},
            id="many values for many items",
        ),
        pytest.param(
            of("a", {"items": {"pattern": "b"}}), {"a": ["a" * 2_560_000] * 11}, id="long texts"
        ),
        pytest.param(of("a", {"multipleOf": 0.1}), {"a": 10**400}, id="a number without a float"),
    ],
)
def test_a_check_ends_whatever_it_is_given(schema: object, arguments: object) -> None:
    assert found(schema, arguments) == TOO_COSTLY


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(a|aa)+$", "(.*a){20}$"])
def test_no_pattern_takes_more_than_a_pass_over_the_text(pattern: str) -> None:
    # A matcher that goes back would take longer than the machine lasts.
    (violation,) = found(of("a", {"pattern": pattern}), {"a": "a" * 5_000 + "b"})
    assert "does not match" in violation


def test_the_calls_of_an_answer_share_what_a_check_may_cost() -> None:
    # given a tool that takes lists, and an answer with two calls of half of what may be checked
    tools = agent(tools=(lookup(of("a", {"items": TEXT})),))
    half = json.dumps({"a": ["b"] * 30_000})
    calls = [ToolCall(f"m{i}", "lookup", half) for i in range(2)]

    # when both are checked
    first, second = refusals(calls, tools, 128)

    # then the second one is too much
    assert first == ""
    assert second.endswith(TOO_COSTLY[0])


def test_an_answer_has_a_limit_of_calls(system: InMemoryRunControl) -> None:
    # given a model that asks for one call more than the 128 that are allowed
    claimed, following = system.start(*[("pool_join", "{}")] * 129)

    # then the last one fails with the reason, before anything is known of it, and the run goes on
    calls = list(system.tables.calls.values())
    assert len(calls) == 129
    assert calls[127].result.startswith("bad arguments: pool_id is required")
    reason = "not made: an answer may ask for at most 128 calls; ask again for this one"
    assert (calls[128].state, calls[128].result) == (CallState.FAILED, reason)
    assert following == Infer(2)
    assert claimed.run.run_id == system.run().run_id


def test_many_and_long_violations_are_cut() -> None:
    # given arguments with twenty violations, each of 1,000 characters
    schema = {"additionalProperties": {"type": "integer"}}

    # when they are checked
    texts = found(schema, {f"p{i}": "x" * 1_000 for i in range(20)})

    # then the first sixteen are told, each cut, and that there are more
    assert len(texts) == 17
    assert texts[-1] == "and more"
    assert {len(text) for text in texts[:-1]} == {241}
    assert {text[-29:] for text in texts[:-1]} == {"xxx' is not of type 'integer'"}


def test_a_call_that_violates_its_schema_fails_before_anybody_sees_it() -> None:
    # given a tool that needs approval and takes a text
    schema = of("q", TEXT) | {"required": ["q", "n"]}
    system = InMemoryRunControl(agent(tools=(lookup(schema, Approval.ASK),)))
    now_served = system.store.tables.served
    system.store.tables.served = now_served | {("default", "lookup", "")}

    # when its model calls it with other arguments, with none that are an object, and another tool
    _, following = system.start(("lookup", '{"q": 5}'), ("lookup", "[]"), ("other", "{}"))

    # then each call has failed, all violations of one call are told, and no ticket was opened
    assert following == Infer(2)
    assert [c.state for c in system.tables.calls.values()] == [CallState.FAILED] * 3
    assert [c.result for c in system.tables.calls.values()] == [
        (
            "the arguments do not fit the tool: "
            "$.q: 5 is not of type 'string'; $: 'n' is a required property"
        ),
        "the arguments are not a JSON object",
        "there is no tool other",
    ]
    assert system.tables.tickets == {}
    kinds = [type(e.kind) for e in system.tables.events.values()]
    settled = [kind for kind in kinds if kind in (ToolCallPlanned, ToolCallSettled)]
    assert settled == [ToolCallPlanned] * 3 + [ToolCallSettled] * 3
