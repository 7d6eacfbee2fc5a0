"""From a real exporter through the receiver and its ring to a tree with links."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import aiohttp
import pytest
from opentelemetry import metrics
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from services.chassis.observe import telemetry
from services.chassis.observe.names import LINK_FAILOVER_FROM, LINK_TYPE, RUN_ID
from services.cli.base.exits import CliError
from services.cli.traces.receiver import MAX_REQUEST_BYTES, receiving
from services.cli.traces.ring import read_ring
from services.cli.traces.tree import find_traces, link_type


def work() -> None:
    """A failover as the router traces it, under a run."""
    with telemetry.span("run", attributes={RUN_ID: "run-1"}):
        with telemetry.span("attempt 1") as attempt:
            first = telemetry.current_traceparent()
            telemetry.mark_failed(attempt, ConnectionError())
        link = telemetry.link_to(first, **{LINK_TYPE: LINK_FAILOVER_FROM})
        with telemetry.span("attempt 2", links=[link]):
            pass


async def test_what_a_service_exports_can_be_looked_at(tmp_path: Path) -> None:
    # given a receiver, and a service that exports to it
    async with receiving(tmp_path, 0) as port:
        exporting = await asyncio.to_thread(telemetry.setup, "router", f"http://127.0.0.1:{port}")

        # when the service traces its work and stops
        work()
        await asyncio.to_thread(exporting.shutdown)

        # then the trace is found by the run, while the receiver still runs
        (trace,) = find_traces(read_ring(tmp_path), "run-1")

    (root,) = trace.roots
    first, second = root.children
    assert [root.span.name, first.span.name, second.span.name] == ["run", "attempt 1", "attempt 2"]
    assert {span.service for span in trace.spans()} == {"router"}
    assert first.span.status == "error"
    assert first.span.attributes["error.type"] == "ConnectionError"
    (link,) = second.span.links
    assert link_type(link) == "failover_from"
    assert link.span_id == first.span.span_id
    assert root.span.end_ns >= second.span.end_ns >= second.span.start_ns > first.span.start_ns


async def test_a_compressed_export_is_taken(tmp_path: Path) -> None:
    async with receiving(tmp_path, 0) as port:
        url = f"http://127.0.0.1:{port}/v1/traces"
        exporter = OTLPSpanExporter(url, compression=Compression.Gzip)
        exporting = telemetry.setup("router", exporter=exporter)
        await asyncio.to_thread(work)
        exporting.shutdown()
    assert [span.name for span in read_ring(tmp_path)] == ["attempt 1", "attempt 2", "run"]


async def test_a_body_that_is_no_export_is_refused(tmp_path: Path) -> None:
    # given
    async with receiving(tmp_path, 0) as port, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/v1/traces"
        protobuf = {"Content-Type": "application/x-protobuf"}

        # when a caller sends another type, a torn message, and something not compressed as said
        answers = []
        for body, headers in (
            (b"{}", {"Content-Type": "application/json"}),
            (b"\x0a\xff", protobuf),
            (b"plain", {**protobuf, "Content-Encoding": "gzip"}),
            (gzip.compress(b""), protobuf),
            (gzip.compress(bytes(9))[:-4], {**protobuf, "Content-Encoding": "gzip"}),
            (b"", {**protobuf, "Content-Encoding": "br"}),
            (gzip.compress(bytes(MAX_REQUEST_BYTES + 1)), {**protobuf, "Content-Encoding": "gzip"}),
            (b"", protobuf),
        ):
            async with session.post(url, data=body, headers=headers) as response:
                answers.append(response.status)

    # then each gets a client's error, and an empty export is fine
    assert answers == [415, 400, 400, 400, 400, 415, 413, 200]
    assert list(read_ring(tmp_path)) == []


async def test_a_port_in_use_is_reported_with_what_to_do(tmp_path: Path) -> None:
    async with receiving(tmp_path / "first", 0) as port:
        with pytest.raises(CliError) as refused:
            async with receiving(tmp_path / "second", port):
                pass
    assert refused.value.exit_code == 2
    assert "--port-base" in refused.value.hint


async def test_metrics_are_taken_so_that_exporters_do_not_complain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving(tmp_path, 0) as port:
        # given a service that measures
        exporting = await asyncio.to_thread(telemetry.setup, "router", f"http://127.0.0.1:{port}")
        library = metrics.get_meter("a library").create_counter("theirs")
        telemetry.meter().create_counter("ours").add(1)
        library.add(1)

        # when it exports
        await asyncio.to_thread(exporting.flush)
        await asyncio.to_thread(exporting.shutdown)
        await asyncio.to_thread(exporting.shutdown)

    # then nobody complains, and nothing of it is among the spans
    assert [record.getMessage() for record in caplog.records] == []
    assert list(read_ring(tmp_path)) == []
