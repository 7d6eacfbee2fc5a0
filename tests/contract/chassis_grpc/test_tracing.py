"""Spans of calls: names, parents, errors, and one log line for each."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from services.chassis.calls.streaming import streaming
from services.chassis.errors import DomainError, ErrorKind
from services.chassis.observe.telemetry import span
from tests.contract.chassis_grpc.probe import (
    COLLECT,
    METHODS,
    NAME,
    UNARY,
    Probe,
    Waiting,
    failure,
    probing,
    raising,
    requests,
)
from tests.support.spans import Recorded, recording


class NothingThereError(DomainError):
    kind = ErrorKind.NOT_FOUND
    reason = "NOTHING_THERE"


async def _span_id(request: str, context: Any) -> str:
    return trace.format_span_id(trace.get_current_span().get_span_context().span_id)


async def _span_id_stream(request: Any, context: Any) -> AsyncIterator[str]:
    first = await _span_id(request, context)
    yield first
    # The span is current after a message too, when another task has run meanwhile.
    assert await _span_id(request, context) == first


TELLING = Probe(_span_id, _span_id_stream, _span_id, _span_id_stream)


def _of_kind(recorded: Recorded, kind: trace.SpanKind) -> dict[str, ReadableSpan]:
    return {found.name: found for found in recorded.spans if found.kind is kind}


async def test_each_call_has_a_client_and_a_server_span_in_the_trace_of_its_caller() -> None:
    with recording() as recorded:
        async with probing(TELLING) as probe:
            # when every arity is called inside a span
            with span("work") as work:
                told = [
                    await probe.stub.unary("x"),
                    *[message async for message in probe.stub.watch("x")],
                    await probe.stub.collect(requests()),
                    *[message async for message in probe.stub.chat(requests())],
                ]

    # then client spans are its children, server spans theirs, and current in the handlers
    clients = _of_kind(recorded, trace.SpanKind.CLIENT)
    servers = _of_kind(recorded, trace.SpanKind.SERVER)
    names = [method.removeprefix("/") for method in METHODS]
    assert set(clients) == set(servers) == set(names)
    for name, seen in zip(names, told, strict=True):
        client, server = clients[name], servers[name]
        assert client.parent is not None
        assert server.parent is not None
        assert client.context is not None
        assert server.context is not None
        assert client.parent.span_id == work.get_span_context().span_id
        assert server.parent.span_id == client.context.span_id
        assert trace.format_span_id(server.context.span_id) == seen
        assert dict(server.attributes or {}) == {
            "rpc.system.name": "grpc",
            "rpc.method": name,
            "rpc.response.status_code": "OK",
        }
        assert dict(client.attributes or {}) == {
            "rpc.system.name": "grpc",
            "rpc.method": name,
            "rpc.response.status_code": "OK",
            "server.address": "127.0.0.1",
            "server.port": probe.port,
        }
        assert server.status.status_code is trace.StatusCode.UNSET


@pytest.mark.parametrize(
    ("error", "server", "client"),
    [
        (
            NothingThereError("nothing there"),
            (False, "NOT_FOUND", None),
            (True, "NOT_FOUND", "NOT_FOUND"),
        ),
        (
            RuntimeError("password=hunter2"),
            (True, "INTERNAL", "INTERNAL"),
            (True, "INTERNAL", "INTERNAL"),
        ),
    ],
    ids=["mistake of the caller", "fault of the server"],
)
async def test_a_mistake_marks_the_span_of_its_caller_and_a_fault_both_without_its_text(
    error: Exception, server: tuple[bool, str, str | None], client: tuple[bool, str, str]
) -> None:
    with recording() as recorded:
        async with probing(Probe(unary=raising(error))) as probe:
            await failure(probe.stub.unary("x"))

    outcomes = {
        found.kind: (
            found.status.status_code is trace.StatusCode.ERROR,
            (found.attributes or {}).get("rpc.response.status_code"),
            (found.attributes or {}).get("error.type"),
        )
        for found in recorded.spans
    }
    assert outcomes == {trace.SpanKind.SERVER: server, trace.SpanKind.CLIENT: client}
    assert "hunter2" not in "".join(found.to_json() for found in recorded.spans)


async def test_leaving_a_stream_is_no_error_of_either_side() -> None:
    waiting = Waiting()
    with recording() as recorded:
        async with probing(Probe(watch=waiting.watch)) as probe:
            async with streaming(probe.stub.watch("x")) as call:
                await call.read()
            await waiting.ended.wait()

    assert {
        (found.kind, (found.attributes or {})["rpc.response.status_code"], found.status.is_unset)
        for found in recorded.spans
    } == {(trace.SpanKind.SERVER, "CANCELLED", True), (trace.SpanKind.CLIENT, "CANCELLED", True)}


async def test_the_name_of_an_unknown_method_is_no_name_for_a_span() -> None:
    with recording() as recorded:
        async with probing() as probe:
            unknown: Any = probe.channel.unary_unary(f"/{NAME}/Made-up-by-a-caller")
            await failure(unknown(b""))
    (server,) = _of_kind(recorded, trace.SpanKind.SERVER).values()
    assert server.name == "_OTHER"
    assert server.status.status_code is trace.StatusCode.ERROR


def _lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == "services.rpc"]


async def test_each_call_is_one_log_line_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    missing = raising(NothingThereError("nothing there"))
    async with probing(Probe(collect=missing)) as probe:
        await probe.stub.unary("x")
        await failure(probe.stub.collect(requests()))

    well, badly = _lines(caplog)
    assert (well["message"], well["levelno"]) == ("call", logging.DEBUG)
    assert (well["rpc_method"], well["rpc_code"]) == (UNARY, "OK")
    assert (well["principal"], well["tenant"]) == ("local", "default")
    assert well["peer"].startswith("ipv4:127.0.0.1:")
    assert 0 <= well["duration_ms"] < 10_000
    assert "reason" not in well
    assert (badly["rpc_method"], badly["rpc_code"]) == (COLLECT, "NOT_FOUND")
    assert (badly["reason"], badly["levelno"]) == ("NOTHING_THERE", logging.INFO)


@pytest.mark.parametrize(
    ("code", "level"),
    [
        (grpc.StatusCode.INTERNAL, logging.ERROR),
        (grpc.StatusCode.DATA_LOSS, logging.ERROR),
        (grpc.StatusCode.UNAVAILABLE, logging.WARNING),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, logging.WARNING),
        (grpc.StatusCode.INVALID_ARGUMENT, logging.INFO),
        (grpc.StatusCode.CANCELLED, logging.INFO),
    ],
)
async def test_the_level_of_the_line_says_whether_somebody_has_to_look(
    code: grpc.StatusCode, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def ends(request: str, context: Any) -> str:
        await context.abort(code, "so be it")
        return request

    async with probing(Probe(unary=ends)) as probe:
        await failure(probe.stub.unary("x"))

    lines = [(line["rpc_method"], line["rpc_code"], line["levelno"]) for line in _lines(caplog)]
    assert lines == [(UNARY, code.name, level)]
