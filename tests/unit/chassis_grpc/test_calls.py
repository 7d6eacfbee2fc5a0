"""Idempotency keys and replies of the current call."""

from __future__ import annotations

from hashlib import sha256

import pytest
from google.protobuf.wrappers_pb2 import Int64Value
from google.rpc.error_details_pb2 import RequestInfo

from services.chassis.caller import LOCAL_PRINCIPAL, Replay, RequestKey
from services.chassis.calls import Call, calling, current_call, find_call, reply, request_key
from services.chassis.errors import InvalidRequestError

CALL = Call("/a.B/C", LOCAL_PRINCIPAL, "ipv4:127.0.0.1:1", lambda: None)


def _request(key: str, data: str = "data") -> RequestInfo:
    """A message that has a ``request_id``, as mutating requests do."""
    return RequestInfo(request_id=key, serving_data=data)


def test_a_key_is_scoped_by_tenant_and_method_and_bound_to_the_content() -> None:
    with calling(CALL):
        key = request_key(_request("k-1"))
    body = RequestInfo(serving_data="data").SerializeToString(deterministic=True)
    assert key == RequestKey("default", "/a.B/C", "k-1", b"\x01" + sha256(body).digest())


def test_the_digest_is_of_the_content_without_the_key() -> None:
    with calling(CALL):
        one, same, other = (
            request_key(_request("k-1")),
            request_key(_request("k-2")),
            request_key(_request("k-1", "else")),
        )
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.digest == same.digest != other.digest


def test_the_request_is_left_as_it_was() -> None:
    request = _request("k-1")
    with calling(CALL):
        request_key(request)
    assert request == _request("k-1")


def test_without_a_request_id_there_is_no_key() -> None:
    assert request_key(_request("")) is None


@pytest.mark.parametrize("bad", ["x" * 513, "a\nb"])
def test_an_illegal_request_id_is_a_violation(bad: str) -> None:
    with calling(CALL), pytest.raises(InvalidRequestError) as caught:
        request_key(_request(bad))
    assert [v.field for v in caught.value.violations] == ["request_id"]


def test_only_messages_have_keys() -> None:
    class Lookalike:
        request_id = "k-1"

    with calling(CALL), pytest.raises(TypeError, match="Lookalike"):
        request_key(Lookalike())


def test_a_fresh_answer_is_converted_and_a_stored_one_parsed() -> None:
    stored = Replay(Int64Value(value=7).SerializeToString())
    assert reply(Int64Value, 5, lambda n: Int64Value(value=n)) == Int64Value(value=5)
    assert reply(Int64Value, stored, lambda n: Int64Value(value=n)) == Int64Value(value=7)


def test_the_current_call_is_that_of_the_innermost_block() -> None:
    assert find_call() is None
    with calling(CALL):
        assert current_call() is CALL
    with pytest.raises(LookupError):
        current_call()
