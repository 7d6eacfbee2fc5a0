"""Models to and from the wire."""

from __future__ import annotations

from datetime import timedelta

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.protobuf.decoder import Decoder, duration_to_pb, optional
from services.registry.api.enums import MODALITIES
from services.registry.core.model import Modality, Model, ModelCapabilities, ModelPrices


def model_from_pb(model: pb.Model, field: str, decoder: Decoder) -> Model:
    modalities = (
        decoder.required_enum(MODALITIES, number, f"{field}.modalities[{index}]")
        for index, number in enumerate(model.modalities)
    )
    return Model(
        id=model.id,
        provider_id=model.provider_id,
        upstream_model=model.upstream_model,
        context_window=optional(model, "context_window", None),
        max_output_tokens=optional(model, "max_output_tokens", None),
        modalities=tuple(modalities) or (Modality.TEXT,),
        capabilities=_capabilities_from_pb(model),
        prices=_prices_from_pb(model),
        cache_ttl=decoder.duration(model, "cache_ttl", field, timedelta(0)),
        knowledge_cutoff=model.knowledge_cutoff,
    )


def _capabilities_from_pb(model: pb.Model) -> ModelCapabilities | None:
    if not model.HasField("capabilities"):
        return None
    can = model.capabilities
    return ModelCapabilities(
        can.tools, can.parallel_tool_calls, can.json_object, can.json_schema, can.reasoning
    )


def _prices_from_pb(model: pb.Model) -> ModelPrices | None:
    if not model.HasField("prices"):
        return None
    prices, default = model.prices, ModelPrices()
    return ModelPrices(
        prices.currency or default.currency,
        prices.input_per_million,
        prices.output_per_million,
        prices.cache_read_per_million,
        prices.cache_write_per_million,
    )


def model_to_pb(model: Model) -> pb.Model:
    message = pb.Model(
        id=model.id,
        provider_id=model.provider_id,
        upstream_model=model.upstream_model,
        context_window=model.context_window,
        max_output_tokens=model.max_output_tokens,
        modalities=[MODALITIES.to_pb[each] for each in model.modalities],
        cache_ttl=duration_to_pb(model.cache_ttl),
        knowledge_cutoff=model.knowledge_cutoff,
    )
    if model.capabilities:
        message.capabilities.CopyFrom(_capabilities_to_pb(model.capabilities))
    if model.prices:
        message.prices.CopyFrom(_prices_to_pb(model.prices))
    return message


def _capabilities_to_pb(can: ModelCapabilities) -> pb.ModelCapabilities:
    return pb.ModelCapabilities(
        tools=can.tools,
        parallel_tool_calls=can.parallel_tool_calls,
        json_object=can.json_object,
        json_schema=can.json_schema,
        reasoning=can.reasoning,
    )


def _prices_to_pb(prices: ModelPrices) -> pb.ModelPrices:
    return pb.ModelPrices(
        currency=prices.currency,
        input_per_million=prices.input_per_million,
        output_per_million=prices.output_per_million,
        cache_read_per_million=prices.cache_read_per_million,
        cache_write_per_million=prices.cache_write_per_million,
    )
