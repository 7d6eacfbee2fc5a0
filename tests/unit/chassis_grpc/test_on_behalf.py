"""What a service says of whom it acts for, written and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.access.on_behalf import (
    OnBehalfOf,
    acting,
    acting_for,
    find_acting_for,
    parse_on_behalf,
)
from services.chassis.caller import LOCAL_PRINCIPAL, Principal, Role
from services.chassis.errors import InvalidRequestError
from services.chassis.ids import id_violations
from services.chassis.policy import PermissionDeniedError

ROUTER = Principal("default", frozenset({Role.SERVICE}), "runcontrol")
IDS = st.text(min_size=1, max_size=100).filter(lambda text: not id_violations(text, ""))


def test_it_is_written_as_a_query_string() -> None:
    assert str(OnBehalfOf("acme", "alice", "run/1 é")) == (
        "tenant=acme&principal=alice&run=run%2F1+%C3%A9"
    )
    assert str(OnBehalfOf("acme")) == "tenant=acme"


@given(IDS, st.one_of(st.just(""), IDS), st.one_of(st.just(""), IDS))
def test_whatever_is_written_is_read_back_and_travels_as_ascii(
    tenant: str, principal: str, run: str
) -> None:
    whom = OnBehalfOf(tenant, principal, run)
    said = str(whom)
    assert said.isascii()
    assert said.isprintable()
    assert parse_on_behalf(said) == whom


def test_a_service_becomes_the_one_it_acts_for_and_keeps_its_name_and_roles() -> None:
    found = acting(ROUTER, {"on-behalf-of": "tenant=acme&principal=alice&run=r1"})
    assert found == Principal("acme", frozenset({Role.SERVICE}), "runcontrol", "alice", "r1")
    assert found.subject == "alice"


def test_a_service_may_know_the_tenant_alone() -> None:
    found = acting(ROUTER, {"on-behalf-of": "tenant=acme"})
    assert found == Principal("acme", frozenset({Role.SERVICE}), "runcontrol")
    assert found.subject == "runcontrol"


def test_who_says_nothing_stays_who_it_is() -> None:
    assert acting(ROUTER, {"authorization": "Bearer x"}) is ROUTER


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AGENT, Role.OPERATOR, Role.ADMIN])
def test_no_other_role_may_act_for_others(role: Role) -> None:
    caller = Principal("default", frozenset({role}), "mallory")
    with pytest.raises(PermissionDeniedError) as refused:
        acting(caller, {"on-behalf-of": "tenant=acme&principal=alice"})
    assert refused.value.metadata == {"roles": "service"}


@pytest.mark.parametrize(
    "said",
    [
        "",
        "acme",
        "principal=alice",
        "tenant=acme&tenant=other",
        "tenant=acme&roles=admin",
        "tenant=acme&principal=a&run=r&run=s",
        "tenant=acme&principal=%ff",
        b"tenant=\xff",
        # What gRPC makes of that, and text that two readers may decode in two ways.
        "tenant=\xff",
        "tenant=é",
    ],
)
def test_what_is_malformed_is_refused_with_an_example(said: str | bytes) -> None:
    with pytest.raises(InvalidRequestError, match="tenant=acme&principal=alice&run=run-1"):
        acting(ROUTER, {"on-behalf-of": said})


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ("tenant=", "on-behalf-of.tenant"),
        ("tenant=a%0Ab", "on-behalf-of.tenant"),
        ("tenant=a&principal=", "on-behalf-of.principal"),
        (f"tenant=a&run={'x' * 513}", "on-behalf-of.run"),
    ],
)
def test_ids_are_ids(said: str, field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        acting(ROUTER, {"on-behalf-of": said})
    assert [violation.field for violation in refused.value.violations] == [field]


def test_a_caller_is_passed_on_as_the_one_who_asked_first() -> None:
    through = Principal("acme", frozenset({Role.SERVICE}), "gateway", "alice", "r1")
    assert OnBehalfOf.caller(through) == OnBehalfOf("acme", "alice", "r1")
    assert OnBehalfOf.caller(LOCAL_PRINCIPAL) == OnBehalfOf("default", "local")


def test_a_loop_says_for_whom_it_works_and_only_while_it_does() -> None:
    with acting_for(OnBehalfOf("acme", "alice")):
        with acting_for(OnBehalfOf("other")):
            inner = find_acting_for()
        outer = find_acting_for()
    assert (inner, outer) == (OnBehalfOf("other"), OnBehalfOf("acme", "alice"))
    assert find_acting_for() is None
