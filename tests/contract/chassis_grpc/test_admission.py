"""Who may call what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from services.chassis.access.policy import ANY_ROLE, MethodPolicy, UnauthenticatedError
from services.chassis.caller import LOCAL_PRINCIPAL, Principal, Role
from services.chassis.calls.call import current_call
from services.chassis.calls.rpc_status import reason_of
from tests.contract.chassis_grpc.probe import UNARY, WATCH, Probe, failure, probing

VIEWER = Principal(tenant="acme", roles=frozenset({Role.VIEWER}), name="vera")


class TokenTable:
    """Knows one token."""

    def authenticate(self, metadata: Mapping[str, str | bytes]) -> Principal:
        if metadata.get("authorization") != "Bearer vera":
            raise UnauthenticatedError("no valid bearer token")
        return VIEWER


async def _who(request: str, context: Any) -> str:
    call = current_call()
    return f"{call.principal.tenant}/{call.principal.name} {call.method}"


async def test_without_credentials_on_loopback_the_caller_is_the_local_principal() -> None:
    async with probing(Probe(unary=_who)) as probe:
        answer = await probe.stub.unary("x")
    assert answer == f"default/local {UNARY}"
    assert LOCAL_PRINCIPAL.name == "local"


async def test_a_credential_makes_the_principal_that_handlers_see() -> None:
    async with probing(Probe(unary=_who), authenticator=TokenTable()) as probe:
        answer = await probe.stub.unary("x", metadata=[("authorization", "Bearer vera")])
    assert answer.startswith("acme/vera ")


async def test_a_caller_without_a_valid_credential_is_refused_before_the_handler() -> None:
    called = []

    async def unary(request: str, context: Any) -> str:
        called.append(request)
        return request

    async with probing(Probe(unary=unary), authenticator=TokenTable()) as probe:
        facts = reason_of(await failure(probe.stub.unary("x")))

    assert facts.code is grpc.StatusCode.UNAUTHENTICATED
    assert (facts.reason, called) == ("UNAUTHENTICATED", [])


async def test_a_caller_without_the_role_is_refused_and_told_which_it_takes() -> None:
    # given a method for operators and admins
    rows = {WATCH: MethodPolicy(frozenset({Role.OPERATOR, Role.ADMIN}), deadline_cap_s=None)}
    async with probing(Probe(policy=rows), authenticator=TokenTable()) as probe:
        # when a viewer calls it
        call = probe.stub.watch("x", metadata=[("authorization", "Bearer vera")])
        facts = reason_of(await failure(call))

    # then it is denied
    assert facts.code is grpc.StatusCode.PERMISSION_DENIED
    assert facts.reason == "PERMISSION_DENIED"
    assert facts.metadata["roles"] == "admin, operator"


async def test_probes_need_no_credential() -> None:
    async with probing(authenticator=TokenTable()) as probe:
        answer = await probe.stub.health.Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_outside_a_handler_there_is_no_call() -> None:
    with pytest.raises(LookupError):
        current_call()
    assert len(ANY_ROLE) == 7
