"""Page tokens lead back to their place in their own query, and nothing else is taken for one."""

from __future__ import annotations

import base64
import json

import pytest
from google.protobuf.message import Message

from runyard.pool.v1 import pool_service_pb2 as pb
from services.chassis.errors import Violation
from services.chassis.protobuf.decoder import Decoder
from services.chassis.protobuf.pages import page_position, page_token

QUERY = pb.ListMembersRequest(pool_id="p", topic="t")
FOREIGN = "is not a token of this listing"
OTHER = "belongs to another query; start again without it"


def read(number: int, name: str) -> tuple[int, str]:
    """A position of these tests: a small number and a name."""
    if type(number) is not int or not 0 < number < 10 or not isinstance(name, str):
        raise ValueError(number)
    return number, name


def opened(token: str, query: Message = QUERY) -> tuple[tuple[int, str] | None, list[Violation]]:
    decoder = Decoder()
    request = type(query)()
    request.CopyFrom(query)
    setattr(request, "page_token", token)  # noqa: B010  # of every list request
    return page_position(request, read, decoder), decoder.found


def forged(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8")).decode("ascii")


GENUINE = page_token(QUERY, (4, "a"))
DIGEST = json.loads(base64.urlsafe_b64decode(GENUINE))[0]


@pytest.mark.parametrize("name", ["a", "a/b", "🚀", 'quo"te', "0", ""])
def test_a_token_leads_back_to_its_place(name: str) -> None:
    assert opened(page_token(QUERY, (4, name))) == ((4, name), [])


def test_the_last_page_and_the_first_have_no_token() -> None:
    assert page_token(QUERY, None) == ""
    assert opened("") == (None, [])


@pytest.mark.parametrize("size", [0, 1, 500, -1])
def test_a_token_is_good_for_a_page_of_any_size(size: int) -> None:
    query = pb.ListMembersRequest(pool_id="p", topic="t", page_size=size)

    assert opened(GENUINE, query) == ((4, "a"), [])
    assert page_token(query, (4, "a")) == GENUINE


@pytest.mark.parametrize(
    "query",
    [
        pb.ListMembersRequest(pool_id="p"),
        pb.ListMembersRequest(pool_id="p", topic="u"),
        pb.ListMembersRequest(pool_id="p", topic="t", agent_id="a"),
        pb.ListMembersRequest(pool_id="p", agent_id="t"),
        pb.ListMembersRequest(),
        pb.ListPoolsRequest(),
        pb.ListMessagesRequest(pool_id="p"),
    ],
    ids=repr,
)
def test_a_token_of_another_query_is_refused(query: Message) -> None:
    assert opened(GENUINE, query) == (None, [Violation("page_token", OTHER)])


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "%%",
        "é",
        GENUINE[:-4],
        GENUINE[:4] + "!*" + GENUINE[4:],
        GENUINE + "\n",
        GENUINE + "AAAA",
        forged("[" * 100_000),
        forged("null"),
        forged("[]"),
        forged('"abc"'),
        forged(json.dumps([DIGEST])),
        forged(json.dumps([DIGEST, 4])),
        forged(json.dumps([DIGEST, 4, "a", "b"])),
        forged(json.dumps([DIGEST, 4, 7])),
        forged(json.dumps([DIGEST, "4", "a"])),
        forged(json.dumps([DIGEST, True, "a"])),
        forged(json.dumps([DIGEST, 4.0, "a"])),
        forged(json.dumps([DIGEST, 99, "a"])),
        forged(json.dumps([7, 4, "a"])) + "=",
        forged(json.dumps({DIGEST: 1, "b": 2, "c": 3})),
        forged(json.dumps([DIGEST, 4, "a"], separators=(",", ":"))),
    ],
    ids=lambda token: token[:40],
)
def test_a_token_that_nobody_gave_out_is_refused(token: str) -> None:
    assert opened(token) == (None, [Violation("page_token", FOREIGN)])
