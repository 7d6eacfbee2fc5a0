"""The content model survives the wire, and bad content is reported whole."""

from __future__ import annotations

from enum import Enum

import pytest

from runyard.types.v1 import content_pb2 as pb
from services.chassis.protobuf.decoder import Decoder
from services.chassis.protobuf.enums import EnumTable
from services.content import convert, model

PARTS: list[model.Part] = [
    model.Text("héllo"),
    model.Image(url="https://example.com/a.png"),
    model.Image(data=b"\x89PNG", media_type="image/png"),
    model.ToolCall("c1", "search", '{"q": 1}'),
    model.ToolResult("c1", "nothing found", is_error=True),
    model.Reasoning("because", "anthropic", b"\x00sig"),
]


SPOKEN = (model.Role.SYSTEM, model.Role.USER, model.Role.ASSISTANT)
ROLES: dict[type[model.Part], tuple[model.Role, ...]] = {
    model.Text: SPOKEN,
    model.Image: SPOKEN,
    model.ToolCall: (model.Role.ASSISTANT,),
    model.ToolResult: (model.Role.TOOL,),
    model.Reasoning: (model.Role.ASSISTANT,),
}
EVERYWHERE = [(role, part) for part in PARTS for role in model.Role]


def named(value: object) -> str:
    return value.value if isinstance(value, model.Role) else type(value).__name__


@pytest.mark.parametrize(
    ("role", "part"), [each for each in EVERYWHERE if each[0] in ROLES[type(each[1])]], ids=named
)
def test_every_part_survives_the_wire_in_every_role_it_may_have(
    role: model.Role, part: model.Part
) -> None:
    # given a message
    message = model.Message(role, (part,))

    # when it is encoded, serialised, parsed and decoded
    wire = convert.message_to_pb(message).SerializeToString()
    decoder = Decoder()
    decoded = convert.message_from_pb(pb.Message.FromString(wire), "m", decoder)

    # then nothing changed
    assert decoded == message
    assert decoder.found == []


@pytest.mark.parametrize(
    ("role", "part"),
    [each for each in EVERYWHERE if each[0] not in ROLES[type(each[1])]],
    ids=named,
)
def test_a_part_that_no_provider_would_see_is_refused(role: model.Role, part: model.Part) -> None:
    # given a part in a message of a role it does not belong to
    wire = convert.message_to_pb(model.Message(role, (part,)))

    # when
    decoder = Decoder()
    decoded = convert.message_from_pb(wire, "m", decoder)

    # then
    assert decoded is None
    (violation,) = decoder.found
    assert violation.field == f"m.parts[0].{wire.parts[0].WhichOneof('part')}"
    assert violation.description.endswith(f"not {role.value}")


def test_every_kind_of_part_has_its_roles() -> None:
    assert set(convert.ROLES_OF_PART) == {field.name for field in pb.Part.DESCRIPTOR.fields}


def test_every_mistake_of_every_message_is_reported_with_its_path() -> None:
    # given four messages, three of them wrong in different ways
    messages = [
        pb.Message(role=pb.MESSAGE_ROLE_USER, parts=[pb.Part(text=pb.Text(text="ok"))]),
        pb.Message(role=99),  # type: ignore[arg-type]  # an enum number of the future
        pb.Message(role=pb.MESSAGE_ROLE_USER, parts=[pb.Part(), pb.Part(image=pb.Image())]),
        pb.Message(
            role=pb.MESSAGE_ROLE_USER,
            parts=[
                pb.Part(image=pb.Image(data=b"x")),
                pb.Part(image=pb.Image(data=b"x" * ((1 << 20) + 1), media_type="image/png")),
            ],
        ),
    ]

    # when they are decoded
    decoder = Decoder()
    decoded = convert.messages_from_pb(messages, "messages", decoder)

    # then the good one is there and each mistake names its field
    assert [message.text for message in decoded] == ["ok"]
    assert [violation.field for violation in decoder.found] == [
        "messages[1].role",
        "messages[1].parts",
        "messages[2].parts[0]",
        "messages[2].parts[1].image",
        "messages[3].parts[0].image.media_type",
        "messages[3].parts[1].image.data",
    ]


@pytest.mark.parametrize(
    ("enum", "table", "values"),
    [
        (model.Role, convert.ROLES, pb.MessageRole.values()),
        (model.FinishReason, convert.FINISH_REASONS, pb.FinishReason.values()),
        (model.UsageSource, convert.USAGE_SOURCES, pb.UsageSource.values()),
        (model.EffectClass, convert.EFFECT_CLASSES, pb.EffectClass.values()),
        (model.Approval, convert.APPROVALS, pb.Approval.values()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_enum_value_converts_both_ways(
    enum: type[Enum], table: EnumTable[Enum], values: list[int]
) -> None:
    # given the numbers of the contract without the unspecified one
    numbers = set(values) - {0}

    # then each decodes to its own member, and every member is reached
    assert set(table.from_pb) == numbers
    assert set(table.from_pb.values()) == set(enum) == set(table.to_pb)


def test_usage_adds_up_and_one_estimate_makes_the_sum_an_estimate() -> None:
    # given a counted and an estimated call
    counted = model.Usage(10, 5, 4, 3, 2, model.UsageSource.PROVIDER)
    estimated = model.Usage(1, 1, 1, 1, 1, model.UsageSource.ESTIMATED)

    # when they are added
    total = counted.plus(estimated)

    # then the numbers add and the source is the weaker one, over the wire too
    assert total == model.Usage(11, 6, 5, 4, 3, model.UsageSource.ESTIMATED)
    assert convert.usage_from_pb(convert.usage_to_pb(total)) == total
    assert counted.plus(counted).source is model.UsageSource.PROVIDER


@pytest.mark.parametrize(
    ("sent", "cost", "currency"),
    [("0.00215", "0.00215", "USD"), ("12", "12", "USD"), ("1e3", "", ""), ("-1", "", "")],
)
def test_a_cost_survives_the_wire_and_what_is_none_does_not(
    sent: str, cost: str, currency: str
) -> None:
    found = convert.usage_from_pb(pb.Usage(input_tokens=1, cost=sent, currency="USD"))

    assert (found.cost, found.currency) == (cost, currency)
    assert convert.usage_from_pb(convert.usage_to_pb(found)) == found


def test_tool_definitions_survive_the_wire() -> None:
    # given a definition
    tool = model.ToolDefinition("search", "finds things", '{"type": "object"}')

    # then it converts both ways
    assert convert.tool_definition_from_pb(convert.tool_definition_to_pb(tool)) == tool


def test_a_message_offers_its_text_and_its_calls() -> None:
    # given text, a call and text again
    call = model.ToolCall("c1", "search", "{}")
    message = model.Message(model.Role.ASSISTANT, (model.Text("a"), call, model.Text("b")))

    # then both views leave the rest out
    assert message.text == "ab"
    assert message.tool_calls == (call,)


def test_approvals_are_ordered_from_lax_to_strict() -> None:
    # when the strictest of allow and ask is taken
    allow, ask = model.Approval.ALLOW, model.Approval.ASK
    strictest = max([allow, ask], key=lambda approval: approval.strictness)

    # then asking wins, and denial beats both
    assert strictest is ask
    assert model.Approval.DENY.strictness > ask.strictness
