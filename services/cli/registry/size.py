"""How much one apply takes: told when more is exported, and before more is sent."""

from __future__ import annotations

from collections.abc import Sequence

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.base.exits import EXIT_USAGE, CliError

MAX_RESOURCES = 20_000
MAX_REQUEST_BYTES = 16 << 20
IN_PARTS = "apply them in parts; runyard export KIND writes some of the kinds"


def refuse_too_large(request: pb.ApplyResourcesRequest) -> None:
    """Raise for a request that the transport would refuse without a reason."""
    size_bytes = request.ByteSize()
    if size_bytes > MAX_REQUEST_BYTES:
        raise CliError(
            f"{len(request.resources):,} resources of {size_bytes:,} bytes in all; at most "
            f"{MAX_REQUEST_BYTES:,} bytes can be applied at once",
            reason="TOO_LARGE",
            hint=IN_PARTS,
            exit_code=EXIT_USAGE,
        )


def beyond_one_apply(resources: Sequence[registry_pb2.Resource]) -> str:
    """That these are more than one apply takes; empty when they are not."""
    size_bytes = pb.ApplyResourcesRequest(resources=resources).ByteSize()
    if len(resources) <= MAX_RESOURCES and size_bytes <= MAX_REQUEST_BYTES:
        return ""
    return (
        f"{len(resources):,} resources of {size_bytes:,} bytes in all are more than one apply "
        f"takes, {MAX_RESOURCES:,} and {MAX_REQUEST_BYTES:,} bytes: {IN_PARTS}"
    )
