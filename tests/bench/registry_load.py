"""What the registry's benchmark fills a registry with, and changes.

A fleet of N resources, in every hundred of them:

    1 provider                  builtin, referred to by its models
    39 models                   of that provider
    10 pools                    of three models each
    40 agents                   on a pool, with two tools and a prompt of 600 bytes
    10 tools                    with a JSON schema of two properties

One mutation is one ``ApplyResources`` with a request id and one agent of the fleet, whose prompt is
new: the server takes the lock of the head, looks for the request id, reads what it holds of the
agent, resolves its pool and its tools, ends the agent's row and its references, writes the new
ones, moves the head, and adds a row to the versions and one to the answers. It is acknowledged when
that is durable.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1.registry_service_pb2 import ApplyResourcesRequest
from tests.support.registry_resources import agent, model, pool, provider, tool

# The server's own limit for one apply.
_BATCH = 5_000
_SCHEMA = (
    '{"type": "object", "properties": {"query": {"type": "string"}, "top": {"type": "integer"}}}'
)
_PROMPT = "You answer questions about orders. " * 16


def fleet(size: int) -> Iterator[ApplyResourcesRequest]:
    """Requests that fill an empty registry with ``size`` resources, a multiple of 100."""
    resources = itertools.chain.from_iterable(_hundred(number) for number in range(size // 100))
    while batch := list(itertools.islice(resources, _BATCH)):
        yield ApplyResourcesRequest(resources=batch)


def _hundred(number: int) -> Iterator[pb.Resource]:
    yield provider(f"provider-{number}")
    models = [f"model-{number}-{each}" for each in range(39)]
    for name in models:
        yield model(name, f"provider-{number}")
    for each in range(10):
        yield pool(f"pool-{number}-{each}", models[each * 3 : each * 3 + 3])
    for each in range(10):
        yield tool(f"tool-{number}-{each}", json_schema=_SCHEMA, description="looks things up")
    for each in range(40):
        yield _agent(number, each, _PROMPT)


def _agent(number: int, each: int, prompt: str) -> pb.Resource:
    tools = [f"tool-{number}-{each % 10}", f"tool-{number}-{(each + 1) % 10}"]
    pool_id = f"pool-{number}-{each % 10}"
    return agent(f"agent-{number}-{each}", pool_id, system_prompt=prompt, tools=tools)


def mutations(size: int) -> Iterator[ApplyResourcesRequest]:
    """One after the other, all over the fleet, no two alike."""
    hundreds = size // 100
    for count in itertools.count():
        # Strides that have no divisor in common with 40 or with a fleet of whole hundreds.
        number, each = count * 7 % hundreds, count * 11 % 40
        yield ApplyResourcesRequest(
            resources=[_agent(number, each, f"{_PROMPT} {count}")], request_id=f"mutation-{count}"
        )
