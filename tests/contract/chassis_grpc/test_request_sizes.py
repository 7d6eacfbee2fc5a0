"""The server measures each request before its handler runs, whatever its arity and its size."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.chassis.calls.rpc_status import reason_of
from services.chassis.protobuf.sizes import Sizes, entries, size_bytes
from tests.contract.chassis_grpc.probe import NAME, Probe, encoded, failure, probing

SIZES = Sizes(
    [FieldMask],
    {"FieldMask.paths": entries(9_000), "FieldMask.paths[]": size_bytes(8)},
    most_entries=9_000,
)
ARITIES = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


async def _count_one(request: FieldMask, context: object) -> str:
    return f"{len(request.paths)}"


async def _stream_count(request: FieldMask, context: object) -> AsyncIterator[str]:
    yield f"{len(request.paths)}"


async def _count_all(requests: AsyncIterator[FieldMask], context: object) -> str:
    return f"{sum([len(request.paths) async for request in requests])}"


async def _count_each(requests: AsyncIterator[FieldMask], context: object) -> AsyncIterator[str]:
    async for request in requests:
        yield f"{len(request.paths)}"


@dataclass(frozen=True)
class MaskProbe(Probe):
    """A probe whose requests have a repeated field."""

    sizes: Sizes = SIZES

    def add(self, server: grpc.aio.Server) -> None:
        handlers = zip(ARITIES, (_count_one, _stream_count, _count_all, _count_each), strict=True)
        methods = {
            name: getattr(grpc, f"{arity}_rpc_method_handler")(
                handler, FieldMask.FromString, encoded
            )
            for name, (arity, handler) in zip(
                ("Unary", "Watch", "Collect", "Chat"), handlers, strict=True
            )
        }
        server.add_registered_method_handlers(NAME, methods)  # type: ignore[attr-defined]  # not in the stubs
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, methods),))


@pytest.mark.parametrize("arity", ARITIES)
@pytest.mark.parametrize(
    ("paths", "field", "text"),
    [
        (["a" * 9], "paths[0]", "is 9 bytes, at most 8 are allowed"),
        ([""] * 9_001, "paths", "has 9,001 entries, at most 9,000 are allowed"),
        (["a" * 4] * 8_999 + ["a" * 9], "paths[8999]", "is 9 bytes, at most 8 are allowed"),
    ],
    ids=["small", "of 18 kB", "large"],
)
async def test_a_field_that_is_too_large_is_refused_before_the_handler_runs(
    arity: str, paths: list[str], field: str, text: str
) -> None:
    # given a server that knows how large the fields may be
    request = FieldMask(paths=paths)
    async with probing(MaskProbe()) as probe:
        # when a larger one is sent
        failed = await failure(_send(probe.channel, arity, request))

    # then the answer names the field, its size and the limit
    facts = reason_of(failed)
    assert (facts.code, facts.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert [(each.field, each.description) for each in facts.violations] == [(field, text)]


@pytest.mark.parametrize("arity", ARITIES)
@pytest.mark.parametrize("paths", [["a" * 8], ["a" * 5] * 9_000], ids=["small", "large"])
async def test_a_request_at_its_limits_reaches_the_handler(arity: str, paths: list[str]) -> None:
    # given requests of a few bytes and of 63 kB
    request = FieldMask(paths=paths)
    async with probing(MaskProbe()) as probe:
        # when one is sent
        call = _send(probe.channel, arity, request)
        answers = [await call] if arity.endswith("unary") else [each async for each in call]

    # then the handler has all of it
    assert [answer[2:] for answer in answers] == [f"{len(paths)}".encode()]


def _send(channel: grpc.aio.Channel, arity: str, request: FieldMask) -> Any:
    names = dict(zip(ARITIES, ("Unary", "Watch", "Collect", "Chat"), strict=True))
    start: Any = getattr(channel, arity)(f"/{NAME}/{names[arity]}", FieldMask.SerializeToString)
    return start(iter([request]) if arity.startswith("stream") else request)
