"""Waiting until a server says that it serves."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.calls.streaming import streaming
from services.cli.base.exits import EXIT_UNAVAILABLE, CliError
from services.cli.talk.credentials import read_peers

_PAUSE_S = 0.1
_RECONNECT_MS = 100


async def wait_serving(name: str, target: str, grpc_name: str, timeout_s: float) -> None:
    """Return once health answers SERVING for ``grpc_name``.

    Raises:
        CliError: It did not within ``timeout_s``.
    """
    try:
        async with asyncio.timeout(timeout_s), _fast_reconnecting_channel(target) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # so it ships
            # Another process: there is no event of ours to wait for.
            while not await _watch(stub, grpc_name):  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        raise CliError(
            f"{name} at {target} did not serve within {timeout_s:g} s",
            reason="NOT_SERVING",
            exit_code=EXIT_UNAVAILABLE,
        ) from None


def _fast_reconnecting_channel(target: str) -> grpc.aio.Channel:
    """By default a server that was not there at first is tried again after seconds."""
    pauses = ("initial", "min", "max")
    options = [(f"grpc.{pause}_reconnect_backoff_ms", _RECONNECT_MS) for pause in pauses]
    return read_peers().channel(target, options)


async def _watch(stub: Any, grpc_name: str) -> bool:
    """Whether it said so before the stream broke, as it does while the server still starts."""
    request = health_pb2.HealthCheckRequest(service=grpc_name)
    try:
        async with streaming(stub.Watch(request, wait_for_ready=True)) as answers:
            async for answer in answers:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return True
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
    return False
