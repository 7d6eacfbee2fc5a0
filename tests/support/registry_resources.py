"""Registry resources as requests carry them, small and valid unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runyard.registry.v1 import registry_pb2 as pb


def provider(id_: str = "local", **fields: Any) -> pb.Resource:
    """A builtin provider that echoes."""
    message = pb.Provider(id=id_, **fields)
    if message.WhichOneof("adapter") is None:
        message.builtin.SetInParent()
    return pb.Resource(provider=message)


def model(id_: str = "small", provider_id: str = "local", **fields: Any) -> pb.Resource:
    upstream = fields.pop("upstream_model", "upstream")
    return pb.Resource(
        model=pb.Model(id=id_, provider_id=provider_id, upstream_model=upstream, **fields)
    )


def pool(id_: str = "both", members: Sequence[str] = ("small",), **fields: Any) -> pb.Resource:
    each = [pb.PoolMember(model_id=member) for member in members]
    return pb.Resource(model_pool=pb.ModelPool(id=id_, members=each, **fields))


def agent(id_: str = "scout", model_id: str = "small", **fields: Any) -> pb.Resource:
    return pb.Resource(agent=pb.Agent(id=id_, model_id=model_id, **fields))


def tool(id_: str = "search", **fields: Any) -> pb.Resource:
    """A tool of any worker."""
    message = pb.Tool(id=id_, **fields)
    if message.WhichOneof("executor") is None:
        message.worker.SetInParent()
    return pb.Resource(tool=message)


def quickstart() -> list[pb.Resource]:
    """One of each kind, each referring to another."""
    return [provider(), model(), pool(), tool(), agent(model_id="both", tools=["search"])]
