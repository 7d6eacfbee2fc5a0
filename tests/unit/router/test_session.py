from __future__ import annotations

import pytest

from services.router.core.model import StickyScope
from services.router.core.session import Session, SessionKey, session_key

EVERYTHING = Session("t1", "r1", "a1", "k1")


@pytest.mark.parametrize(
    ("session", "scope", "name"),
    [
        (EVERYTHING, StickyScope.THREAD, "thread:t1"),
        (EVERYTHING, StickyScope.RUN, "run:r1"),
        (Session(run_id="r1", session_key="k1", agent_id="a1"), StickyScope.THREAD, "key:k1"),
        (Session(thread_id="t1", agent_id="a1"), StickyScope.RUN, "agent:a1"),
        (Session(thread_id="   ", agent_id="a1"), StickyScope.THREAD, "agent:a1"),
    ],
)
def test_the_most_specific_id_names_the_session(
    session: Session, scope: StickyScope, name: str
) -> None:
    # when
    key = session_key("acme", session, scope, "c1")

    # then
    assert key == SessionKey("acme", name)


def test_a_call_without_ids_is_a_session_of_its_own() -> None:
    # when
    key = session_key("acme", Session(), StickyScope.THREAD, "c1")

    # then
    assert key == SessionKey("acme", "call:c1", anonymous=True)


def test_two_tenants_never_share_a_routing_key() -> None:
    # given a tenant whose name ends like the other one's thread
    one = session_key("a", Session("b"), StickyScope.THREAD, "c1")
    other = session_key("a\0thread:b"[:1], Session("c"), StickyScope.THREAD, "c1")

    # then
    assert one.routing_key == "a\0thread:b"
    assert one.routing_key != other.routing_key
