"""What calls leave in the metrics, at both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.errors import InvalidRequestError, Violation
from tests.contract.chassis_grpc.probe import (
    NAME,
    Context,
    Probe,
    failure,
    probing,
    text,
)
from tests.support.metrics import Measured, measuring

SERVER = "rpc.server.call.duration"
CLIENT = "rpc.client.call.duration"
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


async def _picky(request: StringValue, context: Context) -> StringValue:
    if request.value == "defect":
        raise LookupError("secret")
    if request.value == "wrong":
        raise InvalidRequestError.of([Violation("value", "must not be wrong")])
    return request


async def test_calls_are_timed_by_method_and_outcome_at_both_ends() -> None:
    with measuring() as measured:
        # given and when
        async with probing(Probe(unary=_picky)) as probe:
            await probe.stub.unary(text("x"))
            await probe.stub.unary(text("y"))
            await failure(probe.stub.unary(text("wrong")))
            await failure(probe.stub.unary(text("defect")))
            async for _ in probe.stub.watch(text("x")):
                pass

        # then a refusal is the caller's fault, and a defect the server's
        assert outcomes(measured, SERVER) == {
            ("Unary", "OK", ""): 2,
            ("Unary", "INVALID_ARGUMENT", ""): 1,
            ("Unary", "INTERNAL", "INTERNAL"): 1,
            ("Watch", "OK", ""): 1,
        }
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
            await probe.stub.unary(text("x"))
            port = probe.served.port
        (key,) = measured.points(CLIENT)
    assert (dict(key)["server.address"], dict(key)["server.port"]) == ("127.0.0.1", port)


async def test_calls_are_active_until_they_end() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def waits(request: StringValue, context: Context) -> StringValue:
        entered.set()
        await leave.wait()
        return request

    with measuring() as measured:
        async with probing(Probe(unary=waits)) as probe:
            call = asyncio.ensure_future(_awaited(probe.stub.unary(text("x"))))
            await asyncio.wait_for(entered.wait(), 10)
            during = measured.total(ACTIVE)
            leave.set()
            await call
        after = measured.total(ACTIVE)
    assert (during, after) == (1, 0)


async def test_a_stream_that_its_reader_leaves_is_cancelled_and_no_fault() -> None:
    async def watch(request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        yield request
        await asyncio.Event().wait()

    with measuring() as measured:
        async with probing(Probe(watch=watch)) as probe:
            call = probe.stub.watch(text("x"))
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
            health: Any = health_pb2_grpc.HealthStub(probe.channel)  # type: ignore[no-untyped-call]
            await health.Check(health_pb2.HealthCheckRequest())
        assert measured.values(SERVER) == measured.values(ACTIVE) == {}


async def _awaited(call: Any) -> Any:
    return await call
