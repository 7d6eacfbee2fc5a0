"""The versions that a registry keeps."""

from __future__ import annotations

from runyard.registry.v1 import registry_service_pb2 as pb
from services.cli.talk.clients import Clients
from services.cli.talk.paging import first, page_size, pages


async def newest(stubs: Clients, limit: int) -> tuple[list[pb.SnapshotVersion], bool]:
    """The newest versions, all of them with 0, and whether there are more."""
    request = pb.ListVersionsRequest(page_size=page_size(limit))
    listing = pages(stubs, "registry", stubs.registry.ListVersions, request)
    return await first(limit, listing, lambda page: page.versions)
