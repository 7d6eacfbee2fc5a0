"""A cursor leads back to its place in its own stream only."""

from __future__ import annotations

import pytest

from services.chassis.errors import Violation
from services.chassis.protobuf.cursors import Cursors
from services.chassis.protobuf.decoder import Decoder

POOLS = Cursors("pool")
CURSOR = POOLS.encode("pool-1", 7)


def decoded(cursor: bytes) -> tuple[int, list[Violation]]:
    decoder = Decoder()
    return POOLS.decode(cursor, "pool-1", "after", decoder), decoder.found


@pytest.mark.parametrize("sequence", [0, 1, 7, 2**40, 2**63 - 1])
def test_a_cursor_leads_back_to_its_place(sequence: int) -> None:
    assert decoded(POOLS.encode("pool-1", sequence)) == (sequence, [])


def test_a_cursor_is_what_it_was_in_the_first_release() -> None:
    """Run control keeps cursors of pools for as long as a run waits."""
    assert CURSOR.hex() == "014ec6ff550000000000000007"


@pytest.mark.parametrize(
    "cursor", [b"", b"\x01", CURSOR[:-1], CURSOR + b"\x00", b"\x02" + CURSOR[1:], bytes(13)]
)
def test_what_is_no_cursor_is_refused(cursor: bytes) -> None:
    assert decoded(cursor) == (0, [Violation("after", "is not a cursor of a pool")])


@pytest.mark.parametrize("sequence", [2**63, 2**64 - 1])
def test_a_place_that_no_database_can_hold_is_refused(sequence: int) -> None:
    cursor = POOLS.encode("pool-1", sequence)

    assert decoded(cursor) == (0, [Violation("after", "is not a cursor of a pool")])


@pytest.mark.parametrize("cursor", [POOLS.encode("pool-2", 7), b"\x01" + bytes(4) + CURSOR[5:]])
def test_a_cursor_of_another_stream_is_refused(cursor: bytes) -> None:
    assert decoded(cursor) == (0, [Violation("after", "is a cursor of another pool")])
