"""Responding: one answer per recipient; contracts that are met, time out or are answered late."""

from __future__ import annotations

import pytest

from services.chassis.errors import IdempotencyConflictError
from services.pool.core import errors
from services.pool.core.model import (
    ContentRef,
    Correlation,
    InlineBody,
    MessageState,
    ResponseContract,
)
from tests.support.pool_service import PoolService, draft, policy, refused, run, seconds, topic


async def asked(contract: ResponseContract | None, **more: object) -> PoolService:
    """run-a has asked run-b and run-c, as m-k1."""
    service = await PoolService().opened()
    for run_id in ("run-a", "run-b", "run-c", "run-d"):
        await service.join(run_id, "x", *(["t"] if run_id in {"run-b", "run-c"} else []))
    await service.send(draft(topic("t"), "k1", contract=contract, **more))
    return service


JOB = (Correlation("job", "7"),)
OTHER = (Correlation("x", "y"),)


@pytest.mark.parametrize(
    ("brought", "carried"), [(None, JOB), (OTHER, OTHER)], ids=["of the question", "its own"]
)
async def test_an_answer_goes_to_the_sender_with_a_correlation(
    brought: tuple[Correlation, ...] | None, carried: tuple[Correlation, ...]
) -> None:
    # given a question with a correlation
    service = await asked(None, correlation=JOB)

    # when a recipient answers, with or without a correlation of its own
    responded = await service.respond("run-b", "m-k1", "a1", correlation=brought)

    # then the answer is a message to the sender, and a question without a contract stays as it is
    message = responded.answer.record.message
    assert (message.to, message.reply_to) == (run("run-a"), "m-k1")
    assert message.correlation == carried
    assert responded.request_state is MessageState.DELIVERED
    assert len((await service.fetch("run-a")).deliveries) == 1


async def test_a_request_is_responded_when_its_contract_is_met() -> None:
    # given a question that wants two answers within a minute
    service = await asked(ResponseContract(2, seconds(60)))

    # when both recipients answer
    first = await service.respond("run-b", "m-k1", "a1")
    second = await service.respond("run-c", "m-k1", "a2")

    # then the second meets the contract, in the commit that delivers it
    assert first.request_state is MessageState.DELIVERED
    assert second.request_state is MessageState.RESPONDED
    assert service.kinds()[-3:] == ["message.accepted", "message.delivered", "message.responded"]
    event = service.memory.log[-1][1]
    answer_id = second.answer.record.message.message_id
    assert (event.message_id, event.reply_message_id, event.terminal) == ("m-k1", answer_id, True)
    assert service.memory.timers == {}


async def test_a_plain_message_with_reply_to_counts_as_well() -> None:
    # given a question that wants one answer
    service = await asked(ResponseContract(1))

    # when a recipient sends a message that answers it
    await service.send(draft(run("run-a"), "k2", "run-b", reply_to="m-k1"))

    # then the contract is met
    assert (await service.receipt("m-k1")).state is MessageState.RESPONDED


async def test_only_recipients_count() -> None:
    # given a question that wants one answer
    service = await asked(ResponseContract(1))

    # when an outsider answers by message, a recipient twice, and one an unknown message
    await service.send(draft(run("run-a"), "k2", "run-d", reply_to="m-k1"))
    state = (await service.receipt("m-k1")).state
    await service.send(draft(run("run-a"), "k3", "run-b", reply_to="m-k1"))
    again = await service.send(draft(run("run-a"), "k4", "run-b", reply_to="m-k1"))
    await service.send(draft(run("run-a"), "k5", "run-b", reply_to="unknown"))

    # then one answer is counted, and the later one is late
    assert state is MessageState.DELIVERED
    assert len(service.memory.replies) == 1
    assert again.record.message.late


async def test_an_answer_that_reaches_nobody_does_not_count() -> None:
    # given a question
    service = await asked(ResponseContract(1))

    # when the answer carries a policy that the asker does not hold
    responded = await service.respond("run-b", "m-k1", "a1", policy_refs=(policy("p"),))

    # then it failed, and the recipient may answer again
    assert responded.answer.record.receipt.state is MessageState.FAILED
    assert responded.request_state is MessageState.DELIVERED
    assert (await service.respond("run-b", "m-k1", "a2")).request_state is MessageState.RESPONDED


async def test_a_contract_that_is_not_met_times_out_with_the_answers_so_far() -> None:
    # given one answer of two
    service = await asked(ResponseContract(2, seconds(60)))
    await service.respond("run-b", "m-k1", "a1")

    # when the minute passes, and then the other answer comes
    service.clock.advance(60)
    fired = await service.fire_due()
    late = await service.respond("run-c", "m-k1", "a2")

    # then the request has timed out and stays so, and the answer is late
    assert (fired, (await service.receipt("m-k1")).state) == (1, MessageState.TIMED_OUT)
    assert (late.request_state, late.answer.record.message.late) == (MessageState.TIMED_OUT, True)
    assert [r.late for r in service.memory.replies.values()] == [False, True]


async def test_an_answer_after_the_time_out_is_late_before_its_timer_has_fired() -> None:
    # given a contract whose minute has passed while no timer ran
    service = await asked(ResponseContract(1, seconds(60)))
    service.clock.advance(60)

    # when the answer comes first, and then the timer
    late = await service.respond("run-b", "m-k1", "a1")
    fired = await service.fire_due()

    # then the answer does not meet the contract
    assert (late.request_state, late.answer.record.message.late) == (MessageState.DELIVERED, True)
    assert (fired, (await service.receipt("m-k1")).state) == (1, MessageState.TIMED_OUT)


async def test_a_timer_that_comes_after_the_answer_changes_nothing() -> None:
    # given a timer read before the answer that takes it away
    service = await asked(ResponseContract(1, seconds(60)))
    (due,) = await service.store.due_timers(10)
    await service.respond("run-b", "m-k1", "a1")

    # when it fires all the same
    await service.timers.fire(due)

    # then the request stays responded
    assert (await service.receipt("m-k1")).state is MessageState.RESPONDED


@pytest.mark.parametrize("content", [ContentRef("c"), InlineBody(b"c", "text/plain")])
async def test_the_same_answer_under_another_key_gets_the_first_receipt(
    content: ContentRef | InlineBody,
) -> None:
    # given an answer
    service = await asked(None)
    first = await service.respond("run-b", "m-k1", "a1", content)

    # when it is given again under the same and under another key
    same = await service.respond("run-b", "m-k1", "a1", content)
    other = await service.respond("run-b", "m-k1", "a2", content)

    # then both get its receipt
    for again in (same, other):
        assert again.answer.deduplicated
        assert again.answer.record == first.answer.record
    assert len(service.memory.replies) == 1


async def test_another_answer_is_refused() -> None:
    # given an answer
    service = await asked(None)
    first = await service.respond("run-b", "m-k1", "a1")

    # when the run gives another answer, under a new and under the old key
    new, old = (service.respond("run-b", "m-k1", key, ContentRef("other")) for key in ("a2", "a1"))
    refusal = await refused(errors.AlreadyRespondedError, new)
    await refused(IdempotencyConflictError, old)

    # then the first answer stands
    given = first.answer.record.message.message_id
    assert refusal.metadata["reply_message_id"] == given


async def test_runs_that_may_not_answer_are_refused() -> None:
    # given a question to run-b and run-c
    service = await asked(None)

    # when and then: an unknown message, no recipient, no member
    await refused(errors.MessageNotFoundError, service.respond("run-b", "m-none", "a1"))
    await refused(errors.NotARecipientError, service.respond("run-d", "m-k1", "a1"))
    await refused(errors.NotAMemberError, service.respond("run-z", "m-k1", "a1"))
    assert service.memory.replies == {}
