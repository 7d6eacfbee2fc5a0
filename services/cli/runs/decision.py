"""A route decision in words: who answered, who was passed over, and why."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import EnumDescriptor

from runyard.provider.v1.provider_pb2 import FailureClass
from runyard.router.v1 import router_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from services.cli.base.layout import Part
from services.cli.base.messages import short_name


def describe(decision: pb.RouteDecision) -> Iterator[list[Part]]:
    """Lines of styled parts, in the order in which things happened."""
    yield title(decision)
    for skipped in decision.skipped:
        yield _skipped(skipped)
    for attempt in decision.attempts:
        yield _attempt(attempt)
    if decision.member_id:
        yield _answered(decision)
    else:
        yield [("nobody answered", "bold red")]


def title(decision: pb.RouteDecision) -> list[Part]:
    """What was asked for, and for which session."""
    kind = "pool" if decision.pool else "model"
    return [
        f"{kind} ",
        (decision.target_id, "bold"),
        f", session {decision.session}" if decision.session else "",
        f", at home on {decision.home_member_id}" if decision.home_member_id else "",
        f", registry version {decision.registry_version}",
    ]


def starts_over(reset: pb.StreamReset) -> list[Part]:
    """What a reset means for what was shown before."""
    broken = [a for a in reset.decision.attempts if a.outcome == pb.ATTEMPT_OUTCOME_INTERRUPTED]
    who = broken[-1].member_id if broken else "the answer"
    why = words(FailureClass.DESCRIPTOR, reset.reason)
    return [
        ("disregard the text above: ", "bold yellow"),
        f"{who} broke off ({why}), and ",
        (reset.decision.member_id, "bold"),
        " starts the answer over",
    ]


def _skipped(skipped: pb.SkippedMember) -> list[Part]:
    why = why_skipped(skipped)
    return [("· ", "yellow"), (skipped.member_id, "bold"), f" was not called: {why}"]


def why_skipped(skipped: pb.SkippedMember) -> str:
    """Why a member is set aside, with what it lacks and until when."""
    why = words(pb.SkipReason.DESCRIPTOR, skipped.reason)
    if skipped.detail:
        why += f" ({skipped.detail})"
    if skipped.HasField("until"):
        why += f" until {skipped.until.ToDatetime():%H:%M:%S} UTC"
    return why


def _attempt(attempt: pb.Attempt) -> list[Part]:
    failed = attempt.outcome in {pb.ATTEMPT_OUTCOME_FAILED, pb.ATTEMPT_OUTCOME_INTERRUPTED}
    mark = ("✗ ", "red") if failed else ("✓ ", "green")
    parts: list[Part] = [mark, (attempt.member_id, "bold"), f" ({attempt.upstream_model})"]
    parts.append(f": {words(pb.AttemptOutcome.DESCRIPTOR, attempt.outcome)}")
    if attempt.failure:
        parts.append((f", {words(FailureClass.DESCRIPTOR, attempt.failure)}", "red"))
    if attempt.http_status:
        parts.append(f" (HTTP {attempt.http_status})")
    if attempt.HasField("retry_after"):
        parts.append(f", asked to be left alone for {_seconds(attempt):g} s")
    if attempt.HasField("usage"):
        parts.append((f", {tokens(attempt.usage)}", "dim"))
    if attempt.probe:
        parts.append(" [probe]")
    if attempt.kind != pb.ATTEMPT_KIND_INITIAL:
        parts.append(f" [{words(pb.AttemptKind.DESCRIPTOR, attempt.kind)}]")
    return parts


def _answered(decision: pb.RouteDecision) -> list[Part]:
    moved = decision.home_member_id and decision.member_id != decision.home_member_id
    return [
        "answered by ",
        (decision.member_id, "bold green"),
        f" of provider {decision.provider_id}",
        f" instead of {decision.home_member_id}" if moved else "",
        f" (session: {history(decision)})",
    ]


def history(decision: pb.RouteDecision) -> str:
    """How the session's earlier calls bore on the choice."""
    sticky = words(pb.StickyOutcome.DESCRIPTOR, decision.sticky)
    if decision.HasField("move_time"):
        since = f"{decision.move_time.ToDatetime():%Y-%m-%d %H:%M:%S} UTC"
        why = why_moved(decision.move_reason, decision.move_skip_reason)
        sticky += f" since {since}, {why}" if why else f" since {since}"
    return sticky


def _seconds(attempt: pb.Attempt) -> float:
    return attempt.retry_after.seconds + attempt.retry_after.nanos / 1e9


def why_moved(failure: int, skip: int) -> str:
    """The failure that moved a session, or why the member was set aside that it left; empty for
    neither.
    """
    if failure:
        return words(FailureClass.DESCRIPTOR, failure)
    return words(pb.SkipReason.DESCRIPTOR, skip) if skip else ""


def words(enum: EnumDescriptor, number: int) -> str:
    """The name of a value of an enum, as words of a sentence."""
    return short_name(enum, number).replace("_", " ")


def tokens(usage: content.Usage) -> str:
    """The tokens, and their cost if it is known."""
    cost = f", {usage.cost} {usage.currency}" if usage.cost else ""
    return f"{usage.input_tokens} tokens in, {usage.output_tokens} out{cost}"
