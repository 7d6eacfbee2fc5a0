"""One reading of a duration and of a time, and the faults it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from runyard.pool.v1 import pool_pb2, pool_service_pb2
from services.chassis.errors import Violation
from services.chassis.protobuf.decoder import (
    MAX_DURATION_S,
    Decoder,
    duration_from_pb,
    duration_to_pb,
    instant_from_pb,
    instant_to_pb,
)

NO_DURATION = "is no duration, or out of range"
NO_TIME = "is no time between the years 1 and 9999"
FETCH = pool_service_pb2.FetchInboxRequest


def read(
    lease: Duration | None, *, least: timedelta | None = None, most: timedelta | None = None
) -> tuple[timedelta | str, list[Violation]]:
    decoder, message = Decoder(), FETCH(lease=lease)
    value = decoder.duration(message, "lease", "at", "default", least=least, most=most)
    return value, decoder.found


@pytest.mark.parametrize(
    ("seconds", "nanos", "expected"),
    [
        (0, 0, timedelta(0)),
        (1, 500_000_000, timedelta(seconds=1.5)),
        (-1, -500_000_000, timedelta(seconds=-1.5)),
        (0, -500_000_000, timedelta(seconds=-0.5)),
        (-1, 0, timedelta(seconds=-1)),
        (0, 999, timedelta(0)),
        (0, -999, timedelta(0)),
        (0, 999_999_999, timedelta(microseconds=999_999)),
        (MAX_DURATION_S, 0, timedelta(seconds=MAX_DURATION_S)),
        (-MAX_DURATION_S, 0, timedelta(seconds=-MAX_DURATION_S)),
    ],
)
def test_a_duration_is_read_to_the_microsecond(
    seconds: int, nanos: int, expected: timedelta
) -> None:
    assert read(Duration(seconds=seconds, nanos=nanos)) == (expected, [])


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (1, -1),
        (-1, 1),
        (0, 1_000_000_000),
        (0, -1_000_000_000),
        (1, 2_000_000_000),
        (MAX_DURATION_S + 1, 0),
        (-MAX_DURATION_S - 1, 0),
        (1 << 62, 0),
        (-(1 << 63), 0),
    ],
)
def test_what_is_no_duration_is_refused(seconds: int, nanos: int) -> None:
    found = read(Duration(seconds=seconds, nanos=nanos))

    assert found == ("default", [Violation("at.lease", NO_DURATION)])


def test_an_unset_duration_is_the_default_and_a_zero_is_not() -> None:
    assert read(None) == ("default", [])
    assert read(Duration()) == (timedelta(0), [])


@pytest.mark.parametrize(
    ("seconds", "nanos", "text"),
    [
        (0, 999_999_999, "must be at least 1 s"),
        (-5, 0, "must be at least 1 s"),
        (43_200, 1_000, "must be at most 43,200 s"),
        (1, 0, ""),
        (43_200, 0, ""),
    ],
)
def test_a_duration_may_have_bounds(seconds: int, nanos: int, text: str) -> None:
    least, most = timedelta(seconds=1), timedelta(hours=12)

    value, found = read(Duration(seconds=seconds, nanos=nanos), least=least, most=most)

    assert [violation.description for violation in found] == ([text] if text else [])
    assert (value == "default") == bool(text)


def test_never_negative_is_a_bound() -> None:
    least = timedelta(0)

    assert read(Duration(), least=least) == (timedelta(0), [])
    assert read(Duration(nanos=-1_000), least=least) == (
        "default",
        [Violation("at.lease", "must be at least 0 s")],
    )


@given(st.timedeltas(timedelta(seconds=-MAX_DURATION_S), timedelta(seconds=MAX_DURATION_S)))
def test_every_duration_comes_back_the_same(value: timedelta) -> None:
    message = duration_to_pb(value)

    assert message is not None
    assert duration_from_pb(message) == value


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (253_402_300_800, 0),
        (253_402_300_799, 1_000_000_000),
        (-62_135_596_801, 0),
        (-62_135_596_800, -1),
        (0, -1),
        (1 << 60, 0),
    ],
)
def test_what_is_no_time_is_refused(seconds: int, nanos: int) -> None:
    decoder = Decoder()
    message = pool_pb2.Message(expire_time=Timestamp(seconds=seconds, nanos=nanos))

    assert decoder.time(message, "expire_time", "message") is None
    assert decoder.found == [Violation("message.expire_time", NO_TIME)]


def test_an_unset_time_is_none_and_the_epoch_is_not() -> None:
    decoder = Decoder()

    assert decoder.time(pool_pb2.Message(), "expire_time", "") is None
    epoch = pool_pb2.Message(expire_time=Timestamp())
    assert decoder.time(epoch, "expire_time", "") == datetime(1970, 1, 1, tzinfo=UTC)
    assert decoder.found == []


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_time_comes_back_the_same(value: datetime) -> None:
    message = instant_to_pb(value)

    assert message is not None
    assert instant_from_pb(message) == value


def test_none_leaves_a_field_unset() -> None:
    assert duration_to_pb(None) is None
    assert instant_to_pb(None) is None
