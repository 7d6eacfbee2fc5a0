"""Reading from the registry: listings page by page, whole snapshots, and who refers to what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from runyard.registry.v1 import registry_pb2
from runyard.registry.v1 import registry_service_pb2 as pb
from services.chassis.calls.streaming import streaming
from services.cli.base.exits import CliError
from services.cli.manifests.kinds import (
    AGENT,
    MODEL,
    POOL,
    PROVIDER,
    TOOL,
    Kind,
    id_of,
    kind_of,
)
from services.cli.talk.clients import CALL_TIMEOUT_S, Clients
from services.cli.talk.paging import PAGE_SIZE, pages

_ATTEMPTS = 5


async def one(stubs: Clients, kind: Kind, id_: str) -> pb.GetResourceResponse:
    request = pb.GetResourceRequest(kind=kind.number, id=id_)
    return await stubs.call("registry", stubs.registry.GetResource, request)


def listing(
    stubs: Clients, kind: Kind | None, apply_set: str = "", size: int = PAGE_SIZE
) -> AsyncIterator[pb.ListResourcesResponse]:
    """Every page of resources; those of one listing may be of different versions."""
    request = pb.ListResourcesRequest(
        kind=kind.number if kind else None, apply_set=apply_set, page_size=size
    )
    return pages(stubs, "registry", stubs.registry.ListResources, request)


async def snapshot(stubs: Clients) -> tuple[list[registry_pb2.Resource], int]:
    """Everything there is, as of one version, and that version."""
    resources: list[registry_pb2.Resource] = []
    version = 0
    async with stubs.talking_to("registry"):
        stream = stubs.registry.GetSnapshot(pb.GetSnapshotRequest(), timeout=10 * CALL_TIMEOUT_S)
        async with streaming(stream) as parts:
            async for part in parts:
                resources += part.resources
                version = part.version
    return resources, version


async def marked(stubs: Clients, apply_set: str) -> tuple[list[registry_pb2.Resource], int]:
    """What carries ``apply_set``, as of one version, and that version.

    Raises:
        CliError: The registry changed under every attempt.
    """
    for _ in range(_ATTEMPTS):
        listed = [page async for page in listing(stubs, None, apply_set)]
        versions = {page.version for page in listed}
        if len(versions) == 1:
            return [one for page in listed for one in page.resources], versions.pop()
    raise CliError(
        "the registry changed while it was read",
        reason="CHANGED_MEANWHILE",
        hint="try again when nobody applies",
    )


async def referrers(stubs: Clients, kind: Kind, id_: str) -> list[str]:
    """``agent/scout`` for everything that would break without this resource, sorted by kind and id.

    For a provider these are also the pools and agents that reach it through its models.
    """
    if kind is PROVIDER:
        return await _of_provider(stubs, id_)
    return [
        f"{holder.member}/{id_of(resource)}"
        for holder, refers in _REFERRING.get(kind, ())
        async for page in listing(stubs, holder)
        for resource in page.resources
        if refers(resource, id_)
    ]


async def _of_provider(stubs: Clients, id_: str) -> list[str]:
    request = pb.PreviewRemoveProviderRequest(provider_id=id_)
    touched = await stubs.call("registry", stubs.registry.PreviewRemoveProvider, request)
    return touched_by(touched.model_ids, touched.pool_ids, touched.agent_ids)


def touched_by(models: Iterable[str], pools: Iterable[str], agents: Iterable[str]) -> list[str]:
    groups = ((MODEL, models), (POOL, pools), (AGENT, agents))
    return [f"{kind.member}/{id_}" for kind, ids in groups for id_ in ids]


def _has_member(resource: registry_pb2.Resource, id_: str) -> bool:
    return any(member.model_id == id_ for member in resource.model_pool.members)


def _runs_on(resource: registry_pb2.Resource, id_: str) -> bool:
    # The registry does not check the model of a remote agent.
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


async def by_ids(stubs: Clients, kind: Kind, ids: list[str]) -> pb.ListResourcesResponse:
    """Each of them.

    Raises:
        CliError: Names every one that is not there.
    """
    answer = pb.ListResourcesResponse()
    missing: list[CliError] = []
    for id_ in ids:
        try:
            read = await one(stubs, kind, id_)
        except CliError as error:
            if error.reason != "RESOURCE_NOT_FOUND":
                raise
            missing.append(error)
            continue
        answer.resources.append(read.resource)
        answer.version = read.version
    if len(missing) > 1:
        missing[0].message = f"{len(missing)} resources not found"
        missing[0].details = tuple(f"{kind.member}/{id_}" for id_ in _absent(answer, ids))
    if missing:
        raise missing[0]
    return answer


def _absent(answer: pb.ListResourcesResponse, ids: list[str]) -> list[str]:
    there = set(map(id_of, answer.resources))
    return [id_ for id_ in ids if id_ not in there]
