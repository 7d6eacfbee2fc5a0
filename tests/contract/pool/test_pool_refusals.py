"""What the pool refuses, and how it says so."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from runyard.pool.v1 import pool_pb2 as pb
from runyard.pool.v1 import pool_service_pb2 as rpc
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from tests.contract.pool.conftest import Serve
from tests.contract.pool.requests import (
    POOL,
    RUN_A,
    RUN_B,
    RUN_C,
    ack,
    fetch,
    join,
    message,
    opened,
    refused,
    respond,
    seconds,
    send,
    suspend,
)


async def test_every_mistake_of_a_request_is_reported(pool: PoolServiceStub) -> None:
    # given a request with many
    bad = rpc.SendMessageRequest(
        pool_id="x" * 513,
        message=pb.Message(
            from_run_id="a\nb",
            from_agent_id="mine",
            accept_time=Timestamp(seconds=1),
            to=pb.Address(cardinality=9),  # type: ignore[arg-type]  # not a value of it
            inline_body=pb.InlineBody(data=b"x" * 65_537),
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
    facts = await refused(pool.SendMessage(bad))

    # then each is there, by the path of its field
    assert (facts.code, facts.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    fields = {violation.field for violation in facts.violations}
    assert fields == {
        "pool_id",
        "message.from_run_id",
        "message.from_agent_id",
        "message.accept_time",
        "message.to",
        "message.to.cardinality",
        "message.content",
        "message.content.media_type",
        "message.correlation",
        "message.correlation[2].key",
        "message.correlation[2].value",
        "message.response_contract.expected_responses",
        "message.response_contract.timeout",
        "message.expire_time",
        "message.idempotency_key",
        "message.policy_refs[0].policy_id",
    }


async def test_a_message_needs_content(pool: PoolServiceStub) -> None:
    # given a message without any
    await opened(pool, RUN_A, RUN_B)
    bare = message("k1")
    bare.ClearField("inline_body")

    # when it is sent
    facts = await refused(pool.SendMessage(rpc.SendMessageRequest(pool_id=POOL, message=bare)))

    # then that is what is missing
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
    pool: PoolServiceStub, change: dict[str, object], field: str
) -> None:
    # given a pool
    await opened(pool, RUN_A)
    request = suspend(RUN_A, "w")
    for name, value in change.items():
        if name == "filters":
            del request.condition.filters[:]
            request.condition.filters.extend(value)  # type: ignore[arg-type]
        else:
            setattr(request.condition, name, value)

    # when a wait is registered with a mistake
    facts = await refused(pool.SuspendUntil(request))

    # then it is named
    assert [violation.field for violation in facts.violations] == [field]


async def test_a_condition_too_large_to_come_back_is_refused(pool: PoolServiceStub) -> None:
    # given a condition whose lists and ids are within their limits, and more than 4 MiB together
    await opened(pool, RUN_A)
    names = [f"{number:0512d}" for number in range(64)]
    lists = ("kinds", "recipient_run_ids", "message_ids", "reply_to", "topics", "sender_run_ids")
    vast = pb.EventFilter(**dict.fromkeys(lists, names), sender_agent_ids=names)

    # when it is registered, and a sixteenth of it
    facts = await refused(pool.SuspendUntil(suspend(RUN_A, "w", *[vast] * 16)))
    answer = await pool.SuspendUntil(suspend(RUN_A, "w", vast))

    # then only the first is refused
    assert [violation.field for violation in facts.violations] == ["condition"]
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
async def test_leases_have_bounds(
    pool: PoolServiceStub, lease: Duration | None, is_good: bool
) -> None:
    # given a member
    await opened(pool, RUN_A)

    # when it fetches with a lease, then one that is set has to be within them
    call = pool.FetchInbox(fetch(RUN_A, lease=lease))
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
    pool: PoolServiceStub, instant: Timestamp
) -> None:
    # given members
    await opened(pool, RUN_A, RUN_B)

    # when a message expires at what is no instant
    facts = await refused(pool.SendMessage(send("k", expire_time=instant)))

    # then the request is wrong, not the server
    assert facts.reason == "INVALID_REQUEST"
    assert [violation.field for violation in facts.violations] == ["message.expire_time.nanos"]


async def test_cursors_do_not_travel(pool: PoolServiceStub) -> None:
    # given a cursor of another pool, and one of this pool's future
    await opened(pool, RUN_A, RUN_B)
    foreign = (await pool.OpenPool(rpc.OpenPoolRequest(pool_id="pool-2"))).pool
    await pool.JoinPool(join(RUN_A, pool_id="pool-2"))
    cursor = (await pool.JoinPool(join(RUN_A, pool_id="pool-2"))).cursor
    mine = (await pool.JoinPool(join(RUN_A))).cursor
    future = mine[:-8] + (99).to_bytes(8, "big")

    # when waits begin there
    other = await refused(pool.SuspendUntil(suspend(RUN_A, "w", cursor=cursor)))
    beyond = await refused(pool.SuspendUntil(suspend(RUN_A, "w", cursor=future)))

    # then both are refused
    assert foreign.pool_id == "pool-2"
    assert "another pool" in other.violations[0].description
    assert (beyond.code, beyond.reason) == (
        grpc.StatusCode.OUT_OF_RANGE, "CURSOR_OUT_OF_RANGE"
    )  # fmt: skip
    assert (beyond.metadata["oldest"], beyond.metadata["head"]) == ("1", "4")


async def test_refusals_have_codes_and_reasons(pool: PoolServiceStub) -> None:
    # given a pool with an answered message and an acknowledged delivery
    await opened(pool, RUN_A, RUN_B, RUN_C)
    await pool.SendMessage(send("k1"))
    (delivery,) = (await pool.FetchInbox(fetch(RUN_B))).deliveries
    await pool.Respond(respond(RUN_B, "m-k1", "a1"))
    other_body = pb.InlineBody(data=b"other", media_type="text/plain")
    other_config = pb.PoolConfig(auto_leave=False)
    contract = pb.ResponseContract(expected_responses=2)
    stale = ack(delivery, lease_token="old")

    # when calls are refused
    found = {}
    for name, call in {
        "GetPool": pool.GetPool(rpc.GetPoolRequest(pool_id="none")),
        "OpenPool": pool.OpenPool(rpc.OpenPoolRequest(pool_id=POOL, config=other_config)),
        "JoinPool": pool.JoinPool(join(RUN_A, agent_id="other")),
        "stranger": pool.SendMessage(send("k2", from_run_id="stranger")),
        "key": pool.SendMessage(send("k1", "other")),
        "id": pool.SendMessage(send("k3", message_id="m-k1")),
        "contract": pool.SendMessage(send("k4", response_contract=contract)),
        "GetMessage": pool.GetMessage(rpc.GetMessageRequest(pool_id=POOL, message_id="none")),
        "unasked": pool.Respond(respond(RUN_C, "m-k1", "a2")),
        "again": pool.Respond(respond(RUN_B, "m-k1", "a3", inline_body=other_body)),
        "stale": pool.AckDelivery(stale),
        "not mine": pool.AckDelivery(
            rpc.AckDeliveryRequest(pool_id=POOL, run_id=RUN_C, message_id="m-k1", lease_token="t")
        ),
        "lease": pool.JoinPool(join(RUN_A, lease=seconds(5))),
        "any_one": pool.SendMessage(
            send("k5", to=pb.Address(run_id="x", cardinality=pb.Address.CARDINALITY_ANY_ONE))
        ),
        "long lease": pool.FetchInbox(fetch(RUN_B, lease=seconds(43_201))),
    }.items():
        facts = await refused(call)
        found[name] = (facts.code.name, facts.reason)
        assert facts.domain == "pool.runyard.dev"
        assert "retry" in facts.metadata

    # then each has its code and reason
    assert found == {
        "GetPool": ("NOT_FOUND", "POOL_NOT_FOUND"),
        "OpenPool": ("FAILED_PRECONDITION", "CONFIG_CONFLICT"),
        "JoinPool": ("FAILED_PRECONDITION", "AGENT_MISMATCH"),
        "stranger": ("FAILED_PRECONDITION", "NOT_A_MEMBER"),
        "key": ("ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT"),
        "id": ("ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT"),
        "contract": ("FAILED_PRECONDITION", "CONTRACT_UNSATISFIABLE"),
        "GetMessage": ("NOT_FOUND", "MESSAGE_NOT_FOUND"),
        "unasked": ("FAILED_PRECONDITION", "NOT_A_RECIPIENT"),
        "again": ("FAILED_PRECONDITION", "ALREADY_RESPONDED"),
        "stale": ("ABORTED", "STALE_LEASE"),
        "not mine": ("NOT_FOUND", "DELIVERY_NOT_FOUND"),
        "lease": ("UNIMPLEMENTED", "UNIMPLEMENTED"),
        "any_one": ("UNIMPLEMENTED", "UNIMPLEMENTED"),
        "long lease": ("INVALID_ARGUMENT", "INVALID_REQUEST"),
    }


async def test_what_is_not_served_says_so(serve: Serve) -> None:
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
            call = getattr(pool, method.name)
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
