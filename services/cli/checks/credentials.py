"""What ``runyard doctor`` finds behind the credential references of the applied providers.

The router reads them: from its own environment, and from files as its own user sees them. From here
only this environment and these files can be seen, and what the router says it has failed on.
No secret is shown or kept.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterator, Mapping

from runyard.provider.v1 import provider_pb2 as provider
from runyard.registry.v1 import registry_pb2 as registry
from runyard.router.v1 import router_pb2 as router
from runyard.router.v1.router_service_pb2 import GetRoutingStateRequest
from services.cli.base.exits import CliError
from services.cli.checks.findings import Finding, fail, ok, warn
from services.cli.checks.servers import ServerStatus
from services.cli.manifests.kinds import MODEL, PROVIDER
from services.cli.registry.reading import listing
from services.cli.talk.clients import Clients

_LOOPBACK = ("127.", "localhost:", "[::1]:")
_REFUSED: Mapping[int, str] = {
    provider.FAILURE_CLASS_CREDENTIAL_MISSING: "the router finds none",
    provider.FAILURE_CLASS_AUTH: "the provider does not accept the one that the router has",
}


async def credentials(
    clients: Clients, sights: Mapping[str, ServerStatus]
) -> AsyncIterator[Finding]:
    """One finding per reference of a provider, sorted by provider; none without a registry."""
    if not sights["registry"].serving:
        return
    try:
        refused = await _refused_by_router(clients) if sights["router"].serving else {}
        providers = [
            resource.provider
            async for page in listing(clients, PROVIDER)
            for resource in page.resources
        ]
    except CliError as error:
        yield warn("credentials", error.message, error.hint or "use credentials that may read")
        return
    beside = sights["router"].target.startswith(_LOOPBACK)
    for each in providers:
        for reference in references(each):
            yield finding(each.id, reference, refused.get(each.id, 0), router_is_here=beside)


def references(each: registry.Provider) -> Iterator[registry.CredentialRef]:
    """Of the credential and of the headers of a provider, each once."""
    options = each.WhichOneof("adapter")
    headers = getattr(getattr(each, options), "headers", ()) if options else ()
    found = [header.value_ref for header in headers if header.HasField("value_ref")]
    named = {(ref.env, ref.file): ref for ref in [each.credential_ref, *found]}
    yield from (ref for (env, file), ref in named.items() if env or file)


def finding(
    provider_id: str,
    reference: registry.CredentialRef,
    refused: int,
    *,
    router_is_here: bool,
) -> Finding:
    """What can be seen of a reference from here.

    Args:
        refused: The failure for which the router leaves the provider alone; 0 for none.
        router_is_here: Whether the router runs on this machine.
    """
    check = f"credential {provider_id}"
    place, problem = _seen_from_here(reference)
    if refused:
        text = f"{place}: {_REFUSED[refused]}"
        todo = "correct it where the router runs; a file is read by the next call"
        return fail(check, text, todo)
    if not problem:
        known = "its own environment" if reference.env else "its own view of files"
        return ok(check, f"{place} has a value here; the router uses {known}")
    if reference.file and router_is_here:
        return fail(check, f"{place} {problem}", "put the credential there, for the router's user")
    hint = "make sure that it is there where the router runs: that cannot be seen from here"
    return warn(check, f"{place} {problem} here", hint)


def _seen_from_here(reference: registry.CredentialRef) -> tuple[str, str]:
    """The place, and what is wrong with it; empty for nothing."""
    if reference.env:
        value = os.environ.get(reference.env)
        problem = "is not set" if value is None else "" if value.strip() else "is empty"
        return f"environment variable {reference.env}", problem
    return f"file {reference.file}", _problem_of_file(reference.file)


def _problem_of_file(path: str) -> str:
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            return "is no regular file"
        if not os.access(path, os.R_OK):
            return "is not readable for this user"
    except OSError as error:
        return f"cannot be read ({(error.strerror or 'error').lower()})"
    return "" if found.st_size else "is empty"


async def _refused_by_router(clients: Clients) -> dict[str, int]:
    """By provider, the failure of its credential for which the router has quarantined a member."""
    request = GetRoutingStateRequest(page_size=1)
    state = await clients.call("router", clients.router.GetRoutingState, request)
    members: list[router.MemberState] = list(state.members)
    refused = {each.member_id: each.quarantine for each in members if each.quarantine in _REFUSED}
    if not refused:
        return {}
    return {
        resource.model.provider_id: refused[resource.model.id]
        async for page in listing(clients, MODEL)
        for resource in page.resources
        if resource.model.id in refused
    }
