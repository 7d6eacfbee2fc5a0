"""The services that every process serves beside its own: health and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from services.chassis.access.policy import ANY_ROLE, MethodPolicy
from services.chassis.drain import Drain
from services.chassis.server.handlers.arities import Context
from services.chassis.server.health import Health
from services.chassis.server.service import Servicer

# Probes carry no credentials.
_PROBE = MethodPolicy(ANY_ROLE, deadline_cap_s=5.0, anonymous=True)
# Whoever holds all of them keeps nobody from Check.
_PROBE_STREAM = MethodPolicy(
    ANY_ROLE, deadline_cap_s=None, anonymous=True, concurrent_per_principal=1_000
)

# Newer versions of the health package know one method more.
HEALTH_POLICY: Mapping[str, MethodPolicy] = {
    f"/{health.SERVICE_NAME}/{method.name}": _PROBE_STREAM if method.name == "Watch" else _PROBE
    for method in health_pb2.DESCRIPTOR.services_by_name["Health"].methods
}
REFLECTION_POLICY: Mapping[str, MethodPolicy] = {
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": MethodPolicy(
        ANY_ROLE, deadline_cap_s=None, concurrent_per_principal=100
    ),
}


def housekeeping(
    names: Sequence[str], ready: Callable[[], bool], drain: Drain
) -> tuple[Servicer, Servicer]:
    """Health and reflection of the services ``names``."""
    reflected = _Reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], drain)
    return (
        Servicer(
            health.SERVICE_NAME,
            partial(health_pb2_grpc.add_HealthServicer_to_server, Health(names, ready, drain)),
            HEALTH_POLICY,
        ),
        Servicer(
            reflection.SERVICE_NAME,
            partial(reflection_pb2_grpc.add_ServerReflectionServicer_to_server, reflected),
            REFLECTION_POLICY,
        ),
    )


class _Reflection(reflection.aio.ReflectionServicer):
    """Reflection whose streams end with the server: tools keep theirs open."""

    def __init__(self, names: Sequence[str], drain: Drain) -> None:
        super().__init__(names)  # type: ignore[no-untyped-call]  # untyped package
        self._drain = drain

    async def ServerReflectionInfo(  # noqa: N802  # a gRPC method name
        self, request_iterator: AsyncIterable[Any], unused_context: Context
    ) -> AsyncIterator[Any]:
        requests = _until(self._drain, aiter(request_iterator))
        async for answer in super().ServerReflectionInfo(requests, unused_context):
            yield answer


async def _until(drain: Drain, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """``requests`` as far as they arrive before the drain."""
    draining = asyncio.ensure_future(drain.wait())
    try:
        while True:
            arriving = asyncio.ensure_future(anext(requests, None))
            try:
                await asyncio.wait({arriving, draining}, return_when=asyncio.FIRST_COMPLETED)
                request = arriving.result() if arriving.done() else None
            finally:
                arriving.cancel()
            if request is None:
                return
            yield request
    finally:
        draining.cancel()
