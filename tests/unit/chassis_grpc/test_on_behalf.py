"""What a service says of whom it acts for, written and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.access import on_behalf
from services.chassis.access.policy import PermissionDeniedError
from services.chassis.caller import Principal, Role
from services.chassis.errors import InvalidRequestError
from services.chassis.ids import id_violations

ROUTER = Principal("default", frozenset({Role.SERVICE}), "runcontrol")
IDS = st.text(min_size=1, max_size=100).filter(lambda text: not id_violations(text, ""))


def test_it_is_written_as_a_query_string() -> None:
    assert str(on_behalf.OnBehalfOf("acme", "alice", "run/1 é")) == (
        "tenant=acme&principal=alice&run=run%2F1+%C3%A9"
    )
    assert str(on_behalf.OnBehalfOf("acme")) == "tenant=acme"


@given(IDS, st.one_of(st.just(""), IDS), st.one_of(st.just(""), IDS))
def test_whatever_is_written_is_read_back_and_travels_as_ascii(
    tenant: str, principal: str, run: str
) -> None:
    whom = on_behalf.OnBehalfOf(tenant, principal, run)
    said = str(whom)
    assert said.isascii()
    assert said.isprintable()
    assert on_behalf.parse_on_behalf(said) == whom


@pytest.mark.parametrize(
    ("said", "tenant", "on_behalf_of", "subject", "run"),
    [
        ("tenant=acme&principal=alice&run=r1", "acme", "alice", "alice", "r1"),
        ("tenant=acme", "acme", None, "runcontrol", ""),
        (None, "default", None, "runcontrol", ""),
    ],
    ids=["principal and run", "tenant alone", "nothing said"],
)
def test_a_service_becomes_the_one_it_acts_for_and_keeps_its_name_and_roles(
    said: str | None, tenant: str, on_behalf_of: str | None, subject: str, run: str
) -> None:
    metadata = {"authorization": "Bearer x"} if said is None else {"on-behalf-of": said}
    found, acting_run = on_behalf.read_on_behalf(ROUTER, metadata)
    assert found == Principal(tenant, frozenset({Role.SERVICE}), "runcontrol", on_behalf_of)
    assert (found.subject, acting_run) == (subject, run)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AGENT, Role.OPERATOR, Role.ADMIN])
def test_no_other_role_may_act_for_others(role: Role) -> None:
    caller = Principal("default", frozenset({role}), "mallory")
    with pytest.raises(PermissionDeniedError) as refused:
        on_behalf.read_on_behalf(caller, {"on-behalf-of": "tenant=acme&principal=alice"})
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
        on_behalf.read_on_behalf(ROUTER, {"on-behalf-of": said})


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
        on_behalf.read_on_behalf(ROUTER, {"on-behalf-of": said})
    assert [violation.field for violation in refused.value.violations] == [field]


def test_a_loop_says_for_whom_it_works_and_only_while_it_does() -> None:
    with on_behalf.acting_for(on_behalf.OnBehalfOf("acme", "alice")):
        with on_behalf.acting_for(on_behalf.OnBehalfOf("other")):
            inner = on_behalf.find_acting_for()
        outer = on_behalf.find_acting_for()
    assert (inner, outer) == (on_behalf.OnBehalfOf("other"), on_behalf.OnBehalfOf("acme", "alice"))
    assert on_behalf.find_acting_for() is None
