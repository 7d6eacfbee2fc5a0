"""A small OTLP/HTTP receiver that keeps spans in a ring, for traces without a collector."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from services.cli.ring import SpanRing
from services.cli.spans import from_otlp

MAX_REQUEST_BYTES = 16 * 1024 * 1024
PROTOBUF = "application/x-protobuf"


class _Receiver:
    def __init__(self, ring: SpanRing) -> None:
        self._ring = ring

    async def traces(self, request: web.Request) -> web.Response:
        if request.content_type != PROTOBUF:
            raise web.HTTPUnsupportedMediaType(text=f"send {PROTOBUF}")
        try:
            # aiohttp has undone the encoding already; a body that is none of ours fails here.
            export = ExportTraceServiceRequest.FromString(await request.read())
        except (DecodeError, gzip.BadGzipFile, zlib.error) as error:
            raise web.HTTPBadRequest(text="not an ExportTraceServiceRequest") from error
        self._ring.append(from_otlp(export))
        return _answer(ExportTraceServiceResponse().SerializeToString())

    async def metrics(self, request: web.Request) -> web.Response:
        """Taken, so that exporters do not complain, and not kept."""
        await request.read()
        return _answer(ExportMetricsServiceResponse().SerializeToString())


def _answer(body: bytes) -> web.Response:
    return web.Response(body=body, content_type=PROTOBUF)


@asynccontextmanager
async def receiving(folder: Path, port: int) -> AsyncIterator[int]:
    """Receive on loopback for the length of the block; gives the port, a free one for 0.

    Raises:
        OSError: The port is taken.
    """
    ring = SpanRing(folder)
    receiver = _Receiver(ring)
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app.router.add_post("/v1/traces", receiver.traces)
    app.router.add_post("/v1/metrics", receiver.metrics)
    runner = web.AppRunner(app, access_log=None)
    try:
        await runner.setup()
        # Exporters keep their connections open: a stop must not wait for them.
        site = web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=0.5)
        await site.start()
        bound: int = runner.addresses[0][1]
        yield bound
    finally:
        await runner.cleanup()
        ring.close()
