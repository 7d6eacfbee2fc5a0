"""Idempotency keys and replies of the current call."""

from __future__ import annotations

from hashlib import sha256
from typing import cast

import pytest
from google.protobuf.wrappers_pb2 import Int64Value
from google.rpc.error_details_pb2 import RequestInfo

from services.chassis import errors
from services.chassis.caller import (
    LOCAL_PRINCIPAL,
    Caller,
    Principal,
    Replay,
    RequestKey,
    RequestLog,
    Role,
    once,
)
from services.chassis.calls.call import Call, MutationResponse, calling, current_call, find_call

NUMBER: MutationResponse[int, Int64Value] = MutationResponse(
    Int64Value, lambda number: Int64Value(value=number)
)
# No request of these tests is looked up.
NO_LOG = cast("RequestLog", None)
CALL = Call("/a.B/C", LOCAL_PRINCIPAL, lambda: None)


def _request(key: str, data: str = "data") -> RequestInfo:
    """A message that has a ``request_id``, as mutating requests do."""
    return RequestInfo(request_id=key, serving_data=data)


async def key_of(request: RequestInfo, call: Call = CALL) -> RequestKey | None:
    """What a use case is given for ``request``."""
    found: list[Caller] = []

    async def use_case(caller: Caller) -> int:
        found.append(caller)
        return 5

    with calling(call):
        await NUMBER.answer(request, use_case)
    return found[0].request and found[0].request.key


async def test_a_key_says_who_asks_and_by_what_and_is_bound_to_the_content() -> None:
    # given a service that acts for somebody, through a run
    service = Principal("acme", frozenset({Role.SERVICE}), "gateway", "alice")
    call = Call("/a.B/C", service, lambda: None, "run-1")

    # when
    key = await key_of(_request("k-1"), call)

    # then
    body = RequestInfo(serving_data="data").SerializeToString(deterministic=True)
    digest = b"\x01" + sha256(body).digest()
    assert key == RequestKey("acme", "alice", "run-1", "/a.B/C", "k-1", digest)


async def test_a_large_request_has_the_same_key_and_the_same_response() -> None:
    # given a call whose work is done in slices
    large = Call("/a.B/C", LOCAL_PRINCIPAL, lambda: None, large=True)

    async def use_case(caller: Caller) -> int:
        return 5

    with calling(large):
        response = await NUMBER.answer(_request("k-1"), use_case)

    assert response == Int64Value(value=5)
    assert await key_of(_request("k-1"), large) == await key_of(_request("k-1"))


async def test_the_digest_is_of_the_content_without_the_key() -> None:
    requests = _request("k-1"), _request("k-2"), _request("k-1", "else")
    keys = [await key_of(request) for request in requests]
    one, same, other = [key.digest for key in keys if key is not None]
    assert one == same != other


async def test_the_request_is_left_as_it_was() -> None:
    request = _request("k-1")
    await key_of(request)
    assert request == _request("k-1")


async def test_without_a_request_id_there_is_no_key() -> None:
    assert await key_of(_request("")) is None


@pytest.mark.parametrize(
    ("bad", "error", "fields"),
    [
        ("x" * 513, None, ["request_id"]),
        ("a\nb", None, ["request_id"]),
        (
            "a\nb",
            errors.InvalidRequestError.of([errors.Violation("name", "?")]),
            ["name", "request_id"],
        ),
        # Whether it would have worked is not asked of a request that is malformed.
        ("a\nb", errors.StoreUnavailableError("away"), ["request_id"]),
    ],
)
async def test_an_illegal_request_id_is_refused_in_the_transaction_with_what_else_is_wrong(
    bad: str, error: errors.DomainError | None, fields: list[str]
) -> None:
    """Taken as no key, a repeat would act twice."""

    def effect() -> int:
        if error is not None:
            raise error
        return 5

    async def use_case(caller: Caller) -> int | Replay:
        return once(NO_LOG, caller, effect)

    with calling(CALL), pytest.raises(errors.InvalidRequestError) as caught:
        await NUMBER.answer(_request(bad), use_case)
    assert [v.field for v in caught.value.violations] == fields


async def test_only_a_request_that_has_a_request_id_can_be_answered_once() -> None:
    async def use_case(caller: Caller) -> int:
        return 5

    with calling(CALL), pytest.raises(AttributeError, match="request_id"):
        await NUMBER.answer(Int64Value(value=1), use_case)


async def test_a_result_is_converted_once_for_now_and_once_for_a_repeat() -> None:
    # given
    stored: list[bytes] = []

    async def first(caller: Caller) -> int:
        assert caller.request is not None
        stored.append(caller.request.encode(5))
        return 5

    async def repeat(caller: Caller) -> Replay:
        return Replay(stored[0])

    # when, then
    with calling(CALL):
        assert await NUMBER.answer(_request("k-1"), first) == Int64Value(value=5)
        assert await NUMBER.answer(_request("k-1"), repeat) == Int64Value(value=5)


def test_the_current_call_is_that_of_the_innermost_block() -> None:
    assert find_call() is None
    with calling(CALL):
        assert current_call() is CALL
    with pytest.raises(LookupError):
        current_call()
