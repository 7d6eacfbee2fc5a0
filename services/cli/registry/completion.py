"""What a shell offers after Tab: kinds from here, ids from the registry if it answers at once."""

from __future__ import annotations

import asyncio
import os
import re
from itertools import islice

import typer

# The order in which they are offered, under the names that are typed most easily.
_OFFERED = ("provider", "model", "pool", "agent", "tool")
# A person waits for the answer after Tab.
_TIMEOUT_S = 1.0
_MOST = 1000
# Characters that need no quoting in a shell.
_PLAIN = re.compile(r"[\w./@+=-]+")


def complete_kinds(incomplete: str) -> list[str]:
    return [name for name in _OFFERED if name.startswith(incomplete.lower())]


def complete_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of the kind that was typed before; none when they cannot be read."""
    return _ids(ctx, str(ctx.params.get("kind") or ""), incomplete)


def complete_provider_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    return _ids(ctx, "provider", incomplete)


def _ids(ctx: typer.Context, kind: str, incomplete: str) -> list[str]:
    try:
        found = asyncio.run(_within(_TIMEOUT_S, kind, ctx.params.get("endpoint")))
    except Exception:  # a shell that completes has no place to show one
        return []
    offered = (id_ for id_ in found if id_.startswith(incomplete) and _PLAIN.fullmatch(id_))
    return list(islice(offered, _MOST))


async def _within(limit_s: float, kind: str, endpoint: list[str] | None) -> list[str]:
    # These modules import gRPC, which completing the name of a command does not need.
    from services.cli.manifests.kinds import id_of, kind_named  # noqa: PLC0415
    from services.cli.registry.reading import listing  # noqa: PLC0415
    from services.cli.talk.clients import connected  # noqa: PLC0415
    from services.cli.talk.endpoints import read_endpoints  # noqa: PLC0415

    found: list[str] = []
    async with connected(read_endpoints(os.environ, endpoint or ())) as clients:
        try:
            async with asyncio.timeout(limit_s):
                async for page in listing(clients, kind_named(kind)):
                    found += map(id_of, page.resources)
        except TimeoutError:
            pass
    return found
