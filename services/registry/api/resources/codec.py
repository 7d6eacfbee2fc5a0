"""Resources of any kind to and from the wire, and the bytes they are stored as."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.errors import Violation
from services.chassis.protobuf.decoder import Decoder
from services.chassis.slices import give_way
from services.registry.api.enums import KINDS
from services.registry.api.resources.agents import agent_from_pb, agent_to_pb
from services.registry.api.resources.models import model_from_pb, model_to_pb
from services.registry.api.resources.pools import pool_from_pb, pool_to_pb
from services.registry.api.resources.providers import provider_from_pb, provider_to_pb
from services.registry.api.resources.tools import tool_from_pb, tool_to_pb
from services.registry.core.model import Agent, Model, ModelPool, Provider, Resource, Tool
from services.registry.core.refs import Ref
from services.registry.core.rules.validating import Submitted, text_warnings
from services.registry.core.stored import Stored

_NO_ARM = "must set one of provider, model, model_pool, agent and tool"


def resources_from_pb(
    resources: Iterable[pb.Resource],
) -> tuple[tuple[Submitted, ...], tuple[Violation, ...]]:
    """The submitted resources, and a violation for each entry that sets no kind."""
    submitted, invalid = [], []
    for index, message in enumerate(resources):
        give_way()
        field = f"resources[{index}]"
        arm = message.WhichOneof("resource")
        if arm is None:
            invalid.append(Violation(field, _NO_ARM))
        else:
            submitted.append(submitted_from_pb(message, f"{field}.{arm}"))
    return tuple(submitted), tuple(invalid)


def submitted_from_pb(message: pb.Resource, field: str) -> Submitted:
    """``message`` has a kind; ``field`` is the path of what it holds."""
    decoder = Decoder()
    resource = _resource_from_pb(message, field, decoder)
    return Submitted(
        field,
        resource,
        tuple(decoder.found),
        _content_size_bytes(message),
        tuple(text_warnings(resource, field)),
    )


def _content_size_bytes(message: pb.Resource) -> int:
    # Without the meta, which is ignored on input: what was read may be applied again.
    return sum(value.ByteSize() for field, value in message.ListFields() if field.name != "meta")


def _resource_from_pb(message: pb.Resource, field: str, decoder: Decoder) -> Resource:
    match message.WhichOneof("resource"):
        case "provider":
            return provider_from_pb(message.provider, field, decoder)
        case "model":
            return model_from_pb(message.model, field, decoder)
        case "model_pool":
            return pool_from_pb(message.model_pool, field, decoder)
        case "agent":
            return agent_from_pb(message.agent, field, decoder)
        case "tool":
            return tool_from_pb(message.tool, field, decoder)
        case _:
            raise ValueError(f"an empty resource: {field}")


def resource_to_pb(resource: Resource) -> pb.Resource:
    match resource:
        case Provider():
            return pb.Resource(provider=provider_to_pb(resource))
        case Model():
            return pb.Resource(model=model_to_pb(resource))
        case ModelPool():
            return pb.Resource(model_pool=pool_to_pb(resource))
        case Agent():
            return pb.Resource(agent=agent_to_pb(resource))
        case Tool():
            return pb.Resource(tool=tool_to_pb(resource))


class ProtobufCodec:
    """``ResourceCodec``: a stored body is a ``Resource`` message without its meta.

    A body that is read from the store is sent as it is.
    """

    def encode(self, resource: Resource) -> bytes:
        return resource_to_pb(resource).SerializeToString(deterministic=True)

    def decode(self, body: bytes) -> Resource:
        return _resource_from_pb(pb.Resource.FromString(body), "", Decoder())


def stored_to_pb(stored: Stored) -> pb.Resource:
    """With all of its meta."""
    message = published_to_pb(stored)
    message.meta.apply_set = stored.apply_set
    return message


def published_to_pb(stored: Stored) -> pb.Resource:
    """As part of a version, without the apply set, which is no content."""
    message = pb.Resource.FromString(stored.body)
    meta = message.meta
    meta.content_hash = stored.content_hash.hex()
    meta.since_version = stored.since_version
    meta.update_time.FromDatetime(stored.updated_at)
    meta.updated_by = stored.updated_by
    return message


def ref_from_pb(kind: int, id_: str, others: Iterable[Violation] = ()) -> Ref:
    """Name one resource.

    Args:
        others: Further violations of the request.

    Raises:
        InvalidRequestError: An unknown kind, an illegal id, anything else, or all of it.
    """
    decoder = Decoder()
    decoder.found += others
    ref = Ref(decoder.required_enum(KINDS, kind, "kind"), decoder.id(id_, "id"))
    decoder.check()
    return ref


def ref_to_pb(ref: Ref) -> pb.ResourceRef:
    return pb.ResourceRef(kind=KINDS.to_pb[ref.kind], id=ref.id)


def resources_to_pb(stored: Sequence[Stored]) -> list[pb.Resource]:
    return [stored_to_pb(one) for one in stored]
