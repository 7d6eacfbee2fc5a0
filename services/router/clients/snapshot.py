"""The registry's resources as the router's own snapshot: pure, total over every enum."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from operator import is_

from google.protobuf.duration_pb2 import Duration

from runyard.registry.v1 import registry_pb2 as pb
from services.router.core.model import (
    Adapter,
    Builtin,
    Clocks,
    Credential,
    Header,
    HomeStrategy,
    Member,
    MidStream,
    Model,
    OpenAi,
    Pool,
    PoolMember,
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

HOME_FROM_PB: Mapping[int, HomeStrategy] = {
    pb.HOME_STRATEGY_UNSPECIFIED: HomeStrategy.DETERMINISTIC,
    pb.HOME_STRATEGY_DETERMINISTIC: HomeStrategy.DETERMINISTIC,
    pb.HOME_STRATEGY_ROUND_ROBIN: HomeStrategy.ROUND_ROBIN,
    pb.HOME_STRATEGY_FIRST_HEALTHY: HomeStrategy.FIRST_HEALTHY,
}
SCOPE_FROM_PB: Mapping[int, StickyScope] = {
    pb.STICKY_SCOPE_UNSPECIFIED: StickyScope.THREAD,
    pb.STICKY_SCOPE_THREAD: StickyScope.THREAD,
    pb.STICKY_SCOPE_RUN: StickyScope.RUN,
}
RETURN_FROM_PB: Mapping[int, ReturnHome] = {
    pb.RETURN_HOME_UNSPECIFIED: ReturnHome.NEVER,
    pb.RETURN_HOME_NEVER: ReturnHome.NEVER,
    pb.RETURN_HOME_NEXT_SESSION: ReturnHome.NEXT_SESSION,
}
MID_STREAM_FROM_PB: Mapping[int, MidStream] = {
    pb.MID_STREAM_UNSPECIFIED: MidStream.INTERRUPT,
    pb.MID_STREAM_INTERRUPT: MidStream.INTERRUPT,
    pb.MID_STREAM_RESTART: MidStream.RESTART,
}
LIMIT_FIELD_FROM_PB: Mapping[int, str] = {
    pb.OPEN_AI_TOKEN_LIMIT_FIELD_UNSPECIFIED: "max_tokens",
    pb.OPEN_AI_TOKEN_LIMIT_FIELD_MAX_TOKENS: "max_tokens",
    pb.OPEN_AI_TOKEN_LIMIT_FIELD_MAX_COMPLETION_TOKENS: "max_completion_tokens",
}
FAULT_FROM_PB: Mapping[int, FaultKind] = {
    pb.BUILTIN_FAULT_KIND_UNSPECIFIED: FaultKind.SERVER_ERROR,
    pb.BUILTIN_FAULT_KIND_RATE_LIMITED: FaultKind.RATE_LIMITED,
    pb.BUILTIN_FAULT_KIND_OVERLOADED: FaultKind.OVERLOADED,
    pb.BUILTIN_FAULT_KIND_SERVER_ERROR: FaultKind.SERVER_ERROR,
    pb.BUILTIN_FAULT_KIND_UNAUTHORIZED: FaultKind.UNAUTHORIZED,
    pb.BUILTIN_FAULT_KIND_INVALID_REQUEST: FaultKind.INVALID_REQUEST,
    pb.BUILTIN_FAULT_KIND_CUT: FaultKind.CUT,
    pb.BUILTIN_FAULT_KIND_STALL: FaultKind.STALL,
    pb.BUILTIN_FAULT_KIND_GARBAGE: FaultKind.GARBAGE,
}
# Searched in any text, it is found in none.
_NEVER = re.compile(r"(?!)")

log = logging.getLogger(__name__)


def snapshot_of(resources: Iterable[pb.Resource], version: int, incarnation: str) -> Snapshot:
    """What can be routed to; what refers to something that is not there is left out and logged."""
    return SnapshotBuilder().build(resources, version, incarnation)


class SnapshotBuilder:
    """Builds one snapshot after the other, and takes from the last what has not changed.

    Every change of the registry is built on the event loop, between the frames of running answers:
    with ten thousand resources, to make everything anew would hold them up for a fifth of a second.

    A resource is unchanged if it is the same object. Whoever calls ``build`` replaces the ones that
    differ, and never alters one in place.
    """

    def __init__(self) -> None:
        # What each was made of stands before it; held, so that no other object takes its identity.
        self._providers: dict[str, tuple[pb.Resource, Provider]] = {}
        self._models: dict[str, tuple[pb.Resource, Provider, Target]] = {}
        self._pools: dict[str, tuple[pb.Resource, tuple[Target, ...], Target]] = {}

    def build(self, resources: Iterable[pb.Resource], version: int, incarnation: str) -> Snapshot:
        by_kind: dict[str, list[pb.Resource]] = {"provider": [], "model": [], "model_pool": []}
        for resource in resources:
            kind = resource.WhichOneof("resource")
            if kind in by_kind:
                by_kind[kind].append(resource)
        self._providers = {r.provider.id: self._provider(r) for r in by_kind["provider"]}
        self._models = dict(filter(None, map(self._model, by_kind["model"])))
        self._pools = dict(filter(None, map(self._pool, by_kind["model_pool"])))
        targets = {id_: made[-1] for id_, made in [*self._models.items(), *self._pools.items()]}
        return Snapshot(version, incarnation, targets)

    def _provider(self, resource: pb.Resource) -> tuple[pb.Resource, Provider]:
        made = self._providers.get(resource.provider.id)
        return made if made and made[0] is resource else (resource, provider_of(resource))

    def _model(
        self, resource: pb.Resource
    ) -> tuple[str, tuple[pb.Resource, Provider, Target]] | None:
        id_ = resource.model.id
        found = self._providers.get(resource.model.provider_id)
        if found is None:
            log.warning("model without provider", extra={"model_id": id_})
            return None
        provider = found[1]
        made = self._models.get(id_)
        if made and made[0] is resource and made[1] is provider:
            return id_, made
        return id_, (resource, provider, _model_target(resource, provider))

    def _pool(
        self, resource: pb.Resource
    ) -> tuple[str, tuple[pb.Resource, tuple[Target, ...], Target]] | None:
        pool = resource.model_pool
        found = [self._models.get(member.model_id) for member in pool.members]
        targets = tuple(made[2] for made in found if made)
        if len(targets) < len(found):
            log.warning("pool without one of its models", extra={"pool_id": pool.id})
            return None
        made = self._pools.get(pool.id)
        if made and made[0] is resource and all(map(is_, made[1], targets)):
            return pool.id, made
        return pool.id, (resource, targets, _pool_target(resource, targets))


def _model_target(resource: pb.Resource, provider: Provider) -> Target:
    member = Member(model_of(resource.model), provider)
    pool = Pool(member.id, (PoolMember(member.id),))
    return Target(pool, (member,), _revision(resource), is_pool=False)


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
    )


def pool_of(pool: pb.ModelPool) -> Pool:
    return Pool(
        id=pool.id,
        members=tuple(_pool_member(member) for member in pool.members),
        home=HOME_FROM_PB.get(pool.routing.home, HomeStrategy.DETERMINISTIC),
        sticky_scope=SCOPE_FROM_PB.get(pool.routing.sticky_scope, StickyScope.THREAD),
        switch=_switch(pool.switch),
        pin_ttl_s=_seconds(pool.stickiness.pin_ttl) or 3600.0,
        return_home=RETURN_FROM_PB.get(pool.stickiness.return_home, ReturnHome.NEVER),
        in_place_retries=pool.retry.in_place if pool.retry.HasField("in_place") else 1,
        clocks=_clocks(pool.clocks),
        mid_stream=MID_STREAM_FROM_PB.get(pool.mid_stream, MidStream.INTERRUPT),
    )


def _pool_member(member: pb.PoolMember) -> PoolMember:
    return PoolMember(
        model_id=member.model_id,
        weight=member.weight if member.HasField("weight") else 1,
        failover_only=member.role == pb.POOL_MEMBER_ROLE_FAILOVER_ONLY,
    )


def _member(member: PoolMember, target: Target) -> Member:
    (model,) = target.members
    return Member(model.model, model.provider, member.weight, member.failover_only)


def _switch(switch: pb.PoolSwitch) -> SwitchPolicy:
    threshold = switch.quota_retry_after_threshold
    limited = switch.HasField("max_switches_per_session")
    return SwitchPolicy(
        on_circuit_open=switch.on_circuit_open if switch.HasField("on_circuit_open") else True,
        on_quota=switch.on_quota if switch.HasField("on_quota") else True,
        on_permanent=switch.on_permanent if switch.HasField("on_permanent") else True,
        on_retry_exhausted=switch.on_retry_exhausted,
        quota_threshold_s=(
            _seconds(threshold) if switch.HasField("quota_retry_after_threshold") else None
        ),
        max_switches=switch.max_switches_per_session if limited else None,
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
            options = provider.openai
            return OpenAi(
                base_url=provider.base_url or OPENAI_URL,
                organization=options.organization,
                project=options.project,
                output_limit_field=LIMIT_FIELD_FROM_PB.get(options.token_limit_field, "max_tokens"),
                stream_usage=options.stream_usage if options.HasField("stream_usage") else True,
                headers=tuple(_header(header) for header in options.headers),
            )
        case other:
            return Unsupported(other or "unknown")


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
        tool_results=step.tool_results if step.HasField("tool_results") else None,
        upstream_model=step.upstream_model,
    )


def _pattern(expression: str) -> re.Pattern[str] | None:
    """None for an empty one. The registry lets no broken one in; should one come, it matches
    nothing rather than taking every other resource down with it.
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
        kind=FAULT_FROM_PB.get(fault.kind, FaultKind.SERVER_ERROR),
        retry_after_s=_seconds(fault.retry_after) if fault.HasField("retry_after") else None,
        after_deltas=fault.after_deltas,
        text=fault.text,
    )


def _revision(resource: pb.Resource) -> str:
    """16 hexadecimal digits that change with the content; the registry hashes its normal form."""
    if resource.meta.content_hash:
        return resource.meta.content_hash[:16]
    bare = pb.Resource()
    bare.CopyFrom(resource)
    bare.ClearField("meta")
    return sha256(bare.SerializeToString(deterministic=True)).hexdigest()[:16]


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
