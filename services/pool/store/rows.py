"""Rows as values of the core and back: a column is named after the field it keeps."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from services.chassis.store.port import Row
from services.pool.core.events import Wake
from services.pool.core.model import Delivery, Member, MessageRecord, Pool
from services.pool.core.ports import Fact

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

V = TypeVar("V")
Params = dict[str, object]

# Of ``log.fact_type``.
_FACT_TYPES: dict[type[Fact], str] = {
    Pool: "pool",
    Member: "member",
    MessageRecord: "message",
    Wake: "wake",
}


def value_of(kind: type[V], row: Row) -> V:
    return kind(**row._asdict())


def params_of(value: DataclassInstance) -> Params:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def pool_params(pool: Pool) -> Params:
    """Without its id, which every statement is given beside the tenant."""
    params = params_of(pool)
    del params["pool_id"]
    return params


def message_params(record: MessageRecord) -> Params:
    message, receipt = record.message, record.receipt
    return {
        "message_id": message.message_id,
        "idempotency_key": message.idempotency_key,
        "digest": record.digest,
        "from_run_id": message.from_run_id,
        "state": receipt.state,
        "sequence": receipt.sequence,
        "message": message,
        "receipt": receipt,
    }


def delivery_params(delivery: Delivery) -> Params:
    return params_of(delivery) | {"is_open": delivery.state.is_open}


def wake_params(wake: Wake) -> Params:
    condition = wake.condition
    return {
        "condition_id": condition.condition_id,
        "idempotency_key": condition.idempotency_key,
        "digest": wake.digest,
        "run_id": condition.run_id,
        "state": wake.state,
        "wake": wake,
    }


def fact_params(fact: Fact) -> Params:
    return {"fact_type": _FACT_TYPES[type(fact)], "fact": fact}
