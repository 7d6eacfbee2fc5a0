"""The clients: requests to other services, and their answers as values of the core."""

from __future__ import annotations

import json

import grpc
import pytest

from runyard.pool.v1 import pool_pb2 as pool
from runyard.provider.v1 import provider_pb2 as provider
from runyard.registry.v1 import registry_pb2 as registry
from runyard.router.v1 import router_pb2 as router
from runyard.router.v1.router_service_pb2 import InferRequest
from runyard.types.v1 import content_pb2 as content
from services.content.convert import message_to_pb
from services.content.model import (
    Approval,
    EffectClass,
    FinishReason,
    Message,
    Reasoning,
    Role,
    Text,
    ToolCall,
    Usage,
)
from services.runcontrol.clients import encoded_prompts
from services.runcontrol.clients import pool as pool_client
from services.runcontrol.clients.encoded_prompts import EncodedPrompts
from services.runcontrol.clients.registry import build_catalog, rule_spec, tool_spec
from services.runcontrol.clients.router import check_size, failure_of, item_of, routed_of
from services.runcontrol.core.commands import (
    CommandResult,
    SendCommand,
    SuspendCommand,
    decode_answer,
    encode_answer,
)
from services.runcontrol.core.events import Routed, TextDelta
from services.runcontrol.core.inference import Finished, InferenceError, ModelCall, Restarted
from services.runcontrol.core.retrying import RetryClass
from services.runcontrol.core.specs import Builtin, Rule

CALL = content.ToolCall(call_id="c", tool_id="t", arguments_json="{}")


def test_an_agent_is_converted_with_its_tools() -> None:
    # given an agent with limits, rules and sampling, a built-in tool and one of a worker
    agent = registry.Agent(
        id="a",
        model_id="m",
        system_prompt="be brief",
        tools=["send", "work", "gone"],
        approval_rules=[
            registry.ApprovalRule(tool_id="*", approval=content.APPROVAL_ASK),
            registry.ApprovalRule(tool_id="x", approval=99),  # type: ignore[arg-type]  # unknown on purpose
        ],
        max_rounds=3,
        max_total_tokens=100,
        sampling=registry.Sampling(
            temperature=0.5, stop=["END"], reasoning_effort=registry.REASONING_EFFORT_HIGH
        ),
    )
    send = registry.Tool(id="send", builtin=registry.BUILTIN_TOOL_POOL_SEND)
    work = registry.Tool(
        id="work",
        description="works",
        json_schema="{}",
        effect_class=content.EFFECT_CLASS_PURE,
        worker=registry.WorkerExecutor(),
    )
    resources = {
        (4, "a"): registry.Resource(agent=agent),
        (5, "send"): hashed(send, "aa"),
        (5, "work"): hashed(work, "bb"),
    }
    catalog = build_catalog(resources, 3, "incarnation")

    # when its specifications are built
    specs = catalog.specs("a")

    # then they are complete; unknown approvals deny
    assert specs is not None
    assert catalog.version == 3
    assert specs.agent.rules == (Rule("*", Approval.ASK), Rule("x", Approval.DENY))
    assert (specs.agent.max_rounds, specs.agent.max_total_tokens) == (3, 100)
    sampling = provider.Sampling.FromString(bytes.fromhex(specs.agent.sampling))
    assert (sampling.temperature, list(sampling.stop)) == (0.5, ["END"])
    assert sampling.reasoning_effort == provider.REASONING_EFFORT_HIGH
    first, second = specs.tools
    assert (first.builtin, first.effect_class) == (Builtin.POOL_SEND, EffectClass.IDEMPOTENT)
    assert first.description.startswith("Send a message")
    assert (second.builtin, second.effect_class) == (None, EffectClass.PURE)
    assert (second.approval, second.description) == (Approval.ALLOW, "works")
    assert (first.version, second.version) == ("aa", "bb")


@pytest.mark.parametrize(
    ("agent_id", "tool_id", "denied"),
    [
        ("a", "denied", True),
        ("a", "asked", False),
        ("a", "ruled", True),
        ("a", "allowed first", False),
        ("a", "unknown value", True),
        ("a", "gone", False),
        ("gone", "denied", True),
        ("gone", "ruled", False),
    ],
)
def test_a_catalog_says_what_is_denied(agent_id: str, tool_id: str, denied: bool) -> None:
    # given tools and rules of every approval
    approvals = {"denied": 3, "asked": 2, "ruled": 1, "allowed first": 0, "unknown value": 99}
    tools = [registry.Tool(id=name, approval=value) for name, value in approvals.items()]  # type: ignore[arg-type]  # unknown on purpose
    rules = [
        registry.ApprovalRule(tool_id="ruled", approval=content.APPROVAL_DENY),
        registry.ApprovalRule(tool_id="*", approval=content.APPROVAL_ALLOW),
        registry.ApprovalRule(tool_id="allowed first", approval=content.APPROVAL_DENY),
    ]
    agent = registry.Agent(id="a", approval_rules=rules)
    resources = {(5, tool.id): hashed(tool, "aa") for tool in tools}
    resources[4, "a"] = registry.Resource(agent=agent)
    catalog = build_catalog(resources, 3, "incarnation")

    # when it is asked, twice
    # then both answers are those of the tool and of the first matching rule
    assert [catalog.denies(agent_id, tool_id) for _ in range(2)] == [denied] * 2


def test_times_for_approvals_are_read() -> None:
    # given a tool and a rule with times
    rule = registry.ApprovalRule(tool_id="*", approval=content.APPROVAL_ASK)
    rule.approval_timeout.FromMilliseconds(1_500)
    tool = registry.Tool(id="work", worker=registry.WorkerExecutor())
    tool.approval_timeout.FromSeconds(90)

    # when they are read
    # then they are theirs, in seconds
    assert rule_spec(rule) == Rule("*", Approval.ASK, 1.5)
    assert tool_spec(hashed(tool, "aa")).approval_timeout_s == 90.0


def hashed(tool: registry.Tool, content_hash: str) -> registry.Resource:
    return registry.Resource(tool=tool, meta=registry.ResourceMeta(content_hash=content_hash))


def test_a_tool_has_the_version_that_the_registry_gave_it() -> None:
    """A field that a later registry adds must not void what people approved."""
    # given a tool, and the same with a field that this release does not know
    tool = registry.Tool(id="work", worker=registry.WorkerExecutor())
    newer = registry.Tool.FromString(tool.SerializeToString() + b"\xfa\x3f\x01x")
    assert newer != tool

    # when both are read, and one with other content under the registry's other hash
    specs = [tool_spec(hashed(tool, "aa")), tool_spec(hashed(newer, "aa"))]
    changed = tool_spec(hashed(tool, "ab"))

    # then only the registry's hash makes a version
    assert [spec.version for spec in specs] == ["aa", "aa"]
    assert changed.version == "ab"


def test_an_agent_without_limits_gets_the_default_and_a_remote_one_has_no_specifications() -> None:
    # given a plain agent and a remote one
    plain = registry.Resource(agent=registry.Agent(id="plain", model_id="m"))
    remote = registry.Resource(
        agent=registry.Agent(id="remote", endpoint=registry.AgentEndpoint(base_url="https://x"))
    )
    catalog = build_catalog({(4, "plain"): plain, (4, "remote"): remote}, 1, "i")

    # when they are looked up
    specs = catalog.specs("plain")

    # then the first has sixteen rounds, the others have no specifications
    assert specs is not None
    assert (specs.agent.max_rounds, specs.agent.max_total_tokens) == (16, 0)
    assert specs.agent.sampling == ""
    assert catalog.specs("remote") is None
    assert catalog.specs("nobody") is None


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (router.InferItem(text_delta=provider.TextDelta(text="x")), TextDelta("x")),
        (
            router.InferItem(reasoning_delta=provider.ReasoningDelta(text="y", provider_id="p")),
            Reasoning("y", "p"),
        ),
        (
            router.InferItem(tool_call_ready=provider.ToolCallReady(call=CALL)),
            ToolCall("c", "t", "{}"),
        ),
        (router.InferItem(usage=content.Usage(input_tokens=3, source=1)), Usage(3)),  # type: ignore[arg-type]  # PROVIDER
        (
            router.InferItem(
                stream_reset=router.StreamReset(decision=router.RouteDecision(member_id="b"))
            ),
            Restarted(Routed("", "b", "", "", 0)),
        ),
        (
            router.InferItem(finished=router.Finished(reason=content.FINISH_REASON_LENGTH)),
            Finished(FinishReason.LENGTH),
        ),
        (router.InferItem(interrupted=router.Interrupted()), None),
        (router.InferItem(tool_call_delta=provider.ToolCallDelta()), None),
        (router.InferItem(), None),
    ],
)
def test_items_of_the_router_become_items_of_the_core(
    item: router.InferItem, expected: object
) -> None:
    # given an item
    # when it is decoded
    # then it is an item of the core, or None
    assert item_of(item) == expected


def test_a_route_names_the_home_it_was_switched_from_and_the_reason() -> None:
    # given decisions: at home, switched after a failure, switched because the home was skipped
    home = router.RouteDecision(
        target_id="p", member_id="a", home_member_id="a", sticky=router.STICKY_OUTCOME_HOME
    )
    overloaded = router.Attempt(
        outcome=router.ATTEMPT_OUTCOME_FAILED, failure=provider.FAILURE_CLASS_OVERLOADED
    )
    cut = router.Attempt(
        outcome=router.ATTEMPT_OUTCOME_INTERRUPTED, failure=provider.FAILURE_CLASS_STREAM_TRUNCATED
    )
    answered = router.Attempt(outcome=router.ATTEMPT_OUTCOME_STREAMING)
    failed = router.RouteDecision(
        target_id="p",
        member_id="b",
        home_member_id="a",
        provider_id="q",
        attempts=[overloaded, answered],
    )
    broken = router.RouteDecision(member_id="b", attempts=[overloaded, cut, answered])
    over_quota = router.SkippedMember(member_id="a", reason=router.SKIP_REASON_QUOTA_DEADLINE)
    skipped = router.RouteDecision(member_id="b", home_member_id="a", skipped=[over_quota])

    # when they are converted
    # then each names its reason
    assert routed_of(home) == Routed("p", "a", "", "", 0, "home")
    assert routed_of(failed) == Routed("p", "b", "q", "a", 2, failure="overloaded")
    assert routed_of(broken).failure == "stream_truncated"
    assert routed_of(skipped).switched_from == "a"
    assert routed_of(skipped).skip_reason == "quota_deadline"


@pytest.mark.parametrize(
    ("answered", "retry_class", "reason"),
    [
        (False, RetryClass.THROTTLED, "ROUTER_UNAVAILABLE"),
        (True, RetryClass.ERROR, "UNAVAILABLE"),
    ],
)
def test_an_unreachable_router_uses_up_no_attempts(
    answered: bool, retry_class: RetryClass, reason: str
) -> None:
    # given a connection that fails before an answer or within it
    nothing = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, "refused")

    # when it is classified
    failure = failure_of(error, answered=answered)

    # then only the interrupted answer counts as a failed attempt
    assert (failure.retry_class, failure.reason) == (retry_class, reason)


async def request_of(call: ModelCall, version: int) -> InferRequest:
    return InferRequest.FromString(await EncodedPrompts().encode(call, version))


@pytest.mark.parametrize("count", [3, 600])
async def test_a_long_conversation_is_encoded_as_a_short_one_is(count: int) -> None:
    # given 6 parts, and 1,200, which are encoded in slices
    said = tuple(Message(Role.USER, (Text(f"a{n}"), Text("b"))) for n in range(count))
    call = ModelCall("m", said, (), "", "t", "r", "a", 4)

    # when
    request = await request_of(call, 9)

    # then
    assert [m.parts[0].text.text for m in request.messages] == [f"a{n}" for n in range(count)]
    assert (request.target_id, request.min_registry_version) == ("m", 4)


async def test_a_message_is_encoded_once_while_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given encodings that keep two messages, of 13 and 15 bytes
    encoded: list[Message] = []

    def encode(message: Message) -> content.Message:
        encoded.append(message)
        return message_to_pb(message)

    monkeypatch.setattr(encoded_prompts, "message_to_pb", encode)
    prompts = EncodedPrompts(max_kept_bytes=28)
    one, two, three = (Message(Role.USER, (Text(text),)) for text in ("one", "two", "33333"))

    # when a conversation grows, and then another is sent
    for said in ((one, two), (one, two, one), (one, two, three), (one,)):
        body = await prompts.encode(ModelCall("m", said, (), "", "t", "r", "a", 0), 0)
        sent = InferRequest.FromString(body).messages
        assert [m.parts[0].text.text for m in sent] == [m.text for m in said]

    # then the oldest was dropped
    assert encoded == [one, two, three, one]


@pytest.mark.parametrize(
    ("size_bytes", "messages", "said"),
    [
        (16 << 20, 10_000, None),
        ((16 << 20) + 1, 1, "the prompt has 16,777,217 bytes, at most 16,777,216 can be sent"),
        (1, 10_001, "the prompt has 10,001 messages, at most 10,000 can be sent"),
    ],
)
def test_a_prompt_that_no_router_reads_is_refused_for_good(
    size_bytes: int, messages: int, said: str | None
) -> None:
    # given a request of that size
    if said is None:
        check_size(size_bytes, messages)
        return

    # when it is about to be sent
    with pytest.raises(InferenceError) as refused:
        check_size(size_bytes, messages)

    # then it is not, and the reason says what to do
    failure = refused.value.failure
    assert (failure.retry_class, failure.reason) == (RetryClass.FATAL, "PROMPT_TOO_LARGE")
    assert failure.message == f"{said}; continue on a new thread"


async def test_a_model_call_without_sampling_options_sends_none() -> None:
    # given model calls with and without sampling options
    options = provider.Sampling(top_p=0.5).SerializeToString().hex()
    with_options = ModelCall("m", (), (), options, "t", "r", "a", 4)
    without = ModelCall("m", (), (), "", "t", "r", "a", 0)

    # when they are encoded
    # then only the first has them
    assert (await request_of(with_options, 9)).sampling.top_p == 0.5
    assert not (await request_of(without, 9)).HasField("sampling")
    assert (await request_of(with_options, 9)).session.thread_id == "t"


async def test_the_router_is_required_to_have_no_version_that_has_not_arrived() -> None:
    """A wiped registry begins with 1 again and may never reach the version of a run's start."""
    # given a run that began with version 7
    model_call = ModelCall("m", (), (), "", "t", "r", "a", 7)

    # when run control has received a higher version, and when it has received a lower one
    usual, wiped = await request_of(model_call, 9), await request_of(model_call, 2)

    # then
    assert usual.min_registry_version == 7
    assert wiped.min_registry_version == 2


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"to_run_id": "x"}, pool.Address(run_id="x")),
        ({"to_agent_id": "x"}, pool.Address(agent_id="x")),
        ({"to_topic": "x"}, pool.Address(topic="x")),
        ({}, pool.Address(pool_id="room")),
    ],
)
def test_a_message_without_an_address_goes_to_the_pool(
    fields: dict[str, str], expected: pool.Address
) -> None:
    # given a command
    command = SendCommand("default", "me", "r", "c", "room", "hi", "text/plain", **fields)

    # when its address is built
    # then it is the one that the command sets
    assert pool_client._address(command) == expected


def test_a_wait_is_for_messages_to_the_run() -> None:
    # given a plain wait, and one for an answer with a time-out and a cursor
    plain = SuspendCommand("default", "me", "r", "c", "room", "c")
    full = SuspendCommand("default", "me", "r", "c", "room", "c.1", "m", 1.5, "0aff")

    # when their conditions are built
    one, two = pool_client._condition(plain), pool_client._condition(full)

    # then they have these filters, time-outs and cursors
    assert list(one.filters[0].kinds) == ["message.delivered"]
    assert list(one.filters[0].recipient_run_ids) == ["r"]
    assert one.start == pool.WakeCondition.START_EARLIEST
    assert (list(two.filters[0].reply_to), two.cursor) == (["m"], b"\x0a\xff")
    assert (two.timeout.seconds, two.timeout.nanos) == (1, 500_000_000)
    assert two.idempotency_key == two.condition_id == "c.1"
    assert not one.HasField("timeout")


def test_a_wait_can_be_for_other_events_of_the_pool() -> None:
    # given a wait for events by a sender, and one for messages that carry something
    base = ("default", "me", "r", "c", "room", "c")
    joined = SuspendCommand(*base, kinds=("member.*",), from_run_id="x", from_agent_id="y", count=3)
    about = SuspendCommand(*base, topic="t", correlation=(("order", "7"),))

    # when their conditions are built
    one, two = pool_client._condition(joined), pool_client._condition(about)

    # then recipients matter to messages alone
    assert one.after_matches == 3
    assert one.filters[0] == pool.EventFilter(
        kinds=["member.*"], sender_run_ids=["x"], sender_agent_ids=["y"]
    )
    assert two.filters[0] == pool.EventFilter(
        kinds=["message.delivered"],
        recipient_run_ids=["r"],
        topics=["t"],
        correlation=[pool.Correlation(key="order", value="7")],
    )


def test_a_receipt_names_recipients_and_exclusions() -> None:
    # given a receipt with an exclusion and a failure
    ended = pool.UNDELIVERED_REASON_TARGET_TERMINAL
    receipt = pool.Receipt(
        pool_id="room",
        message_id="m",
        state=pool.MESSAGE_STATE_FAILED,
        delivered_to=[pool.Recipient(run_id="r", agent_id="a")],
        excluded=[pool.Exclusion(run_id="s", agent_id="b", reason=ended)],
        failure_reason=pool.UNDELIVERED_REASON_NO_SUCH_MEMBER,
    )

    # when it is converted for the model
    facts = json.loads(pool_client.receipt_json(receipt))

    # then it is complete
    assert facts == {
        "pool_id": "room",
        "message_id": "m",
        "state": "failed",
        "delivered_to": [{"run_id": "r", "agent_id": "a"}],
        "excluded": [{"run_id": "s", "agent_id": "b", "reason": "target_terminal"}],
        "failure_reason": "no_such_member",
    }


@pytest.mark.parametrize(
    ("data", "media_type", "expected"),
    [
        (b"hi", "text/plain", "hi"),
        (b'{"a": 1}', "application/json; charset=utf-8", {"a": 1}),
        (b"{", "application/json", "{"),
        (b'"\\ud83d"', "application/json", '"\\ud83d"'),
        (b"[" * 60_000, "application/json", "[" * 60_000),
        (b"\xff", "application/octet-stream", "\ufffd"),
    ],
)
def test_a_delivery_is_a_json_object(data: bytes, media_type: str, expected: object) -> None:
    # given a delivery with a body
    body = pool.InlineBody(data=data, media_type=media_type)
    message = pool.Message(message_id="m", from_run_id="r", from_agent_id="a", inline_body=body)
    delivery = pool.Delivery(pool_id="room", message=message, lease_token="t")

    # when it is converted for the model
    shown = pool_client.fetched_of(delivery)

    # then its body is a JSON value or text
    facts = json.loads(shown.body.encode())
    assert (shown.message_id, shown.receipt) == ("m", "t")
    assert list(facts)[:4] == ["pool_id", "message_id", "from_run_id", "from_agent_id"]
    assert facts["body"] == expected


def test_a_delivery_by_reference_names_it() -> None:
    # given a delivery whose content is a reference
    delivery = pool.Delivery(message=pool.Message(message_id="m", content_ref="ref"))

    # when it is converted for the model
    facts = json.loads(pool_client.fetched_of(delivery).body)

    # then it has the reference and no body
    assert facts["content_ref"] == "ref"
    assert "body" not in facts


def test_answers_are_decoded_as_they_were_encoded() -> None:
    # given an answer
    answer = CommandResult('{"a": 1}', "0a")

    # when it is encoded and decoded
    # then it is the same
    assert decode_answer(encode_answer(answer)) == answer
