"""The deadlines that are kept between calls."""

from __future__ import annotations

from services.router.core.failures import Failure, FailureClass
from services.router.core.quota import QuotaDeadline
from services.router.engine.quotas import Quotas
from tests.unit.router.builders import NOW, at, member

A = member("a")
LIMITED_30_S = Failure(FailureClass.RATE_LIMIT, 429, 30.0)


def test_a_deadline_that_was_learned_elsewhere_is_obeyed() -> None:
    # given
    quotas = Quotas()

    # when
    quotas.merge(A.quota_key, QuotaDeadline(at(20), 20.0), NOW)

    # then
    assert quotas.left_s(A, at(5)) == 15.0
    assert quotas.left_s(member("b"), at(5)) == 0.0


def test_a_deadline_that_was_learned_elsewhere_never_shortens_the_own_one() -> None:
    # given
    quotas = Quotas()
    quotas.refused(A, LIMITED_30_S, NOW)

    # when
    quotas.merge(A.quota_key, QuotaDeadline(at(20), 20.0), NOW)

    # then
    assert quotas.deadlines == {A.quota_key: QuotaDeadline(at(30), 30.0)}
