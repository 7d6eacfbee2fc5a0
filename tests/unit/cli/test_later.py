"""When a run is to start, as a person types it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.cli.base.exits import CliError
from services.cli.runs.submit import later

NOW = datetime(2027, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", datetime(2027, 1, 31, 12, 1, 30, tzinfo=UTC)),
        ("5m", datetime(2027, 1, 31, 12, 5, tzinfo=UTC)),
        ("2h", datetime(2027, 1, 31, 14, tzinfo=UTC)),
        ("1d", datetime(2027, 2, 1, 12, tzinfo=UTC)),
        ("2027-02-01", datetime(2027, 2, 1, tzinfo=UTC)),
        ("2027-02-01T09:00:00+01:00", datetime(2027, 2, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_moment_or_a_duration_from_now(text: str, expected: datetime) -> None:
    assert later(text, NOW) == expected


@pytest.mark.parametrize("text", ["soon", "2w", "-2h", "99999999999d", "2027-13-01"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(CliError, match="is no time"):
        later(text, NOW)
