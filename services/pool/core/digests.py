"""Digests of commands: equal for a repeat, unequal for a conflict; the order of sets is ignored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.pool.core.events import EventFilter, Start, WakeCondition
from services.pool.core.model import Answer, Content, ContentRef, Correlation, Draft, Policies

_VERSION = b"\x01"


def of_draft(draft: Draft) -> bytes:
    contract = draft.contract
    return _digest(
        "draft",
        draft.message_id,
        draft.from_run_id,
        draft.to.kind.value,
        draft.to.value,
        draft.to.cardinality.value,
        _content(draft.content),
        _entries(draft.correlation),
        draft.reply_to,
        contract and [contract.expected_responses, _micros(contract.timeout)],
        draft.expire_time and draft.expire_time.isoformat(),
        _policies(draft.policy_refs),
    )


def of_answer(answer: Answer) -> bytes:
    return _digest(
        "answer",
        answer.message_id,
        answer.request_message_id,
        answer.run_id,
        _content(answer.content),
        None if answer.correlation is None else _entries(answer.correlation),
        _policies(answer.policy_refs),
    )


def of_condition(condition: WakeCondition) -> bytes:
    start = condition.match_from
    return _digest(
        "condition",
        condition.condition_id,
        condition.run_id,
        [_filter(each) for each in condition.filters],
        condition.after_matches,
        _micros(condition.timeout),
        start.value if isinstance(start, Start) else start,
        condition.resume_with.value,
        _policies(condition.policy_refs),
    )


def filter_fingerprint(filters: Sequence[EventFilter]) -> str:
    """Hexadecimal digest that ignores the order of filters and of their values."""
    return _digest("filters", sorted({json.dumps(_filter(each)) for each in filters}))[1:].hex()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _digest(*parts: Any) -> bytes:
    text = json.dumps(parts, separators=(",", ":"))
    return _VERSION + hashlib.sha256(text.encode()).digest()


def _content(content: Content) -> list[str]:
    if isinstance(content, ContentRef):
        return ["ref", content.content_ref]
    return ["body", content.media_type, sha256(content.data)]


def _entries(correlation: Sequence[Correlation]) -> list[list[str]]:
    return sorted([each.key, each.value] for each in correlation)


def _policies(refs: Policies) -> list[list[str]]:
    return sorted([each.kind, each.policy_id, each.version] for each in refs)


def _micros(duration: timedelta | None) -> int | None:
    return None if duration is None else duration // timedelta(microseconds=1)


def _filter(each: EventFilter) -> list[Any]:
    return [
        sorted(each.kinds),
        sorted(each.recipient_run_ids),
        sorted(each.message_ids),
        sorted(each.reply_to),
        sorted(each.topics),
        sorted(each.sender_run_ids),
        sorted(each.sender_agent_ids),
        _entries(each.correlation),
        sorted(each.correlation_keys),
        each.terminal_only,
    ]
