"""The content model survives the wire, and bad content is reported whole."""

from __future__ import annotations

import pytest

from runyard.types.v1 import content_pb2 as pb
from services.chassis.errors import Violation
from services.content import convert
from services.content.model import (
    Approval,
    EffectClass,
    FinishReason,
    Image,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
    UsageSource,
)

PARTS: list[Part] = [
    Text("héllo"),
    Image(url="https://example.com/a.png"),
    Image(data=b"\x89PNG", media_type="image/png"),
    ToolCall("c1", "search", '{"q": 1}'),
    ToolResult("c1", "nothing found", is_error=True),
    Reasoning("because", "anthropic", b"\x00sig"),
]


SPOKEN = (Role.SYSTEM, Role.USER, Role.ASSISTANT)
ROLES: dict[type[Part], tuple[Role, ...]] = {
    Text: SPOKEN,
    Image: SPOKEN,
    ToolCall: (Role.ASSISTANT,),
    ToolResult: (Role.TOOL,),
    Reasoning: (Role.ASSISTANT,),
}
EVERYWHERE = [(role, part) for part in PARTS for role in Role]


def named(value: object) -> str:
    return value.value if isinstance(value, Role) else type(value).__name__


@pytest.mark.parametrize(
    ("role", "part"), [each for each in EVERYWHERE if each[0] in ROLES[type(each[1])]], ids=named
)
def test_every_part_survives_the_wire_in_every_role_it_may_have(role: Role, part: Part) -> None:
    # given a message
    message = Message(role, (part,))

    # when it is encoded, serialised, parsed and decoded
    wire = convert.message_to_pb(message).SerializeToString()
    found: list[Violation] = []
    decoded = convert.message_from_pb(pb.Message.FromString(wire), "m", found)

    # then nothing changed
    assert decoded == message
    assert found == []


@pytest.mark.parametrize(
    ("role", "part"),
    [each for each in EVERYWHERE if each[0] not in ROLES[type(each[1])]],
    ids=named,
)
def test_a_part_that_no_provider_would_see_is_refused(role: Role, part: Part) -> None:
    # given a part in a message of a role it does not belong to
    wire = convert.message_to_pb(Message(role, (part,)))

    # when
    found: list[Violation] = []
    decoded = convert.message_from_pb(wire, "m", found)

    # then
    assert decoded is None
    (violation,) = found
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
    found: list[Violation] = []
    decoded = convert.messages_from_pb(messages, "messages", found)

    # then the good one is there and each mistake names its field
    assert [message.text for message in decoded] == ["ok"]
    assert [violation.field for violation in found] == [
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
        (Role, convert.ROLE_FROM_PB, pb.MessageRole.values()),
        (FinishReason, convert.FINISH_REASON_FROM_PB, pb.FinishReason.values()),
        (UsageSource, convert.USAGE_SOURCE_FROM_PB, pb.UsageSource.values()),
        (EffectClass, convert.EFFECT_CLASS_FROM_PB, pb.EffectClass.values()),
        (Approval, convert.APPROVAL_FROM_PB, pb.Approval.values()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_enum_value_converts_both_ways(enum: type, table: dict, values: list[int]) -> None:  # type: ignore[type-arg]  # any enum
    # given the numbers of the contract without the unspecified one
    numbers = set(values) - {0}

    # then each decodes to its own member, and every member is reached
    assert set(table) == numbers
    assert set(table.values()) == set(enum)


def test_usage_adds_up_and_one_estimate_makes_the_sum_an_estimate() -> None:
    # given a counted and an estimated call
    counted = Usage(10, 5, 4, 3, 2, UsageSource.PROVIDER)
    estimated = Usage(1, 1, 1, 1, 1, UsageSource.ESTIMATED)

    # when they are added
    total = counted.plus(estimated)

    # then the numbers add and the source is the weaker one, over the wire too
    assert total == Usage(11, 6, 5, 4, 3, UsageSource.ESTIMATED)
    assert convert.usage_from_pb(convert.usage_to_pb(total)) == total
    assert counted.plus(counted).source is UsageSource.PROVIDER


def test_tool_definitions_survive_the_wire() -> None:
    # given a definition
    tool = ToolDefinition("search", "finds things", '{"type": "object"}')

    # then it converts both ways
    assert convert.tool_definition_from_pb(convert.tool_definition_to_pb(tool)) == tool


def test_a_message_offers_its_text_and_its_calls() -> None:
    # given text, a call and text again
    call = ToolCall("c1", "search", "{}")
    message = Message(Role.ASSISTANT, (Text("a"), call, Text("b")))

    # then both views leave the rest out
    assert message.text == "ab"
    assert message.tool_calls == (call,)


def test_approvals_are_ordered_from_lax_to_strict() -> None:
    # when the strictest of allow and ask is taken
    strictest = max([Approval.ALLOW, Approval.ASK], key=lambda approval: approval.strictness)

    # then asking wins, and denial beats both
    assert strictest is Approval.ASK
    assert Approval.DENY.strictness > Approval.ASK.strictness
