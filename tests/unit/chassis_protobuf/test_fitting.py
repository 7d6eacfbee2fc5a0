"""Answers stay below what every client accepts, and say what they leave out."""

from __future__ import annotations

from runyard.pool.v1 import pool_pb2 as pb
from services.chassis.protobuf.sizes import ANSWER_BYTES, IDS_BYTES, fitting, fitting_ids


def entries(count: int, size_bytes: int) -> list[pb.Recipient]:
    return [pb.Recipient(run_id="x" * size_bytes) for _ in range(count)]


def test_everything_fits_or_it_is_counted() -> None:
    assert fitting(entries(3, 10)) == (entries(3, 10), 0)
    assert fitting([]) == ([], 0)

    kept, omitted = fitting(entries(10, 1 << 19))

    assert (len(kept), omitted) == (7, 3)
    assert sum(message.ByteSize() for message in kept) <= ANSWER_BYTES


def test_nothing_goes_after_what_did_not_fit() -> None:
    kept, omitted = fitting([*entries(1, ANSWER_BYTES), *entries(1, 1)])

    assert (kept, omitted) == ([], 2)


def test_ids_are_measured_in_bytes() -> None:
    assert fitting_ids(["a", "b"]) == ["a", "b"]
    assert len(fitting_ids(["é" * 250] * 3_000)) == IDS_BYTES // 505
