"""The deadlines and the windows that are kept between calls."""

from __future__ import annotations

from services.router.core.failures import Failure, FailureClass
from services.router.core.quota import QuotaDeadline, deadline_entry
from services.router.core.quota_windows import QuotaWindow
from services.router.core.shared_entry import Kind, Unheard, ended
from services.router.engine.changes import RoutingChanges
from services.router.engine.quotas import Quotas
from tests.unit.router.builders import NOW, at, member

A = member("a")
LIMITED_30_S = Failure(FailureClass.RATE_LIMIT, 429, 30.0)


def test_a_deadline_that_was_learned_elsewhere_is_obeyed() -> None:
    # given
    quotas = Quotas(Unheard())

    # when
    quotas.merge(deadline_entry(A.quota_key, None, QuotaDeadline(at(20), 20.0)))

    # then
    assert quotas.left_s(A, at(5)) == 15.0
    assert quotas.left_s(member("b"), at(5)) == 0.0


def test_a_deadline_that_was_learned_elsewhere_never_shortens_the_own_one() -> None:
    # given
    quotas = Quotas(Unheard())
    quotas.refused(A, LIMITED_30_S, NOW)

    # when
    quotas.merge(deadline_entry(A.quota_key, None, QuotaDeadline(at(20), 20.0)))

    # then
    assert quotas.deadline(A) == QuotaDeadline(at(30), 30.0)


def window(remaining: int | None, reset_s: float | None, kind: str = "requests") -> QuotaWindow:
    return QuotaWindow(
        kind, 500, remaining, None if reset_s is None else at(reset_s), "x-ratelimit"
    )


def test_an_answer_after_which_nothing_remains_sets_the_deadline() -> None:
    # given
    quotas = Quotas(Unheard())

    # when
    quotas.told(A, [window(0, 30.0), window(7, 90.0, "tokens")], NOW)

    # then
    assert quotas.deadline(A) == QuotaDeadline(at(30), 30.0)
    assert quotas.windows == {A.quota_key: (window(0, 30.0), window(7, 90.0, "tokens"))}


def test_a_later_answer_of_a_concurrent_call_does_not_end_the_deadline() -> None:
    # given
    quotas = Quotas(Unheard())
    quotas.told(A, [window(0, 30.0)], NOW)

    # when
    quotas.told(A, [window(3, 30.0)], at(1))
    quotas.told(A, [window(0, 20.0)], at(2))
    quotas.answered(A, at(3))

    # then
    assert quotas.left_s(A, at(3)) == 27.0


def test_the_hint_of_a_refusal_goes_before_its_windows() -> None:
    # given
    quotas = Quotas(Unheard())
    limited = Failure(FailureClass.RATE_LIMIT, 429, 5.0, windows=(window(0, 60.0),))

    # when
    quotas.refused(A, limited, NOW)

    # then
    assert quotas.left_s(A, NOW) == 5.0
    assert quotas.windows == {A.quota_key: (window(0, 60.0),)}


def test_a_failure_of_another_kind_tells_of_limits_too() -> None:
    # given
    quotas = Quotas(Unheard())

    # when
    quotas.refused(A, Failure(FailureClass.SERVER_ERROR, 500, windows=(window(0, 60.0),)), NOW)

    # then
    assert quotas.left_s(A, NOW) == 60.0


def test_an_answer_that_tells_of_no_limit_changes_nothing() -> None:
    # given
    quotas = Quotas(Unheard())
    quotas.told(A, [window(5, 60.0)], NOW)

    # when
    quotas.told(A, [], at(1))

    # then
    assert quotas.windows == {A.quota_key: (window(5, 60.0),)}
    assert quotas.deadline(A) is None


def test_a_reset_forgets_windows() -> None:
    # given
    quotas = Quotas(Unheard())
    quotas.told(A, [window(0, 60.0)], NOW)

    # when
    quotas.reset(A, at(1))

    # then
    assert (quotas.deadline(A), quotas.windows) == (None, {})


def test_the_end_of_a_deadline_on_another_replica_forgets_windows() -> None:
    # given
    quotas = Quotas(Unheard())
    quotas.told(A, [window(0, 60.0)], NOW)

    # when
    quotas.merge(ended(Kind.QUOTA_DEADLINE, A.quota_key, at(1)))

    # then
    assert (quotas.deadline(A), quotas.windows) == (None, {})


def test_what_an_answer_tells_is_shared_where_it_sets_a_deadline() -> None:
    # given
    changes = RoutingChanges()
    quotas = Quotas(changes)

    # when
    quotas.told(A, [window(3, 60.0)], NOW)
    quotas.told(A, [window(0, 50.0)], at(1))
    quotas.told(A, [window(0, 40.0)], at(2))

    # then
    (entry,) = changes.take_unsaved()
    assert (entry.key, entry.value) == (A.quota_key, QuotaDeadline(at(50), 49.0))


def test_windows_that_were_reset_or_are_never_are_dropped_at_10000() -> None:
    # given 9,999 accounts whose windows have no reset, and one whose window has
    quotas = Quotas(Unheard())
    for n in range(9_999):
        quotas.told(member(f"m{n}"), [window(5, None)], NOW)
    quotas.told(member("known"), [window(5, 60.0)], NOW)

    # when
    quotas.told(A, [window(5, None)], at(1))

    # then
    assert set(quotas.windows) == {member("known").quota_key, A.quota_key}
