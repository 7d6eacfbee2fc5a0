"""What the pool refuses, with which code, reason and violations."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from tests.contract.pool.client import (
    RUN_A,
    RUN_B,
    RUN_C,
    PoolClient,
    refused,
    seconds,
)
from tests.contract.pool.conftest import Serve


async def test_every_mistake_of_a_request_is_reported(client: PoolClient) -> None:
    # given a request with many
    bad = rpc.SendMessageRequest(
        pool_id="x\ny",
        message=pb.Message(
            from_run_id="a\nb",
            from_agent_id="mine",
            accept_time=Timestamp(seconds=1),
            to=pb.Address(cardinality=9),  # type: ignore[arg-type]  # not a value of it
            inline_body=pb.InlineBody(data=b"x"),
            correlation=[
                pb.Correlation(key="k", value="1"),
                pb.Correlation(key="k", value="2"),
                pb.Correlation(key="", value=""),
            ],
            response_contract=pb.ResponseContract(timeout=seconds(-1)),
            expire_time=Timestamp(seconds=1 << 62),
            policy_refs=[pb.PolicyRef()],
        ),
    )

    # when it is sent
    facts = await refused(client.stub.SendMessage(bad))

    # then each is there, by the path of its field
    assert (facts.code, facts.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert {violation.field for violation in facts.violations} == {
        "pool_id", "message.from_run_id", "message.from_agent_id", "message.accept_time",
        "message.to", "message.to.cardinality", "message.content.media_type",
        "message.correlation", "message.correlation[2].key", "message.correlation[2].value",
        "message.response_contract.expected_responses", "message.response_contract.timeout",
        "message.expire_time", "message.idempotency_key", "message.policy_refs[0].policy_id",
    }  # fmt: skip


async def test_a_message_needs_content(pool: PoolClient) -> None:
    # given members, when a message without any is sent
    facts = await refused(pool.send("k1", inline_body=None))

    # then the content is named
    assert [v.field for v in facts.violations] == ["message.content"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"filters": []}, "condition.filters"),
        ({"filters": [pb.EventFilter()] * 17}, "condition.filters"),
        ({"after_matches": 65}, "condition.after_matches"),
        ({"cursor": b"junk"}, "condition.cursor"),
        ({"start": 7}, "condition.start"),
        ({"resume_with": 7}, "condition.resume_with"),
        ({"filters": [pb.EventFilter(topics=["\x01"])]}, "condition.filters[0].topics[0]"),
        ({"filters": [pb.EventFilter(kinds=["k"] * 65)]}, "condition.filters[0].kinds"),
        ({"idempotency_key": ""}, "condition.idempotency_key"),
    ],
)
async def test_bad_conditions_are_refused(
    pool: PoolClient, change: dict[str, object], field: str
) -> None:
    # given a pool, when a wait is registered with a mistake
    facts = await refused(pool.suspend(RUN_A, "w", **change))

    # then it is named
    assert [violation.field for violation in facts.violations] == [field]


async def test_a_condition_too_large_to_come_back_is_refused(pool: PoolClient) -> None:
    # given filters of 230 KB, whose lists and ids are within their limits
    names = [f"{number:0512d}" for number in range(64)]
    lists = ("kinds", "recipient_run_ids", "message_ids", "reply_to", "topics", "sender_run_ids")
    vast = pb.EventFilter(**dict.fromkeys(lists, names), sender_agent_ids=names)

    # when sixteen of them, five and one are registered
    no_request = await refused(pool.suspend(RUN_A, "w", *[vast] * 16))
    too_large = await refused(pool.suspend(RUN_A, "w", *[vast] * 5))
    answer = await pool.suspend(RUN_A, "w", vast)

    # then only the last is not too large
    assert [violation.field for violation in no_request.violations] == ["request"]
    assert [violation.field for violation in too_large.violations] == ["condition"]
    assert answer.wake.state == pb.Wake.STATE_REGISTERED


@pytest.mark.parametrize(
    ("lease", "is_good"),
    [
        (None, True),
        (Duration(seconds=1), True),
        (Duration(seconds=43_200), True),
        (Duration(), False),
        (Duration(nanos=999_999_999), False),
        (Duration(seconds=43_200, nanos=1_000), False),
        (Duration(seconds=1, nanos=1_000_000_000), False),
    ],
)
async def test_the_length_of_a_lease_is_limited(
    pool: PoolClient, lease: Duration | None, is_good: bool
) -> None:
    # given a member, when it fetches, then a lease that is set has to be from 1 s to 12 h
    call = pool.fetch(RUN_A, lease=lease)
    if is_good:
        assert not (await call).more
    else:
        assert {violation.field for violation in (await refused(call)).violations} == {"lease"}


@pytest.mark.parametrize(
    "instant",
    [
        Timestamp(seconds=253_402_300_799, nanos=2_000_000_000),
        Timestamp(seconds=-62_135_596_800, nanos=-1_000),
    ],
)
async def test_instants_beyond_the_calendar_are_refused(
    pool: PoolClient, instant: Timestamp
) -> None:
    # given members, when a message has such an expiry
    facts = await refused(pool.send("k", expire_time=instant))

    # then the request is refused as invalid
    assert facts.reason == "INVALID_REQUEST"
    assert [violation.field for violation in facts.violations] == ["message.expire_time"]


async def test_cursors_of_another_pool_or_beyond_the_log_are_refused(pool: PoolClient) -> None:
    # given a cursor of another pool, and one beyond the end of the log
    foreign = (await pool.open("pool-2")).pool
    await pool.join(RUN_A, pool_id="pool-2")
    cursor = (await pool.join(RUN_A, pool_id="pool-2")).cursor
    mine = (await pool.join(RUN_A)).cursor
    future = mine[:-8] + (99).to_bytes(8, "big")

    # when waits start there
    other = await refused(pool.suspend(RUN_A, "w", cursor=cursor))
    beyond = await refused(pool.suspend(RUN_A, "w", cursor=future))

    # then both are refused
    assert foreign.pool_id == "pool-2"
    assert "another pool" in other.violations[0].description
    assert beyond.code is grpc.StatusCode.OUT_OF_RANGE
    assert beyond.reason == "CURSOR_OUT_OF_RANGE"
    assert (beyond.metadata["oldest"], beyond.metadata["head"]) == ("1", "4")


async def test_refusals_have_codes_and_reasons(pool: PoolClient) -> None:
    # given a pool with an answered message and an acknowledged delivery
    await pool.join(RUN_C)
    await pool.send("k1")
    (delivery,) = (await pool.fetch(RUN_B)).deliveries
    await pool.respond(RUN_B, "m-k1", "a1")
    config = pb.PoolConfig(auto_leave=False)
    contract = pb.ResponseContract(expected_responses=2)
    any_one = pb.Address(run_id="x", cardinality=pb.Address.CARDINALITY_ANY_ONE)
    precondition, unimplemented = "FAILED_PRECONDITION", "UNIMPLEMENTED"
    calls = {
        "GetPool": (pool.get("none"), "NOT_FOUND", "POOL_NOT_FOUND"),
        "OpenPool": (pool.open(config=config), precondition, "CONFIG_CONFLICT"),
        "JoinPool": (pool.join(RUN_A, agent_id="other"), precondition, "AGENT_MISMATCH"),
        "no member": (pool.send("k2", from_run_id="run-z"), precondition, "NOT_A_MEMBER"),
        "key": (pool.send("k1", "other"), "ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT"),
        "id": (pool.send("k3", message_id="m-k1"), "ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT"),
        "contract": (
            pool.send("k4", response_contract=contract), precondition, "CONTRACT_UNSATISFIABLE"
        ),
        "GetMessage": (pool.message("none"), "NOT_FOUND", "MESSAGE_NOT_FOUND"),
        "unasked": (pool.respond(RUN_C, "m-k1", "a2"), precondition, "NOT_A_RECIPIENT"),
        "again": (pool.respond(RUN_B, "m-k1", "a3", "other"), precondition, "ALREADY_RESPONDED"),
        "stale": (pool.ack(delivery, lease_token="old"), "ABORTED", "STALE_LEASE"),
        "not mine": (pool.ack(delivery, run_id=RUN_C), "NOT_FOUND", "DELIVERY_NOT_FOUND"),
        "lease": (pool.join(RUN_A, lease=seconds(5)), unimplemented, "UNIMPLEMENTED"),
        "any_one": (pool.send("k5", to=any_one), unimplemented, "UNIMPLEMENTED"),
        "long lease": (
            pool.fetch(RUN_B, lease=seconds(43_201)), "INVALID_ARGUMENT", "INVALID_REQUEST"
        ),
    }  # fmt: skip

    # when calls are refused
    found = {name: await refused(call) for name, (call, _, _) in calls.items()}

    # then each has its code and reason
    for name, (_, code, reason) in calls.items():
        assert (found[name].code.name, found[name].reason) == (code, reason), name
        assert found[name].domain == "pool.runyard.dev"
        assert "retry" in found[name].metadata


async def test_rpcs_that_are_not_served_are_unimplemented(serve: Serve) -> None:
    # given every method of the contract
    methods = rpc.DESCRIPTOR.services_by_name["PoolService"].methods
    served = {
        "OpenPool", "GetPool", "JoinPool", "ListMembers", "SendMessage", "Respond", "GetMessage",
        "FetchInbox", "AckDelivery", "SuspendUntil", "GetWake", "CancelWake",
    }  # fmt: skip
    async with serve() as pool:
        for method in methods:
            if method.name in served:
                continue

            # when one that has no use case is called
            request = getattr(rpc, method.input_type.name)()
            call = getattr(pool.stub, method.name)
            facts = await refused(called(call, request, method))

            # then it is unimplemented, by name
            assert facts.reason == "UNIMPLEMENTED", method.name
            assert facts.metadata["method"] == method.name


async def called(call: Any, request: Any, method: Any) -> None:
    """Call ``method`` and read all of its answer."""
    answer = call(iter([request]) if method.client_streaming else request)
    if method.server_streaming:
        async for _ in answer:
            pass
    else:
        await answer
