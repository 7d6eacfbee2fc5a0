"""A loop over rows: what one row suffers is no other row's business, an outage is everybody's."""

from __future__ import annotations

import pytest

from services.chassis.each_row import each_row
from services.chassis.errors import DomainError, StoreUnavailableError

ROWS = ["a", "b", "c"]


def named(row: str) -> dict[str, object]:
    return {"row": row}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a defect"),
        DomainError("refused"),
        StoreUnavailableError("busy", cause="LOCK_NOT_AVAILABLE"),
    ],
    ids=["a defect", "a refusal", "a lock"],
)
async def test_a_row_that_fails_is_told_and_the_others_are_served(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(row: str) -> str:
        if row == "a":
            raise error
        return row

    assert await each_row(ROWS, serve, named) == ["b", "c"]
    assert [vars(each)["row"] for each in caplog.records] == ["a"]


async def test_a_row_that_is_given_up_has_no_result(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(row: str) -> str | None:
        return None if row == "b" else row

    assert await each_row(ROWS, serve, named) == ["a", "c"]
    assert caplog.records == []


async def test_an_outage_of_the_database_ends_the_round() -> None:
    """Each row would wait for it in turn."""
    tried: list[str] = []

    async def serve(row: str) -> str:
        tried.append(row)
        raise StoreUnavailableError("away", cause="CONNECTION_LOST")

    with pytest.raises(StoreUnavailableError):
        await each_row(ROWS, serve, named)
    assert tried == ["a"]
