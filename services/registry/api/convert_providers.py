"""The lifecycle of providers: requests to commands, answers to responses."""

from __future__ import annotations

from typing import assert_never

from runyard.registry.v1 import registry_pb2 as pb
from runyard.registry.v1 import registry_service_pb2 as service_pb
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.ids import id_violations
from services.registry.api.decoding import Decoder, EnumTable, optional
from services.registry.api.fitting import fitting_ids
from services.registry.api.mutations import key_violations
from services.registry.api.resources import submitted_from_pb
from services.registry.core.provider_lifecycle import (
    Registered,
    RemovalPreview,
    Removed,
    Replaced,
)
from services.registry.core.registering import ProviderCommand
from services.registry.core.removing_providers import RemovalCommand, RemovalPolicy

_POLICIES = EnumTable(service_pb.ProviderRemovalPolicy, "PROVIDER_REMOVAL_POLICY", RemovalPolicy)


def provider_command_from_pb(
    request: service_pb.RegisterProviderRequest | service_pb.ReplaceProviderRequest,
) -> ProviderCommand:
    unreadable = key_violations(request)
    if not request.HasField("provider"):
        raise InvalidRequestError.of([*unreadable, Violation("provider", "must be set")])
    return ProviderCommand(
        submitted=submitted_from_pb(pb.Resource(provider=request.provider), "provider"),
        unreadable=tuple(unreadable),
        expected_version=optional(request, "expected_version", None),
    )


def registered_to_pb(answer: Registered) -> service_pb.RegisterProviderResponse:
    return service_pb.RegisterProviderResponse(
        version=answer.version, incarnation=answer.incarnation
    )


def replaced_to_pb(answer: Replaced) -> service_pb.ReplaceProviderResponse:
    return service_pb.ReplaceProviderResponse(
        version=answer.version, incarnation=answer.incarnation
    )


def previewed_id_from_pb(request: service_pb.PreviewRemoveProviderRequest) -> str:
    found = id_violations(request.provider_id, "provider_id")
    if found:
        raise InvalidRequestError.of(found)
    return request.provider_id


def preview_to_pb(preview: RemovalPreview) -> service_pb.PreviewRemoveProviderResponse:
    impact = preview.impact
    return service_pb.PreviewRemoveProviderResponse(
        provider_id=impact.provider_id,
        model_ids=fitting_ids(impact.model_ids),
        pool_ids=fitting_ids(impact.pool_ids),
        agent_ids=fitting_ids(impact.agent_ids),
        block_if_referenced_allowed=impact.allows(RemovalPolicy.BLOCK_IF_REFERENCED),
        cascade_unused_models_allowed=impact.allows(RemovalPolicy.CASCADE_UNUSED_MODELS),
        version=preview.version,
        model_count=len(impact.model_ids),
        pool_count=len(impact.pool_ids),
        agent_count=len(impact.agent_ids),
    )


def removal_from_pb(request: service_pb.RemoveProviderRequest) -> RemovalCommand:
    decoder = Decoder()
    policy = decoder.required_enum(_POLICIES.from_pb, request.policy, "policy")
    found = [*decoder.found, *key_violations(request)]
    found += id_violations(request.provider_id, "provider_id")
    if found:
        raise InvalidRequestError.of(found)
    expected_version = optional(request, "expected_version", None)
    return RemovalCommand(request.provider_id, policy, expected_version)


def removed_to_pb(answer: Removed) -> service_pb.RemoveProviderResponse:
    return service_pb.RemoveProviderResponse(
        provider_id=answer.provider_id,
        removed_model_ids=fitting_ids(answer.model_ids),
        removed_pool_ids=fitting_ids(answer.pool_ids),
        affected_agent_ids=fitting_ids(answer.agent_ids),
        version=answer.version,
        incarnation=answer.incarnation,
        removed_model_count=len(answer.model_ids),
        removed_pool_count=len(answer.pool_ids),
        updated_pool_ids=fitting_ids(answer.shrunk_pool_ids),
        updated_pool_count=len(answer.shrunk_pool_ids),
    )


def encode_provider_answer(answer: Registered | Replaced | Removed) -> bytes:
    """What a repeat of the request is answered with."""
    match answer:
        case Registered():
            return registered_to_pb(answer).SerializeToString(deterministic=True)
        case Replaced():
            return replaced_to_pb(answer).SerializeToString(deterministic=True)
        case Removed():
            return removed_to_pb(answer).SerializeToString(deterministic=True)
        case _:
            assert_never(answer)
