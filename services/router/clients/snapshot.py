"""Builds the router's snapshot from the registry's resources."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from hashlib import sha256
from operator import is_

from google.protobuf.duration_pb2 import Duration

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.protobuf.decoder import optional
from services.chassis.protobuf.enums import EnumTable, ReadTable
from services.router.core.model import (
    Adapter,
    Anthropic,
    BreakerPolicy,
    Builtin,
    Clocks,
    Credential,
    Feature,
    Grpc,
    Header,
    HomeStrategy,
    Member,
    MidStream,
    Model,
    OpenAi,
    Pool,
    PoolMember,
    Prices,
    Provider,
    ReturnHome,
    Snapshot,
    StickyScope,
    SwitchPolicy,
    Target,
    Unsupported,
)
from services.router.core.script import Fault, FaultKind, Reply, Script, ScriptedCall, Step

OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"
ANTHROPIC_VERSION = "2023-06-01"

HOMES = EnumTable(pb.HomeStrategy, "HOME_STRATEGY", HomeStrategy)
SCOPES = EnumTable(pb.StickyScope, "STICKY_SCOPE", StickyScope)
RETURNS = EnumTable(pb.ReturnHome, "RETURN_HOME", ReturnHome)
MID_STREAMS = EnumTable(pb.MidStream, "MID_STREAM", MidStream)
FAULTS = EnumTable(pb.BuiltinFaultKind, "BUILTIN_FAULT_KIND", FaultKind)
LIMIT_FIELDS = ReadTable(
    pb.OpenAiTokenLimitField,
    "OPEN_AI_TOKEN_LIMIT_FIELD",
    {"MAX_TOKENS": "max_tokens", "MAX_COMPLETION_TOKENS": "max_completion_tokens"},
)
# Matches nowhere.
_NEVER = re.compile(r"(?!)")

log = logging.getLogger(__name__)


class SnapshotBuilder:
    """Builds snapshots one after the other; reuses what has not changed since the last.

    A snapshot is built on the event loop, between the frames of running answers; to rebuild ten
    thousand resources takes a fifth of a second.

    A resource counts as unchanged if it is the same object. The caller of ``build`` replaces
    changed resources and never alters one in place.
    """

    def __init__(self) -> None:
        # By id: what each object was built from, then the object. The sources are kept, because
        # they are compared by identity.
        self._providers: dict[str, tuple[pb.Resource, Provider]] = {}
        self._models: dict[str, tuple[pb.Resource, Provider, Target]] = {}
        self._pools: dict[str, tuple[pb.Resource, tuple[Target, ...], Target]] = {}

    def build(self, resources: Iterable[pb.Resource], version: int, incarnation: str) -> Snapshot:
        """Build a snapshot; a resource that refers to a missing one is left out and logged."""
        by_kind: dict[str, list[pb.Resource]] = {"provider": [], "model": [], "model_pool": []}
        for resource in resources:
            kind = resource.WhichOneof("resource")
            if kind in by_kind:
                by_kind[kind].append(resource)
        self._providers = {r.provider.id: self._provider(r) for r in by_kind["provider"]}
        self._models = dict(filter(None, map(self._model, by_kind["model"])))
        self._pools = dict(filter(None, map(self._pool, by_kind["model_pool"])))
        targets = {id_: built[-1] for id_, built in [*self._models.items(), *self._pools.items()]}
        return Snapshot(version, incarnation, targets)

    def _provider(self, resource: pb.Resource) -> tuple[pb.Resource, Provider]:
        built = self._providers.get(resource.provider.id)
        return built if built and built[0] is resource else (resource, provider_of(resource))

    def _model(
        self, resource: pb.Resource
    ) -> tuple[str, tuple[pb.Resource, Provider, Target]] | None:
        id_ = resource.model.id
        found = self._providers.get(resource.model.provider_id)
        if found is None:
            log.warning("model without provider", extra={"model_id": id_})
            return None
        provider = found[1]
        built = self._models.get(id_)
        if built and built[0] is resource and built[1] is provider:
            return id_, built
        return id_, (resource, provider, _model_target(resource, provider))

    def _pool(
        self, resource: pb.Resource
    ) -> tuple[str, tuple[pb.Resource, tuple[Target, ...], Target]] | None:
        pool = resource.model_pool
        found = [self._models.get(member.model_id) for member in pool.members]
        targets = tuple(built[2] for built in found if built)
        if len(targets) < len(found):
            log.warning("pool without one of its models", extra={"pool_id": pool.id})
            return None
        built = self._pools.get(pool.id)
        if built and built[0] is resource and all(map(is_, built[1], targets)):
            return pool.id, built
        return pool.id, (resource, targets, _pool_target(resource, targets))


def _model_target(resource: pb.Resource, provider: Provider) -> Target:
    member = Member(model_of(resource.model), provider)
    clocks = _direct_clocks(member)
    pool = Pool(member.id, (PoolMember(member.id),), clocks=clocks)
    return Target(pool, (member,), _revision(resource), is_pool=False)


def _direct_clocks(member: Member) -> Clocks:
    """A reasoning model may be silent until its provider's time-out: nobody else could answer."""
    return Clocks(first_chunk_s=member.provider.timeout_s) if member.model.reasoning else Clocks()


def _pool_target(resource: pb.Resource, targets: Sequence[Target]) -> Target:
    pool = pool_of(resource.model_pool)
    members = tuple(map(_member, pool.members, targets))
    return Target(pool, members, _revision(resource), is_pool=True)


def provider_of(resource: pb.Resource) -> Provider:
    provider = resource.provider
    return Provider(
        id=provider.id,
        adapter=_adapter(provider),
        credential=_credential(provider.credential_ref),
        timeout_s=_seconds(provider.timeout) or 300.0,
        revision=_revision(resource),
    )


def model_of(model: pb.Model) -> Model:
    return Model(
        id=model.id,
        provider_id=model.provider_id,
        upstream_model=model.upstream_model,
        cache_ttl_s=_seconds(model.cache_ttl),
        reasoning=model.capabilities.reasoning,
        max_output_tokens=optional(model, "max_output_tokens", None),
        context_window=optional(model, "context_window", None),
        lacks=_lacks(model),
        prices=_prices(model.prices) if model.HasField("prices") else None,
    )


def _lacks(model: pb.Model) -> frozenset[Feature]:
    """What the model declares that it cannot do: nothing without ``capabilities``.

    The registry completes absent modalities with TEXT, so TEXT alone declares no more than that.
    """
    if not model.HasField("capabilities"):
        return frozenset()
    able = model.capabilities
    declared = {
        Feature.TOOLS: able.tools,
        Feature.IMAGES: pb.MODALITY_IMAGE in model.modalities,
        Feature.JSON_OBJECT: able.json_object,
        Feature.JSON_SCHEMA: able.json_schema,
    }
    return frozenset(feature for feature, is_able in declared.items() if not is_able)


def _prices(prices: pb.ModelPrices) -> Prices:
    return Prices(
        currency=prices.currency or "USD",
        input_micros=_micros(prices.input_per_million),
        output_micros=_micros(prices.output_per_million),
        cache_read_micros=_micros(prices.cache_read_per_million),
        cache_write_micros=_micros(prices.cache_write_per_million),
    )


def _micros(price: str) -> int | None:
    """Exact: the registry takes at most six decimals."""
    return int(Decimal(price) * 1_000_000) if price else None


def pool_of(pool: pb.ModelPool) -> Pool:
    return Pool(
        id=pool.id,
        members=tuple(_pool_member(member) for member in pool.members),
        home=HOMES.from_pb.get(pool.routing.home, HomeStrategy.DETERMINISTIC),
        sticky_scope=SCOPES.from_pb.get(pool.routing.sticky_scope, StickyScope.THREAD),
        switch=_switch(pool.switch),
        pin_ttl_s=_seconds(pool.stickiness.pin_ttl) or 3600.0,
        return_home=RETURNS.from_pb.get(pool.stickiness.return_home, ReturnHome.NEVER),
        in_place_retries=optional(pool.retry, "in_place", 1),
        clocks=_clocks(pool.clocks),
        mid_stream=MID_STREAMS.from_pb.get(pool.mid_stream, MidStream.INTERRUPT),
        breaker=_breaker(pool.breaker),
    )


def _pool_member(member: pb.PoolMember) -> PoolMember:
    return PoolMember(
        model_id=member.model_id,
        weight=optional(member, "weight", 1),
        failover_only=member.role == pb.POOL_MEMBER_ROLE_FAILOVER_ONLY,
    )


def _member(member: PoolMember, target: Target) -> Member:
    (model,) = target.members
    return Member(model.model, model.provider, member.weight, member.failover_only)


def _switch(switch: pb.PoolSwitch) -> SwitchPolicy:
    threshold = switch.quota_retry_after_threshold
    return SwitchPolicy(
        on_circuit_open=optional(switch, "on_circuit_open", True),
        on_quota=optional(switch, "on_quota", True),
        on_permanent=optional(switch, "on_permanent", True),
        on_retry_exhausted=switch.on_retry_exhausted,
        quota_threshold_s=(
            _seconds(threshold) if switch.HasField("quota_retry_after_threshold") else None
        ),
        max_switches=optional(switch, "max_switches_per_session", None),
    )


def _breaker(breaker: pb.PoolBreaker) -> BreakerPolicy:
    return BreakerPolicy(
        failure_threshold=optional(breaker, "failure_threshold", 5),
        cooldown_s=_seconds(breaker.cooldown) or 30.0,
        half_open_max=optional(breaker, "half_open_max", 1),
    )


def _clocks(clocks: pb.PoolClocks) -> Clocks:
    return Clocks(
        first_chunk_s=_seconds(clocks.first_chunk) or 60.0,
        idle_s=_seconds(clocks.idle) or 60.0,
        total_s=_seconds(clocks.total) or None,
    )


def _adapter(provider: pb.Provider) -> Adapter:
    match provider.WhichOneof("adapter"):
        case "builtin":
            return Builtin(script_of(provider.builtin))
        case "openai":
            return _openai(provider.openai, provider.base_url)
        case "anthropic":
            return _anthropic(provider.anthropic, provider.base_url)
        case "grpc":
            return _grpc(provider.grpc, provider.base_url)
        case _:
            return Unsupported()


def _openai(options: pb.OpenAiAdapter, base_url: str) -> OpenAi:
    return OpenAi(
        base_url=base_url or OPENAI_URL,
        organization=options.organization,
        project=options.project,
        output_limit_field=LIMIT_FIELDS.from_pb.get(options.token_limit_field, "max_tokens"),
        stream_usage=optional(options, "stream_usage", True),
        headers=tuple(_header(header) for header in options.headers),
        query=tuple((parameter.name, parameter.value) for parameter in options.query),
    )


def _anthropic(options: pb.AnthropicAdapter, base_url: str) -> Anthropic:
    return Anthropic(
        base_url=base_url or ANTHROPIC_URL,
        version=options.api_version or ANTHROPIC_VERSION,
        betas=tuple(options.betas),
        headers=tuple(_header(header) for header in options.headers),
    )


def _grpc(options: pb.GrpcAdapter, target: str) -> Grpc:
    return Grpc(target, options.transport != pb.GRPC_TRANSPORT_PLAINTEXT, options.authority)


def _header(header: pb.HttpHeader) -> Header:
    if header.WhichOneof("content") == "value_ref":
        return Header(header.name, secret=_credential(header.value_ref))
    return Header(header.name, value=header.value)


def _credential(reference: pb.CredentialRef) -> Credential | None:
    if reference.WhichOneof("source") is None:
        return None
    return Credential(env=reference.env, file=reference.file)


def script_of(builtin: pb.BuiltinAdapter) -> Script:
    steps = tuple(_step(step) for step in builtin.steps)
    return Script(steps, _seconds(builtin.delta_interval))


def _step(step: pb.BuiltinStep) -> Step:
    return Step(
        outcome=_fault(step.fault) if step.WhichOneof("outcome") == "fault" else _reply(step.reply),
        matches=_pattern(step.matches),
        tool_results=optional(step, "tool_results", None),
        upstream_model=step.upstream_model,
    )


def _pattern(expression: str) -> re.Pattern[str] | None:
    """None for an empty expression. The registry refuses invalid ones; if one comes anyway, it
    matches nothing, and the other resources stay usable.
    """
    try:
        return re.compile(expression) if expression else None
    except re.error:
        log.warning("unusable expression in a script", extra={"expression": expression})
        return _NEVER


def _reply(reply: pb.BuiltinReply) -> Reply:
    calls = tuple(
        ScriptedCall(call.tool_id, call.arguments_json or "{}") for call in reply.tool_calls
    )
    return Reply(reply.text, calls, reply.reasoning)


def _fault(fault: pb.BuiltinFault) -> Fault:
    return Fault(
        kind=FAULTS.from_pb.get(fault.kind, FaultKind.SERVER_ERROR),
        retry_after_s=_seconds(fault.retry_after) if fault.HasField("retry_after") else None,
        after_deltas=fault.after_deltas,
        text=fault.text,
    )


def _revision(resource: pb.Resource) -> str:
    """The first 16 digits of the registry's content hash; without one, of a hash of the message."""
    if resource.meta.content_hash:
        return resource.meta.content_hash[:16]
    bare = pb.Resource()
    bare.CopyFrom(resource)
    bare.ClearField("meta")
    return sha256(bare.SerializeToString(deterministic=True)).hexdigest()[:16]


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
