"""A small OTLP/HTTP receiver that keeps spans in a ring, for traces without a collector."""

from __future__ import annotations

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

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.traces.ring import SpanRing
from services.cli.traces.spans import from_otlp

MAX_REQUEST_BYTES = 16 * 1024 * 1024
PROTOBUF = "application/x-protobuf"


class _Receiver:
    def __init__(self, ring: SpanRing) -> None:
        self._ring = ring

    async def traces(self, request: web.Request) -> web.Response:
        if request.content_type != PROTOBUF:
            raise web.HTTPUnsupportedMediaType(text=f"send {PROTOBUF}")
        try:
            body = _decoded(await request.read(), request.headers.get("Content-Encoding", ""))
            export = ExportTraceServiceRequest.FromString(body)
        except (DecodeError, zlib.error) as error:
            raise web.HTTPBadRequest(text="not an ExportTraceServiceRequest") from error
        self._ring.append(from_otlp(export))
        return _answer(ExportTraceServiceResponse().SerializeToString())

    async def metrics(self, request: web.Request) -> web.Response:
        """Taken, so that exporters do not complain, and not kept."""
        await request.read()
        return _answer(ExportMetricsServiceResponse().SerializeToString())


def _decoded(body: bytes, encoding: str) -> bytes:
    """The body without its gzip or deflate encoding, which never grows beyond the limit."""
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "deflate"}:
        raise web.HTTPUnsupportedMediaType(text=f"unknown encoding {encoding!r}")
    either = zlib.MAX_WBITS | 32
    unpacking = zlib.decompressobj(either)
    unpacked = unpacking.decompress(body, MAX_REQUEST_BYTES)
    if unpacking.unconsumed_tail:
        raise web.HTTPRequestEntityTooLarge(MAX_REQUEST_BYTES, len(unpacked))
    if not unpacking.eof:
        raise web.HTTPBadRequest(text="the compressed body is cut off")
    return unpacked


def _answer(body: bytes) -> web.Response:
    return web.Response(body=body, content_type=PROTOBUF)


async def _bind(site: web.TCPSite, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        raise CliError(
            f"cannot receive spans on port {port}: {error.strerror}",
            reason="PORT_TAKEN",
            hint="choose other ports with --port-base (0 picks free ones)",
            exit_code=EXIT_USAGE,
        ) from error


@asynccontextmanager
async def receiving(folder: Path, port: int) -> AsyncIterator[int]:
    """Receive on loopback for the length of the block; gives the port, a free one for 0.

    Raises:
        CliError: The port is taken.
    """
    ring = SpanRing(folder)
    receiver = _Receiver(ring)
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app.router.add_post("/v1/traces", receiver.traces)
    app.router.add_post("/v1/metrics", receiver.metrics)
    # Exporters keep their connections open: a stop must not wait for them.
    # aiohttp's own decoding breaks the connection on a body that is not what it says.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, auto_decompress=False)
    try:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await _bind(site, port)
        bound: int = runner.addresses[0][1]
        yield bound
    finally:
        await runner.cleanup()
        ring.close()
