"""The siblings' contracts in run control's own terms."""

from __future__ import annotations

import json

import grpc
import pytest

from runyard.pool.v1 import pool_pb2 as pool
from runyard.provider.v1 import provider_pb2 as provider
from runyard.registry.v1 import registry_pb2 as registry
from runyard.router.v1 import router_pb2 as router
from runyard.types.v1 import content_pb2 as content
from services.content.model import Approval, EffectClass, FinishReason, ToolCall, Usage
from services.runcontrol.clients.pool import (
    _address,
    _condition,
    decode_answer,
    encode_answer,
    fetched_of,
    receipt_json,
)
from services.runcontrol.clients.registry import build_catalog
from services.runcontrol.clients.router import failure_of, item_of, request_of, routed_of
from services.runcontrol.core.commands import Answered, SendCommand, SuspendCommand
from services.runcontrol.core.events import Routed, TextDelta
from services.runcontrol.core.inference import Finished, Question, ReasoningPiece, Restarted
from services.runcontrol.core.retrying import RetryClass
from services.runcontrol.core.specs import Builtin, Rule


def test_an_agent_comes_with_its_tools() -> None:
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
    catalog = build_catalog(
        {
            (4, "a"): registry.Resource(agent=agent),
            (5, "send"): registry.Resource(tool=send),
            (5, "work"): registry.Resource(tool=work),
        },
        3,
        "incarnation",
    )

    # when its specifications are put together
    specs = catalog.specs("a")

    # then they are all there; what is not known is denied
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
    assert first.version != second.version


def test_an_agent_without_limits_gets_the_default_and_a_remote_one_is_not_here() -> None:
    # given a plain agent and a remote one
    plain = registry.Resource(agent=registry.Agent(id="plain", model_id="m"))
    remote = registry.Resource(
        agent=registry.Agent(id="remote", endpoint=registry.AgentEndpoint(base_url="https://x"))
    )
    catalog = build_catalog({(4, "plain"): plain, (4, "remote"): remote}, 1, "i")

    # when they are looked up
    specs = catalog.specs("plain")

    # then the first has sixteen rounds, the others cannot be run
    assert specs is not None
    assert (specs.agent.max_rounds, specs.agent.max_total_tokens, specs.agent.sampling) == (
        16,
        0,
        "",
    )
    assert catalog.specs("remote") is None
    assert catalog.specs("nobody") is None


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            router.InferItem(text_delta=provider.TextDelta(text="x")),
            TextDelta("x"),
        ),
        (
            router.InferItem(reasoning_delta=provider.ReasoningDelta(text="y", provider_id="p")),
            ReasoningPiece("y", "p"),
        ),
        (
            router.InferItem(
                tool_call_ready=provider.ToolCallReady(
                    call=content.ToolCall(call_id="c", tool_id="t", arguments_json="{}")
                )
            ),
            ToolCall("c", "t", "{}"),
        ),
        (router.InferItem(usage=content.Usage(input_tokens=3, source=1)), Usage(3)),  # type: ignore[arg-type]  # PROVIDER
        (router.InferItem(stream_reset=router.StreamReset()), Restarted()),
        (
            router.InferItem(finished=provider.Finished(reason=content.FINISH_REASON_LENGTH)),
            Finished(FinishReason.LENGTH),
        ),
        (router.InferItem(interrupted=router.Interrupted()), None),
        (router.InferItem(tool_call_delta=provider.ToolCallDelta()), None),
        (router.InferItem(), None),
    ],
)
def test_items_of_the_router_are_what_the_loop_needs(
    item: router.InferItem, expected: object
) -> None:
    # given an item
    # when it is decoded
    # then it is in the loop's terms, or of no interest
    assert item_of(item) == expected


def test_a_route_says_from_where_it_was_moved_and_why() -> None:
    # given decisions: at home, moved after a failure, moved because the home is set aside
    home = router.RouteDecision(
        target_id="p", member_id="a", home_member_id="a", sticky=router.STICKY_OUTCOME_HOME
    )
    failed = router.RouteDecision(
        target_id="p",
        member_id="b",
        home_member_id="a",
        provider_id="q",
        attempts=[
            router.Attempt(
                outcome=router.ATTEMPT_OUTCOME_FAILED,
                failure=provider.FAILURE_CLASS_OVERLOADED,
            ),
            router.Attempt(outcome=router.ATTEMPT_OUTCOME_STREAMING),
        ],
    )
    skipped = router.RouteDecision(
        member_id="b",
        home_member_id="a",
        skipped=[router.SkippedMember(member_id="a", reason=router.SKIP_REASON_QUOTA_DEADLINE)],
    )

    # when they are told
    # then each names its reason
    assert routed_of(home) == Routed("p", "a", "", "", "home", 0)
    assert routed_of(failed) == Routed("p", "b", "q", "a", "overloaded", 2)
    assert (routed_of(skipped).switched_from, routed_of(skipped).reason) == (
        "a",
        "quota_deadline",
    )


@pytest.mark.parametrize(
    ("answered", "retry_class", "reason"),
    [
        (False, RetryClass.THROTTLED, "ROUTER_UNAVAILABLE"),
        (True, RetryClass.ERROR, "UNAVAILABLE"),
    ],
)
def test_a_router_that_is_away_costs_time_and_no_attempts(
    answered: bool, retry_class: RetryClass, reason: str
) -> None:
    # given a connection that fails, before or in the middle of an answer
    nothing = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, "refused")

    # when it is judged
    failure = failure_of(error, answered=answered)

    # then only an answer that broke counts as a failed one
    assert (failure.retry_class, failure.reason) == (retry_class, reason)


def test_a_question_without_sampling_leaves_it_to_the_provider() -> None:
    # given questions with and without sampling options
    options = provider.Sampling(top_p=0.5).SerializeToString().hex()
    with_options = Question("m", (), (), options, "t", "r", "a", 4)
    without = Question("m", (), (), "", "t", "r", "a", 0)

    # when they are encoded
    # then only the first has any
    assert request_of(with_options, 9).sampling.top_p == 0.5
    assert not request_of(without, 9).HasField("sampling")
    assert request_of(with_options, 9).session.thread_id == "t"


def test_the_router_is_asked_for_no_version_that_run_control_has_not_seen() -> None:
    """A wiped registry begins with 1 again: the version of a run's start may never come."""
    # given a run that began with version 7
    question = Question("m", (), (), "", "t", "r", "a", 7)

    # when run control has seen more, and when it has seen that the registry has less
    usual, wiped = request_of(question, 9), request_of(question, 2)

    # then
    assert usual.min_registry_version == 7
    assert wiped.min_registry_version == 2


@pytest.mark.parametrize(
    ("fields", "arm", "value"),
    [
        ({"to_run_id": "x"}, "run_id", "x"),
        ({"to_agent_id": "x"}, "agent_id", "x"),
        ({"to_topic": "x"}, "topic", "x"),
        ({}, "pool_id", "room"),
    ],
)
def test_a_message_without_an_address_goes_to_the_pool(
    fields: dict[str, str], arm: str, value: str
) -> None:
    # given a command
    command = SendCommand("default", "me", "r", "c", "room", "hi", "text/plain", **fields)

    # when its address is made
    address = _address(command)

    # then it is the one that is set
    assert (address.WhichOneof("target"), getattr(address, arm)) == (arm, value)


def test_a_wait_is_for_messages_to_the_run() -> None:
    # given a plain wait, and one for an answer with a time-out and a place
    plain = SuspendCommand("default", "me", "r", "c", "room", "c")
    full = SuspendCommand("default", "me", "r", "c", "room", "c.1", "m", 1.5, "0aff")

    # when their conditions are made
    one, two = _condition(plain), _condition(full)

    # then they say so
    assert list(one.filters[0].kinds) == ["message.delivered"]
    assert list(one.filters[0].recipient_run_ids) == ["r"]
    assert one.start == pool.WakeCondition.START_EARLIEST
    assert (list(two.filters[0].reply_to), two.cursor) == (["m"], b"\x0a\xff")
    assert (two.timeout.seconds, two.timeout.nanos) == (1, 500_000_000)
    assert two.idempotency_key == two.condition_id == "c.1"
    assert not one.HasField("timeout")


def test_a_receipt_tells_who_got_it_and_who_did_not() -> None:
    # given a receipt with an exclusion and a failure
    receipt = pool.Receipt(
        pool_id="room",
        message_id="m",
        state=pool.MESSAGE_STATE_FAILED,
        delivered_to=[pool.Recipient(run_id="r", agent_id="a")],
        excluded=[
            pool.Exclusion(run_id="s", agent_id="b", reason=pool.UNDELIVERED_REASON_TARGET_TERMINAL)
        ],
        failure_reason=pool.UNDELIVERED_REASON_NO_SUCH_MEMBER,
    )

    # when the model reads it
    facts = json.loads(receipt_json(receipt))

    # then all of it is there
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
        (b"hi", "text/plain", {"body": "hi"}),
        (b'{"a": 1}', "application/json; charset=utf-8", {"body": {"a": 1}}),
        (b"{", "application/json", {"body": "{"}),
        (b'"\\ud83d"', "application/json", {"body": '"\\ud83d"'}),
        (b"[" * 60_000, "application/json", {"body": "[" * 60_000}),
        (b"\xff", "application/octet-stream", {"body": "\ufffd"}),
    ],
)
def test_a_delivery_is_a_json_object(
    data: bytes, media_type: str, expected: dict[str, object]
) -> None:
    # given a delivery with a body
    message = pool.Message(
        message_id="m",
        from_run_id="r",
        from_agent_id="a",
        inline_body=pool.InlineBody(data=data, media_type=media_type),
    )
    delivery = pool.Delivery(pool_id="room", message=message, lease_token="t")

    # when it is shown
    shown = fetched_of(delivery)

    # then its body is as it was meant
    facts = json.loads(shown.body.encode())
    assert (shown.message_id, shown.receipt) == ("m", "t")
    assert list(facts)[:4] == ["pool_id", "message_id", "from_run_id", "from_agent_id"]
    assert facts["body"] == expected["body"]


def test_a_delivery_by_reference_names_it() -> None:
    # given a delivery whose content is elsewhere
    delivery = pool.Delivery(message=pool.Message(message_id="m", content_ref="ref"))

    # when it is shown
    facts = json.loads(fetched_of(delivery).body)

    # then the reference is there, and no body
    assert facts["content_ref"] == "ref"
    assert "body" not in facts


def test_answers_survive_the_outbox() -> None:
    # given an answer
    answer = Answered('{"a": 1}', "0a")

    # when it is written down and read back
    # then it is the same
    assert decode_answer(encode_answer(answer)) == answer
