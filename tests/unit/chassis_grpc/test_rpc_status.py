"""Statuses as they travel."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.calls import rpc_status
from services.chassis.errors import DomainError, ErrorKind, Violation

LIMIT_BYTES = 8_192


class ThingError(DomainError):
    kind = ErrorKind.STALE
    reason = "THING_STALE"


def _read(status: rpc_status.WireStatus) -> rpc_status.ErrorFacts:
    trailers = grpc.aio.Metadata(*status.trailers)
    error = grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailers, status.message)
    return rpc_status.reason_of(error)


def _on_the_wire_bytes(status: rpc_status.WireStatus) -> int:
    """As HTTP/2 counts a header list: base64 of binary values, percent-encoding of the message."""
    message_bytes = sum(
        1 if " " <= c <= "~" and c != "%" else 3 * len(c.encode()) for c in status.message
    )
    entries = [
        len(key) + 32 + (len(value) if isinstance(value, str) else (len(value) + 2) // 3 * 4)
        for key, value in status.trailers
    ]
    return sum(entries) + message_bytes + len("grpc-message") + len("grpc-status") + 66


def test_every_kind_has_its_own_code() -> None:
    assert set(rpc_status.CODE_OF) == set(ErrorKind)
    assert len(set(rpc_status.CODE_OF.values())) == len(ErrorKind)


def test_what_a_server_says_a_client_reads() -> None:
    status = rpc_status.status_of(
        ThingError(
            "version 3 is stale",
            violations=[Violation("version", "is 3, the head is 5", "stale_version")],
            retry_after_s=0.25,
            version="3",
        ),
        "things.example",
    )
    assert _read(status) == rpc_status.ErrorFacts(
        code=grpc.StatusCode.ABORTED,
        reason="THING_STALE",
        domain="things.example",
        metadata={"version": "3", "retry": "not_retryable"},
        retry_after_s=0.25,
        violations=(Violation("version", "is 3, the head is 5", "stale_version"),),
        message="version 3 is stale",
    )


def test_the_packed_status_agrees_with_the_bare_one() -> None:
    """Helpers of other languages refuse a status whose two halves differ."""
    status = rpc_status.status_of(ThingError("é" * 1_000), "things.example")
    packed = Status.FromString(dict(status.trailers)[rpc_status.DETAILS_KEY])  # type: ignore[arg-type]  # bytes
    assert (packed.code, packed.message) == (status.code.value[0], status.message)


def test_an_internal_error_says_where_to_look() -> None:
    facts = _read(rpc_status.internal_status("things.example", "e-1"))
    assert (facts.code, facts.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert facts.metadata == {"retry": "not_retryable", "error_id": "e-1"}


@given(
    message=st.text(max_size=3_000),
    metadata=st.dictionaries(st.sampled_from("abcdefgh"), st.text(max_size=3_000)),
    violations=st.lists(
        st.builds(Violation, st.text(max_size=900), st.text(max_size=900), st.text(max_size=900)),
        max_size=40,
    ),
)
def test_whatever_it_says_a_status_fits_and_accounts_for_what_it_left_out(
    message: str, metadata: dict[str, str], violations: list[Violation]
) -> None:
    error = ThingError(message, violations=violations, retry_after_s=1.0, **metadata)
    status = rpc_status.status_of(error, "things.example")
    facts = _read(status)
    assert _on_the_wire_bytes(status) < LIMIT_BYTES
    assert facts.reason == "THING_STALE"
    omitted = int(facts.metadata.get("violations_omitted", "0"))
    assert len(facts.violations) + omitted == len(violations)
    assert bool(facts.violations) == bool(violations)
    left_out = int(facts.metadata.get("metadata_omitted", "0"))
    assert len(facts.metadata.keys() & metadata.keys()) + left_out == len(metadata)


def test_a_lone_surrogate_does_not_turn_an_error_into_a_crash() -> None:
    error = ThingError("bad \ud800", violations=[Violation("f\ud800", "d")], id="\ud800")
    facts = _read(rpc_status.status_of(error, "things.example"))
    assert facts.metadata["id"] == "?"
    assert facts.message == "bad ?"


@pytest.mark.parametrize(
    "trailers", [None, ((rpc_status.DETAILS_KEY, b"\xff\xff"),), (("x", "y"),)]
)
def test_details_that_are_missing_or_damaged_leave_the_code(
    trailers: tuple[tuple[str, str | bytes], ...] | None,
) -> None:
    metadata = None if trailers is None else grpc.aio.Metadata(*trailers)
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE,
        grpc.aio.Metadata(),
        metadata,  # type: ignore[arg-type]  # as gRPC itself passes it
        None,
    )
    facts = rpc_status.reason_of(error)
    assert facts.code is grpc.StatusCode.UNAVAILABLE
    assert (facts.reason, facts.message, facts.retry_after_s) == ("", "", None)
