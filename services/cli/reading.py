"""Reading from the registry: listings page by page, whole snapshots, and who refers to what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.streaming import streaming
from services.cli.clients import CALL_TIMEOUT_S, Clients
from services.cli.exits import CliError
from services.cli.kinds import AGENT, MODEL, POOL, PROVIDER, TOOL, Kind, id_of, kind_of

_PAGE = 1000
_ATTEMPTS = 5


async def one(found: Clients, kind: Kind, id_: str) -> pb.GetResourceResponse:
    request = pb.GetResourceRequest(kind=kind.number, id=id_)
    with found.talking_to("registry"):
        return await found.registry.GetResource(request, timeout=CALL_TIMEOUT_S)


async def pages(
    found: Clients, kind: Kind | None, apply_set: str = "", page_size: int = _PAGE
) -> AsyncIterator[pb.ListResourcesResponse]:
    """Every page of a listing; those of one listing may be of different versions."""
    request = pb.ListResourcesRequest(apply_set=apply_set, page_size=page_size)
    if kind is not None:
        request.kind = kind.number
    while True:
        with found.talking_to("registry"):
            page = await found.registry.ListResources(request, timeout=CALL_TIMEOUT_S)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def snapshot(found: Clients) -> tuple[list[registry_pb2.Resource], int]:
    """Everything there is, as of one version, and that version."""
    resources: list[registry_pb2.Resource] = []
    version = 0
    with found.talking_to("registry"):
        stream = found.registry.GetSnapshot(pb.GetSnapshotRequest(), timeout=10 * CALL_TIMEOUT_S)
        async with streaming(stream) as parts:
            async for part in parts:
                resources += part.resources
                version = part.version
    return resources, version


async def marked(found: Clients, apply_set: str) -> tuple[list[registry_pb2.Resource], int]:
    """What carries ``apply_set``, as of one version, and that version.

    Raises:
        CliError: The registry changed under every attempt.
    """
    for _ in range(_ATTEMPTS):
        listed = [page async for page in pages(found, None, apply_set)]
        versions = {page.version for page in listed}
        if len(versions) == 1:
            return [one for page in listed for one in page.resources], versions.pop()
    raise CliError(
        "the registry changed while it was read",
        reason="CHANGED_MEANWHILE",
        hint="try again when nobody applies",
    )


async def referrers(found: Clients, kind: Kind, id_: str) -> list[str]:
    """``agent/scout`` for everything that would break without this resource, sorted by kind and id.

    For a provider these are also the pools and agents that reach it through its models.
    """
    if kind is PROVIDER:
        return await _of_provider(found, id_)
    return [
        f"{holder.member}/{id_of(resource)}"
        for holder, refers in _REFERRING.get(kind, ())
        async for page in pages(found, holder)
        for resource in page.resources
        if refers(resource, id_)
    ]


async def _of_provider(found: Clients, id_: str) -> list[str]:
    request = pb.PreviewRemoveProviderRequest(provider_id=id_)
    with found.talking_to("registry"):
        touched = await found.registry.PreviewRemoveProvider(request, timeout=CALL_TIMEOUT_S)
    return touched_by(touched.model_ids, touched.pool_ids, touched.agent_ids)


def touched_by(models: Iterable[str], pools: Iterable[str], agents: Iterable[str]) -> list[str]:
    groups = ((MODEL, models), (POOL, pools), (AGENT, agents))
    return [f"{kind.member}/{id_}" for kind, ids in groups for id_ in ids]


def _has_member(resource: registry_pb2.Resource, id_: str) -> bool:
    return any(member.model_id == id_ for member in resource.model_pool.members)


def _runs_on(resource: registry_pb2.Resource, id_: str) -> bool:
    # Nobody checks the model of an agent that runs elsewhere.
    return resource.agent.model_id == id_ and not resource.agent.HasField("endpoint")


def _may_call(resource: registry_pb2.Resource, id_: str) -> bool:
    agent = resource.agent
    return id_ in agent.tools or any(rule.tool_id == id_ for rule in agent.approval_rules)


_REFERRING: dict[Kind, Sequence[tuple[Kind, Callable[[registry_pb2.Resource, str], bool]]]] = {
    MODEL: ((POOL, _has_member), (AGENT, _runs_on)),
    POOL: ((AGENT, _runs_on),),
    TOOL: ((AGENT, _may_call),),
}


def only(
    resources: Iterable[registry_pb2.Resource], kinds: Sequence[Kind]
) -> list[registry_pb2.Resource]:
    """Those of ``kinds``, all of them when none is named."""
    return [one for one in resources if not kinds or kind_of(one) in kinds]
