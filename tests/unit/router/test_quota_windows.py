from __future__ import annotations

from services.router.core.quota import QuotaDeadline, until_reset
from services.router.core.quota_windows import (
    QuotaWindow,
    exhausted_until,
    live,
    merged,
    refused_until,
)
from tests.unit.router.builders import NOW, at


def window(
    kind: str = "requests",
    remaining: int | None = 0,
    reset_s: float | None = 30.0,
    source: str = "x-ratelimit",
) -> QuotaWindow:
    return QuotaWindow(kind, 500, remaining, None if reset_s is None else at(reset_s), source)


def test_an_answer_renews_the_windows_that_it_tells_of() -> None:
    # given
    requests, tokens = window("requests", 7), window("tokens", 9)
    other = window("requests", 3, source="ratelimit")
    fewer = window("requests", 6)

    # when, then
    assert merged((), [requests, tokens], NOW) == (requests, tokens)
    assert merged((requests, tokens, other), [fewer], NOW) == (tokens, other, fewer)


def test_a_window_is_forgotten_at_its_reset() -> None:
    # given
    brief, unknown = window("requests", 0, 30.0), window("tokens", 5, None)

    # when, then
    assert live([brief, unknown], at(29.9)) == (brief, unknown)
    assert live([brief, unknown], at(30)) == (unknown,)
    assert merged((brief,), [unknown], at(30)) == (unknown,)


def test_the_16_newest_windows_are_kept() -> None:
    # given
    told = [window(f"k{n}") for n in range(20)]

    # when
    kept = merged(told[:10], told[10:], NOW)

    # then
    assert [each.kind for each in kept] == [f"k{n}" for n in range(4, 20)]


def test_a_member_is_exhausted_until_the_last_window_without_a_rest_is_reset() -> None:
    # given
    empty = [window("requests", 0, 5.0), window("tokens", 0, 40.0)]
    others = [window("input-tokens", 1, 99.0), window("a", None, 99.0), window("b", 0, None)]

    # when, then
    assert exhausted_until([*empty, *others]) == at(40)
    assert exhausted_until(others) is None


def test_a_refused_call_waits_for_windows_of_which_the_rest_is_unknown() -> None:
    # given
    unknown, rest = window("requests", None, 20.0), window("tokens", 1, 9.0)
    later = window("tokens", None, 360.0)

    # when, then
    assert refused_until([later, unknown, rest]) == at(20)
    assert refused_until([unknown, rest, window("tokens", 0, 5.0)]) == at(5)
    assert refused_until([rest]) is None


def test_a_deadline_ends_at_the_reset_within_a_day() -> None:
    assert until_reset(at(30), NOW) == QuotaDeadline(at(30), 30.0)
    assert until_reset(at(100_000), NOW) == QuotaDeadline(at(86_400), 100_000.0)
