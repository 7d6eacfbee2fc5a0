"""Pools to and from the wire."""

from __future__ import annotations

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.protobuf.decoder import Decoder, duration_to_pb, optional
from services.registry.api.enums import HOMES, MID_STREAMS, RETURNS, ROLES, SCOPES
from services.registry.core.model import (
    MemberRole,
    MidStream,
    ModelPool,
    PoolBreaker,
    PoolClocks,
    PoolMember,
    PoolRetry,
    PoolRouting,
    PoolStickiness,
    PoolSwitch,
)


def pool_from_pb(pool: pb.ModelPool, field: str, decoder: Decoder) -> ModelPool:
    members = (
        _member_from_pb(member, f"{field}.members[{index}]", decoder)
        for index, member in enumerate(pool.members)
    )
    return ModelPool(
        id=pool.id,
        members=tuple(members),
        routing=_routing_from_pb(pool.routing, f"{field}.routing", decoder),
        switch=_switch_from_pb(pool.switch, f"{field}.switch", decoder),
        breaker=_breaker_from_pb(pool.breaker, f"{field}.breaker", decoder),
        stickiness=_stickiness_from_pb(pool.stickiness, f"{field}.stickiness", decoder),
        retry=PoolRetry(optional(pool.retry, "in_place", PoolRetry().in_place)),
        clocks=_clocks_from_pb(pool.clocks, f"{field}.clocks", decoder),
        mid_stream=decoder.enum(
            MID_STREAMS, pool.mid_stream, f"{field}.mid_stream", MidStream.INTERRUPT
        ),
    )


def _member_from_pb(member: pb.PoolMember, field: str, decoder: Decoder) -> PoolMember:
    role = decoder.enum(ROLES, member.role, f"{field}.role", MemberRole.MEMBER)
    return PoolMember(member.model_id, optional(member, "weight", 1), role)


def _routing_from_pb(routing: pb.PoolRouting, field: str, decoder: Decoder) -> PoolRouting:
    default = PoolRouting()
    return PoolRouting(
        decoder.enum(HOMES, routing.home, f"{field}.home", default.home),
        decoder.enum(SCOPES, routing.sticky_scope, f"{field}.sticky_scope", default.sticky_scope),
    )


def _switch_from_pb(switch: pb.PoolSwitch, field: str, decoder: Decoder) -> PoolSwitch:
    default = PoolSwitch()
    return PoolSwitch(
        on_circuit_open=optional(switch, "on_circuit_open", default.on_circuit_open),
        on_quota=optional(switch, "on_quota", default.on_quota),
        on_permanent=optional(switch, "on_permanent", default.on_permanent),
        on_retry_exhausted=optional(switch, "on_retry_exhausted", default.on_retry_exhausted),
        quota_retry_after_threshold=decoder.duration(
            switch, "quota_retry_after_threshold", field, None
        ),
        max_switches_per_session=optional(switch, "max_switches_per_session", None),
    )


def _breaker_from_pb(breaker: pb.PoolBreaker, field: str, decoder: Decoder) -> PoolBreaker:
    default = PoolBreaker()
    return PoolBreaker(
        failure_threshold=optional(breaker, "failure_threshold", default.failure_threshold),
        cooldown=decoder.duration(breaker, "cooldown", field, default.cooldown),
        half_open_max=optional(breaker, "half_open_max", default.half_open_max),
    )


def _stickiness_from_pb(
    stickiness: pb.PoolStickiness, field: str, decoder: Decoder
) -> PoolStickiness:
    default = PoolStickiness()
    return PoolStickiness(
        decoder.duration(stickiness, "pin_ttl", field, default.pin_ttl),
        decoder.enum(RETURNS, stickiness.return_home, f"{field}.return_home", default.return_home),
    )


def _clocks_from_pb(clocks: pb.PoolClocks, field: str, decoder: Decoder) -> PoolClocks:
    default = PoolClocks()
    return PoolClocks(
        first_chunk=decoder.duration(clocks, "first_chunk", field, default.first_chunk),
        idle=decoder.duration(clocks, "idle", field, default.idle),
        total=decoder.duration(clocks, "total", field, None),
    )


def pool_to_pb(pool: ModelPool) -> pb.ModelPool:
    stickiness, clocks = pool.stickiness, pool.clocks
    return pb.ModelPool(
        id=pool.id,
        members=map(_member_to_pb, pool.members),
        routing=pb.PoolRouting(
            home=HOMES.to_pb[pool.routing.home],
            sticky_scope=SCOPES.to_pb[pool.routing.sticky_scope],
        ),
        switch=_switch_to_pb(pool.switch),
        breaker=pb.PoolBreaker(
            failure_threshold=pool.breaker.failure_threshold,
            cooldown=duration_to_pb(pool.breaker.cooldown),
            half_open_max=pool.breaker.half_open_max,
        ),
        stickiness=pb.PoolStickiness(
            pin_ttl=duration_to_pb(stickiness.pin_ttl),
            return_home=RETURNS.to_pb[stickiness.return_home],
        ),
        retry=pb.PoolRetry(in_place=pool.retry.in_place),
        clocks=pb.PoolClocks(
            first_chunk=duration_to_pb(clocks.first_chunk),
            idle=duration_to_pb(clocks.idle),
            total=duration_to_pb(clocks.total),
        ),
        mid_stream=MID_STREAMS.to_pb[pool.mid_stream],
    )


def _member_to_pb(member: PoolMember) -> pb.PoolMember:
    role = ROLES.to_pb[member.role]
    return pb.PoolMember(model_id=member.model_id, weight=member.weight, role=role)


def _switch_to_pb(switch: PoolSwitch) -> pb.PoolSwitch:
    return pb.PoolSwitch(
        on_circuit_open=switch.on_circuit_open,
        on_quota=switch.on_quota,
        on_permanent=switch.on_permanent,
        on_retry_exhausted=switch.on_retry_exhausted,
        quota_retry_after_threshold=duration_to_pb(switch.quota_retry_after_threshold),
        max_switches_per_session=switch.max_switches_per_session,
    )
