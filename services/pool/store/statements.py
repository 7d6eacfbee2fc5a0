"""Every statement of the pool service, compiled at import."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Table, and_, bindparam, literal, or_, select, tuple_

from services.chassis.store.columns import Integer, Text, UtcMicros
from services.chassis.store.statement import statement, upsert
from services.pool.store.tables import (
    delivery,
    log,
    member,
    member_topic,
    message,
    message_body,
    pool,
    reply,
    timer,
    wake,
    wake_index,
)

# How many keys of the wake index one statement takes; a longer list takes several.
KEYS_PER_LOOKUP = 12


def _in(table: Table, *names: str) -> ColumnElement[bool]:
    """The tenant's pool, narrowed down by equality."""
    return and_(*(table.c[name] == bindparam(name) for name in ("tenant", "pool_id", *names)))


def _limit() -> ColumnElement[int]:
    return bindparam("limit", type_=Integer)


# Pools
# The columns that are fields: a Pool has no tenant, a Member neither tenant nor pool.
_POOL = tuple(c for c in pool.c if c.name != "tenant")
_MEMBER = tuple(c for c in member.c if c.name not in {"tenant", "pool_id"})

POOL = statement(select(*_POOL).where(_in(pool)))
LOCK_POOL = statement(select(*_POOL).where(_in(pool)).with_for_update())
TRY_POOL = statement(select(pool.c.pool_id).where(_in(pool)).with_for_update(skip_locked=True))
ADD_POOL = statement(pool.insert())
SAVE_POOL = statement(
    pool.update()
    .where(
        pool.c.tenant == bindparam("of_tenant"),
        pool.c.pool_id == bindparam("of_pool_id"),
    )
    .values({c.name: bindparam(c.name) for c in pool.c if not c.primary_key})
)

# Members
MEMBER = statement(select(*_MEMBER).where(_in(member, "run_id")))
MEMBERS = statement(select(*_MEMBER).where(_in(member)).order_by(member.c.run_id))
MEMBERS_OF_AGENT = statement(
    select(*_MEMBER).where(_in(member, "agent_id")).order_by(member.c.run_id)
)
_ON_TOPIC = and_(
    member.c.tenant == member_topic.c.tenant,
    member.c.pool_id == member_topic.c.pool_id,
    member.c.run_id == member_topic.c.run_id,
)
MEMBERS_ON_TOPIC = statement(
    select(*_MEMBER)
    .join(member_topic, _ON_TOPIC)
    .where(_in(member_topic, "topic"))
    .order_by(member.c.run_id)
)
_topic_of = (
    select(member_topic.c.run_id)
    .where(_ON_TOPIC, member_topic.c.topic == bindparam("topic", type_=Text))
    .exists()
)
MEMBER_PAGE = statement(
    select(*_MEMBER)
    .where(
        _in(member),
        member.c.run_id > bindparam("after_run_id", type_=Text),
        or_(
            bindparam("agent_id", type_=Text) == "",
            member.c.agent_id == bindparam("agent_id", type_=Text),
        ),
        or_(bindparam("topic", type_=Text) == "", _topic_of),
    )
    .order_by(member.c.run_id)
    .limit(_limit())
)
_put_member = upsert(member)
PUT_MEMBER = statement(
    _put_member.on_conflict_do_update(
        index_elements=[member.c.tenant, member.c.pool_id, member.c.run_id],
        set_={c.name: _put_member.excluded[c.name] for c in member.c if not c.primary_key},
    )
)
DROP_TOPICS = statement(member_topic.delete().where(_in(member_topic, "run_id")))
ADD_TOPIC = statement(member_topic.insert())

# Messages
_STORED = (message.c.message, message.c.receipt, message.c.digest)
MESSAGE = statement(select(*_STORED).where(_in(message, "message_id")))
MESSAGE_BY_KEY = statement(select(*_STORED).where(_in(message, "idempotency_key")))
ADD_MESSAGE = statement(message.insert())
SAVE_RECEIPT = statement(
    message.update()
    .where(_in(message, "message_id"))
    .values(
        state=bindparam("to_state"),
        sequence=bindparam("to_sequence"),
        receipt=bindparam("to_receipt"),
    )
)
BODY = statement(
    select(message_body.c.media_type, message_body.c.data).where(_in(message_body, "message_id"))
)
ADD_BODY = statement(message_body.insert())

# Deliveries
_DELIVERED = (
    delivery.c.message_id,
    delivery.c.run_id,
    delivery.c.sequence,
    delivery.c.due_time,
    delivery.c.state,
    delivery.c.attempt,
    delivery.c.lease_token,
    delivery.c.expire_time,
)
DELIVERY = statement(select(*_DELIVERED).where(_in(delivery, "message_id", "run_id")))
DELIVERIES_OF = statement(
    select(*_DELIVERED).where(_in(delivery, "message_id")).order_by(delivery.c.run_id)
)
_NOW = bindparam("now", type_=UtcMicros)
DELIVERIES_DUE = statement(
    select(*_DELIVERED)
    .where(
        _in(delivery, "run_id"),
        delivery.c.is_open == literal(value=True),
        delivery.c.due_time <= _NOW,
        or_(delivery.c.expire_time.is_(None), delivery.c.expire_time > _NOW),
    )
    .order_by(delivery.c.sequence)
    .limit(_limit())
)
ADD_DELIVERY = statement(delivery.insert())
SAVE_DELIVERY = statement(
    delivery.update()
    .where(_in(delivery, "message_id", "run_id"))
    .values(
        state=bindparam("to_state"),
        is_open=bindparam("to_is_open"),
        attempt=bindparam("to_attempt"),
        lease_token=bindparam("to_lease_token"),
        due_time=bindparam("to_due_time"),
    )
)

# Replies
_REPLY = tuple(c for c in reply.c if c.name not in {"tenant", "pool_id"})
REPLY = statement(select(*_REPLY).where(_in(reply, "request_message_id", "responder_run_id")))
REPLIES = statement(
    select(*_REPLY).where(_in(reply, "request_message_id")).order_by(reply.c.sequence)
)
ADD_REPLY = statement(reply.insert())

# Wakes
WAKE = statement(select(wake.c.wake).where(_in(wake, "condition_id")))
WAKE_BY_KEY = statement(select(wake.c.wake).where(_in(wake, "idempotency_key")))
ADD_WAKE = statement(wake.insert())
SAVE_WAKE = statement(
    wake.update()
    .where(_in(wake, "condition_id"))
    .values(state=bindparam("to_state"), wake=bindparam("to_wake"))
)
ADD_INDEX = statement(wake_index.insert())
DROP_INDEX = statement(wake_index.delete().where(_in(wake_index, "condition_id")))
_indexed_wake = and_(
    wake.c.tenant == wake_index.c.tenant,
    wake.c.pool_id == wake_index.c.pool_id,
    wake.c.condition_id == wake_index.c.condition_id,
)
WAKES_UNDER = statement(
    select(wake.c.wake)
    .join(wake_index, _indexed_wake)
    .where(
        _in(wake_index),
        or_(*(wake_index.c.key == bindparam(f"key_{n}") for n in range(KEYS_PER_LOOKUP))),
    )
)
# The log
ADD_RECORD = statement(log.insert())
_LATER = log.c.sequence > bindparam("after", type_=Integer)
EVENTS = statement(
    select(log.c.event).where(_in(log), _LATER).order_by(log.c.sequence).limit(_limit())
)
EVENTS_OF_MESSAGE = statement(
    select(log.c.event)
    .where(_in(log), log.c.message_id == bindparam("value", type_=Text), _LATER)
    .order_by(log.c.sequence)
    .limit(_limit())
)
EVENTS_ANSWERING = statement(
    select(log.c.event)
    .where(_in(log), log.c.reply_to == bindparam("value", type_=Text), _LATER)
    .order_by(log.c.sequence)
    .limit(_limit())
)
EVENTS_TO_RECIPIENT = statement(
    select(log.c.event)
    .select_from(delivery)
    .join(
        log,
        and_(
            log.c.tenant == delivery.c.tenant,
            log.c.pool_id == delivery.c.pool_id,
            log.c.message_id == delivery.c.message_id,
        ),
    )
    .where(_in(delivery), delivery.c.run_id == bindparam("value", type_=Text), _LATER)
    .order_by(log.c.sequence)
    .limit(_limit())
)

# Timers
_put_timer = upsert(timer)
PUT_TIMER = statement(
    _put_timer.on_conflict_do_update(
        index_elements=[timer.c.tenant, timer.c.pool_id, timer.c.kind, timer.c.subject_id],
        set_={"due_time": _put_timer.excluded.due_time},
    )
)
DROP_TIMER = statement(timer.delete().where(_in(timer, "kind", "subject_id")))
# Timers of one instant fire in the order of their keys.
TIMER_ORDER = ("due_time", "tenant", "pool_id", "kind", "subject_id")
_place = tuple_(*(timer.c[name] for name in TIMER_ORDER))
_after = tuple_(*(bindparam(f"after_{n}", type_=timer.c[n].type) for n in TIMER_ORDER))
_next_timers = select(timer).order_by(*(timer.c[name] for name in TIMER_ORDER)).limit(_limit())
NEXT_TIMERS = statement(_next_timers)
NEXT_TIMERS_AFTER = statement(_next_timers.where(_place > _after))
