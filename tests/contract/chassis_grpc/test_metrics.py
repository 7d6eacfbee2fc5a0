"""What calls leave in the metrics, at both ends."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc_health.v1 import health_pb2

from services.chassis.errors import InvalidRequestError, Violation
from tests.contract.chassis_grpc.probe import NAME, Probe, Waiting, failure, probing
from tests.support.metrics import Measured, measuring

SERVER = "rpc.server.call.duration"
CLIENT = "rpc.client.call.duration"
VIOLATIONS = "runyard.rpc.server.violations"
ACTIVE = "runyard.rpc.server.active_calls"

# The buckets of the conventions.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


def outcomes(measured: Measured, name: str) -> dict[tuple[str, str, str], float]:
    """Counts by method, status and error."""
    return {
        (
            str(dict(key)["rpc.method"]).removeprefix(f"{NAME}/"),
            str(dict(key)["rpc.response.status_code"]),
            str(dict(key).get("error.type", "")),
        ): count
        for key, count in measured.values(name).items()
    }


async def _picky(request: str, context: Any) -> str:
    if request == "defect":
        raise LookupError("secret")
    if request == "wrong":
        raise InvalidRequestError.of([Violation("value", "must not be wrong")])
    return request


async def test_calls_are_timed_by_method_and_outcome_at_both_ends() -> None:
    with measuring() as measured:
        # given and when
        async with probing(Probe(unary=_picky)) as probe:
            await probe.stub.unary("x")
            await probe.stub.unary("y")
            await failure(probe.stub.unary("wrong"))
            await failure(probe.stub.unary("defect"))
            async for _ in probe.stub.watch("x"):
                pass

        # then a refusal is the caller's fault, and a defect the server's
        assert outcomes(measured, SERVER) == {
            ("Unary", "OK", ""): 2,
            ("Unary", "INVALID_ARGUMENT", ""): 1,
            ("Unary", "INTERNAL", "INTERNAL"): 1,
            ("Watch", "OK", ""): 1,
        }
        assert {dict(key)["runyard.outcome"] for key in measured.values(SERVER)} == {
            "done",
            "INVALID_REQUEST",
            "INTERNAL",
        }
        ((key, count),) = measured.values(VIOLATIONS).items()
        assert (dict(key)["runyard.violation"], count) == ("field", 1)
        assert outcomes(measured, CLIENT) == {
            ("Unary", "OK", ""): 2,
            ("Unary", "INVALID_ARGUMENT", "INVALID_ARGUMENT"): 1,
            ("Unary", "INTERNAL", "INTERNAL"): 1,
            ("Watch", "OK", ""): 1,
        }
        for name in (SERVER, CLIENT):
            metric = measured.metric(name)
            assert metric is not None
            assert metric.unit == "s"
            for key, point in measured.points(name).items():
                assert dict(key)["rpc.system.name"] == "grpc"
                assert tuple(point.explicit_bounds) == BOUNDS


async def test_where_a_call_went_is_known_to_its_client() -> None:
    with measuring() as measured:
        async with probing() as probe:
            await probe.stub.unary("x")
            port = probe.port
        (key,) = measured.points(CLIENT)
    assert (dict(key)["server.address"], dict(key)["server.port"]) == ("127.0.0.1", port)


async def test_calls_are_active_until_they_end() -> None:
    waiting = Waiting()
    with measuring() as measured:
        async with probing(Probe(unary=waiting.unary)) as probe:
            call = asyncio.ensure_future(probe.stub.unary("x"))
            await waiting.started.wait()
            during = measured.total(ACTIVE)
            waiting.go_on.set()
            await call
        after = measured.total(ACTIVE)
    assert (during, after) == (1, 0)


async def test_a_stream_that_its_reader_leaves_is_cancelled_and_no_fault() -> None:
    with measuring() as measured:
        async with probing(Probe(watch=Waiting().watch)) as probe:
            call = probe.stub.watch("x")
            await call.read()
            call.cancel()
            await call.code()
        assert outcomes(measured, SERVER) == {("Watch", "CANCELLED", ""): 1}
        assert outcomes(measured, CLIENT) == {("Watch", "CANCELLED", ""): 1}


async def test_a_method_that_a_caller_made_up_makes_no_series_of_its_own() -> None:
    with measuring() as measured:
        async with probing() as probe:
            made_up = probe.channel.unary_unary(f"/{NAME}/Secret")
            await failure(made_up(b""))
        assert outcomes(measured, SERVER) == {("_OTHER", "UNIMPLEMENTED", "UNIMPLEMENTED"): 1}


async def test_probes_make_no_series() -> None:
    with measuring() as measured:
        async with probing() as probe:
            await probe.stub.health.Check(health_pb2.HealthCheckRequest())
        assert measured.values(SERVER) == measured.values(ACTIVE) == {}
