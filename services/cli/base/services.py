"""The four services: their names, their gRPC names and their ports on this machine."""

from __future__ import annotations

from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
# Port of the span receiver; those of the services follow, in this order.
PORT_BASE = 7400
SERVICES = ("registry", "router", "runcontrol", "pool")

GRPC_NAMES: Mapping[str, str] = {
    "registry": "runyard.registry.v1.RegistryService",
    "router": "runyard.router.v1.RouterService",
    "runcontrol": "runyard.runcontrol.v1.RunControlService",
    "pool": "runyard.pool.v1.PoolService",
}
