"""The health of members and the pins of sessions: read, and cleared by operators."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as provider
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from services.chassis.calls.rpc_status import ErrorFacts, reason_of
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    builtin,
    failing,
    limited_pool,
    model,
    pool,
    seconds,
)

ONCE = {
    "breaker": reg.PoolBreaker(failure_threshold=1, cooldown=seconds(3600), half_open_max=2),
    "retry": reg.PoolRetry(in_place=0),
}


async def state(running: RouterUnderTest, **asked: Any) -> rpc.GetRoutingStateResponse:
    request = rpc.GetRoutingStateRequest(**asked)
    answer: rpc.GetRoutingStateResponse = await RouterServiceStub(running.channel).GetRoutingState(
        request
    )
    return answer


async def refused(running: RouterUnderTest, **asked: Any) -> ErrorFacts:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await state(running, **asked)
    return reason_of(caught.value)


def breaking() -> list[reg.Resource]:
    """Pool ``broken``: its only home fails, and one failure opens its circuit."""
    return [
        builtin("faulty", failing(reg.BUILTIN_FAULT_KIND_SERVER_ERROR)),
        builtin("sound"),
        model("bad", "faulty"),
        model("good", "sound"),
        pool("broken", "bad", failover_only=["good"], **ONCE),
    ]


async def test_a_router_without_failures_has_nothing_to_tell(running: RouterUnderTest) -> None:
    # given a member that answers
    await running.apply(*breaking())
    await running.infer("good", thread_id="t")

    # when
    answer = await state(running)

    # then
    assert list(answer.members) == []
    assert list(answer.pins) == []
    assert answer.next_page_token == ""
    assert answer.instance_id != ""


async def test_the_circuit_and_the_last_failure_of_a_member_are_told(
    running: RouterUnderTest,
) -> None:
    # given a pool whose home has failed once, and whose sessions have moved from it
    await running.apply(*breaking())
    await running.infer("broken", thread_id="t1")
    moved = await running.infer("broken", thread_id="t1")

    # when
    answer = await state(running)

    # then every fact is there
    (member,) = answer.members
    assert (member.target_id, member.member_id) == ("broken", "bad")
    assert member.breaker == pb.BREAKER_STATE_OPEN
    assert (member.generation, member.consecutive_failures) == (1, 1)
    assert member.probe_time.seconds - member.open_time.seconds == 3600
    assert (member.probes_in_flight, member.probes_allowed) == (0, 2)
    assert member.last_failure == provider.FAILURE_CLASS_SERVER_ERROR
    assert member.last_failure_time == member.open_time
    assert not member.HasField("quota_end_time")
    assert member.quarantine == provider.FAILURE_CLASS_UNSPECIFIED
    assert moved.decision.member_id == "good"
    (pin,) = answer.pins
    assert (pin.pool_id, pin.session) == ("broken", "thread:t1")
    assert (pin.member_id, pin.home_member_id) == ("good", "bad")
    assert pin.reason == provider.FAILURE_CLASS_UNSPECIFIED
    assert pin.skip_reason == pb.SKIP_REASON_CIRCUIT_OPEN
    assert pin.expire_time.seconds - pin.move_time.seconds == 3600


async def test_a_quota_deadline_and_the_failure_that_moved_a_session_are_told(
    running: RouterUnderTest,
) -> None:
    # given a pool whose home is limited for 30 s, and a session that has moved in its call
    await running.apply(*limited_pool())
    await running.infer("narration", thread_id="t")

    # when
    answer = await state(running)

    # then the deadline is that of the model, however it is called
    members = [(each.target_id, each.member_id) for each in answer.members]
    assert members == [("first", "first"), ("narration", "first")]
    assert {each.breaker for each in answer.members} == {pb.BREAKER_STATE_CLOSED}
    assert all(each.HasField("quota_end_time") for each in answer.members)
    (pin,) = answer.pins
    assert pin.reason == provider.FAILURE_CLASS_RATE_LIMIT
    assert pin.skip_reason == pb.SKIP_REASON_UNSPECIFIED


async def test_pins_come_in_pages_and_members_with_the_first(running: RouterUnderTest) -> None:
    # given three sessions in two pools
    await running.apply(*limited_pool(), pool("other", "first", failover_only=["second"]))
    for target_id, thread_id in (("other", "t1"), ("narration", "t3"), ("narration", "t2")):
        await running.infer(target_id, thread_id=thread_id)

    # when
    first = await state(running, page_size=2)
    second = await state(running, page_size=2, page_token=first.next_page_token)

    # then
    assert [each.session for each in first.pins] == ["thread:t2", "thread:t3"]
    assert [(each.pool_id, each.session) for each in second.pins] == [("other", "thread:t1")]
    assert [each.target_id for each in first.members] == ["first", "narration", "other"]
    assert (list(second.members), second.next_page_token) == ([], "")
    assert first.instance_id == second.instance_id


async def test_one_target_is_told_of_alone(running: RouterUnderTest) -> None:
    # given
    await running.apply(*limited_pool(), *breaking())
    for target_id in ("narration", "broken", "broken"):
        await running.infer(target_id, thread_id="t")

    # when
    answer = await state(running, target_id="broken")

    # then
    assert [each.target_id for each in answer.members] == ["broken"]
    assert [each.pool_id for each in answer.pins] == ["broken"]


async def test_pins_of_an_older_revision_of_a_pool_have_ended(running: RouterUnderTest) -> None:
    # given a pinned session of a pool that is changed
    await running.apply(*limited_pool())
    await running.infer("narration", thread_id="t")
    await running.apply(pool("narration", "second", failover_only=["first"]))
    await running.infer("second")

    # when
    answer = await state(running)

    # then
    assert list(answer.pins) == []


async def test_what_is_wrong_with_the_request_is_told(running: RouterUnderTest) -> None:
    # given a page token of the whole state
    await running.apply(*limited_pool())
    for thread_id in ("t1", "t2"):
        await running.infer("narration", thread_id=thread_id)
    token = (await state(running, page_size=1)).next_page_token

    # when
    unknown = await refused(running, target_id="naration")
    other = await refused(running, target_id="narration", page_token=token)
    negative = await refused(running, page_size=-1, page_token="none")

    # then
    assert (unknown.code, unknown.reason) == (grpc.StatusCode.NOT_FOUND, "TARGET_NOT_FOUND")
    assert "narration" in unknown.metadata["nearest"]
    assert [each.field for each in other.violations] == ["page_token"]
    assert sorted(each.field for each in negative.violations) == ["page_size", "page_token"]


async def test_without_a_snapshot_there_is_no_state(tmp_path: Path) -> None:
    # given a router whose registry was never there
    servers = RouterUnderTest(tmp_path)
    await servers.start_router()
    try:
        # when
        missing = await refused(servers)
    finally:
        await servers.stop_router()

    # then
    assert missing.reason == "SNAPSHOT_MISSING"


async def reset(running: RouterUnderTest, *names: str) -> rpc.ResetMemberResponse:
    request = rpc.ResetMemberRequest(**dict(zip(("target_id", "member_id"), names, strict=False)))
    answer: rpc.ResetMemberResponse = await RouterServiceStub(running.channel).ResetMember(request)
    return answer


async def unpin(running: RouterUnderTest, pool_id: str, session: str) -> rpc.UnpinSessionResponse:
    request = rpc.UnpinSessionRequest(pool_id=pool_id, session=session)
    answer: rpc.UnpinSessionResponse = await RouterServiceStub(running.channel).UnpinSession(
        request
    )
    return answer


async def test_a_member_that_was_reset_is_called_again(running: RouterUnderTest) -> None:
    # given an open circuit
    await running.apply(*breaking())
    await running.infer("broken", thread_id="t1")
    before = await running.infer("broken", thread_id="t2")

    # when it is reset twice
    first = await reset(running, "broken", "bad")
    second = await reset(running, "broken", "bad")

    # then the second time changes nothing, and the next call goes to the member
    (member,) = first.members
    assert (member.target_id, member.member_id) == ("broken", "bad")
    assert (member.breaker, member.generation) == (pb.BREAKER_STATE_CLOSED, 2)
    assert (member.consecutive_failures, member.last_failure) == (0, 0)
    assert first == second
    assert list((await state(running)).members) == list(first.members)
    assert before.members == ["good"]
    assert (await running.infer("broken", thread_id="t3")).members == ["bad"]


async def test_a_reset_ends_the_quota_deadlines_of_all_members_of_a_target(
    running: RouterUnderTest,
) -> None:
    # given a member in a quota deadline
    await running.apply(*limited_pool())
    await running.infer("narration")

    # when
    answer = await reset(running, "narration")

    # then
    assert [each.member_id for each in answer.members] == ["first", "second"]
    assert list((await state(running)).members) == []


async def test_an_unpinned_session_goes_home_also_after_a_restart(
    running: RouterUnderTest,
) -> None:
    # given a session that is held on another member than its home, stored
    await running.apply(*limited_pool())
    await running.infer("narration", thread_id="t")
    await running.restart_router()
    held = await running.infer("narration", thread_id="t")

    # when its home is reset, it is unpinned twice, and the router is restarted
    await reset(running, "narration")
    first = await unpin(running, "narration", "thread:t")
    second = await unpin(running, "narration", "thread:t")
    after = await state(running)
    await running.restart_router()
    again = await running.infer("narration", thread_id="t")

    # then
    assert held.members == ["second"]
    assert (first.pin.session, first.pin.member_id) == ("thread:t", "second")
    assert not second.HasField("pin")
    assert list(after.pins) == []
    assert again.members == ["first", "second"]


async def test_who_changes_something_is_logged(
    running: RouterUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    await running.apply(*limited_pool())
    await running.infer("narration", thread_id="t")

    # when
    with caplog.at_level(logging.INFO, "services.router.engine.control"):
        await reset(running, "narration", "first")
        await unpin(running, "narration", "thread:t")
        cordon = {"target_id": "narration", "member_id": "second"}
        stub = RouterServiceStub(running.channel)
        await stub.CordonMember(rpc.CordonMemberRequest(**cordon))
        await stub.UncordonMember(rpc.UncordonMemberRequest(**cordon))

    # then
    facts = ("principal", "method", "target_id")
    service = "/runyard.router.v1.RouterService"
    logged = [each for each in caplog.records if each.name == "services.router.engine.control"]
    assert [(each.message, *(vars(each)[fact] for fact in facts)) for each in logged] == [
        ("members reset", "local", f"{service}/ResetMember", "narration"),
        ("session unpinned", "local", f"{service}/UnpinSession", "narration"),
        ("member cordoned", "local", f"{service}/CordonMember", "narration"),
        ("member uncordoned", "local", f"{service}/UncordonMember", "narration"),
    ]
    assert vars(logged[0])["member_ids"] == ["first"]
    assert vars(logged[2])["member_id"] == vars(logged[3])["member_id"] == "second"
    assert (vars(logged[1])["session"], vars(logged[1])["member_id"]) == ("thread:t", "second")


WRONG = [
    ("ResetMember", {}, ["target_id"]),
    ("ResetMember", {"target_id": "narration", "member_id": "third"}, ["member_id"]),
    ("UnpinSession", {}, ["pool_id", "session"]),
    ("UnpinSession", {"pool_id": "narration", "session": "call:1"}, ["session"]),
    ("UnpinSession", {"pool_id": "narration", "session": "thread:"}, ["session"]),
    ("ResetMember", {"target_id": "naration"}, []),
    ("UnpinSession", {"pool_id": "naration", "session": "thread:t"}, []),
    ("CordonMember", {}, ["member_id", "target_id"]),
    ("CordonMember", {"target_id": "narration", "member_id": "third"}, ["member_id"]),
    ("CordonMember", {"target_id": "first", "member_id": "first"}, ["member_id"]),
    ("CordonMember", {"target_id": "naration", "member_id": "first"}, []),
    ("UncordonMember", {}, ["member_id", "target_id"]),
]


@pytest.mark.parametrize(("method", "fields", "violations"), WRONG)
async def test_what_is_wrong_with_a_change_is_told(
    running: RouterUnderTest, method: str, fields: dict[str, str], violations: list[str]
) -> None:
    # given
    await running.apply(*limited_pool())
    await running.infer("narration")

    # when
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(RouterServiceStub(running.channel), method)(
            getattr(rpc, f"{method}Request")(**fields)
        )

    # then
    facts = reason_of(caught.value)
    assert sorted(each.field for each in facts.violations) == violations
    assert facts.reason == ("INVALID_REQUEST" if violations else "TARGET_NOT_FOUND")


async def test_a_cordon_is_told_survives_a_restart_and_ends(running: RouterUnderTest) -> None:
    # given a member of two pools, to which one of them fails over
    await running.apply(*limited_pool(), pool("p", "second", "first"))
    await running.infer("second")
    stub = RouterServiceStub(running.channel)
    named = {"target_id": "narration", "member_id": "second"}

    # when a member is cordoned twice, and the router restarts
    first = await stub.CordonMember(rpc.CordonMemberRequest(**named))
    second = await stub.CordonMember(rpc.CordonMemberRequest(**named))
    await running.restart_router()
    refused = await running.infer("narration", thread_id="t")
    kept = (await state(running, target_id="narration")).members
    elsewhere = (await state(running, target_id="p")).members
    stub = RouterServiceStub(running.channel)
    ended = await stub.UncordonMember(rpc.UncordonMemberRequest(**named))
    after = await running.infer("narration", thread_id="t")

    # then it is the same cordon, of this pool alone, and nobody fails over to the member meanwhile
    assert (first.member.member_id, first.member.cordoned) == ("second", True)
    assert first.member.HasField("cordon_time")
    assert first == second
    assert [each.cordon_time for each in kept if each.cordoned] == [first.member.cordon_time]
    assert [each.cordoned for each in elsewhere] == [False]
    assert refused.failure.reason == "MEMBERS_EXHAUSTED"
    assert [each.reason for each in refused.decision.skipped] == [pb.SKIP_REASON_CORDONED]
    assert (ended.member.cordoned, ended.member.HasField("cordon_time")) == (False, False)
    assert after.decision.member_id == "second"
