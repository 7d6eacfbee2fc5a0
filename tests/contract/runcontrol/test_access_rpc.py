"""The four servers with TLS and tokens: each knows on whose behalf it is called."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio

from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as internal
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from runyard.worker.v1 import worker_pb2 as worker
from runyard.worker.v1 import worker_service_pb2 as worker_service
from runyard.worker.v1.worker_service_pb2_grpc import ToolWorkerServiceStub
from runyard_worker import Worker
from services.chassis.access.entry import peers_of
from services.chassis.access.tokens import new_token
from services.chassis.caller import Role
from services.chassis.calls.channel import open_channel
from services.chassis.clock import SystemClock
from services.pool.main import SERVICE as POOL
from services.registry.main import SERVICE as REGISTRY
from services.registry.settings import RegistrySettings
from services.router.main import SERVICE as ROUTER
from services.runcontrol.main import SERVICE as RUNCONTROL
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_approvals_rpc import APPROVE, apply_asker, open_ticket
from tests.contract.runcontrol.test_pool_rpc import ask_the_analyst, parked_analyst
from tests.contract.runcontrol.test_python_worker import answer, apply_clerk, serving
from tests.support.certificates import Authority
from tests.support.raw_worker import RawWorker, hello, session
from tests.support.refusals import refused
from tests.support.waiting import within_limit


class SecuredSuite(Suite):
    """A suite whose servers require credentials; its channels are alice's."""

    def __init__(self, data: Path) -> None:
        authority = Authority(data / "certificates")
        cert, key = authority.issue("server")
        self._data = data
        self._alice = self._made("alice", Role.OPERATOR, "acme")
        self._bob = self._made("bob", Role.OPERATOR, "globex")
        self._audrey = self._made("audrey", Role.APPROVER, "acme")
        # Alice once more, with another token.
        self._alice_approves = self._made("alice", Role.APPROVER, "acme")
        self._clerk = self._made("clerk", Role.WORKER, "acme", "lookup")
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}
        super().__init__(
            data,
            tls_cert_file=cert,
            tls_key_file=key,
            tls_client_ca_file=authority.ca_file,
            token_file=str(data / "tokens"),
            peer_ca_file=authority.ca_file,
            peer_cert_file=cert,
            peer_key_file=key,
            peer_token_file=self._made("runyard", Role.SERVICE, "default"),
        )

    def channel(self, service: str) -> grpc.aio.Channel:
        return self._as(service, self._alice)

    def as_bob(self, service: str) -> grpc.aio.Channel:
        return self._as(service, self._bob)

    def _as(self, service: str, token_file: str) -> grpc.aio.Channel:
        key = service, token_file
        if key not in self._channels:
            settings = RegistrySettings(**{**self.common, "peer_token_file": token_file})
            peers = peers_of(settings, SystemClock())
            self._channels[key] = open_channel(self.served[service].target, peers=peers)
        return self._channels[key]

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        await super().close()

    def as_clerk(self, service: str) -> grpc.aio.Channel:
        """The channel of a worker that may serve one tool."""
        return self._as(service, self._clerk)

    def as_audrey(self, service: str) -> grpc.aio.Channel:
        """The channel of an approver."""
        return self._as(service, self._audrey)

    def as_alice_who_approves(self, service: str) -> grpc.aio.Channel:
        return self._as(service, self._alice_approves)

    def as_clerk_variables(self) -> dict[str, str]:
        """The environment of a worker that may serve one tool."""
        return {
            "RUNYARD_TOKEN_FILE": self._clerk,
            "RUNYARD_CA_FILE": self.common["peer_ca_file"],
            "RUNYARD_CERT_FILE": self.common["peer_cert_file"],
            "RUNYARD_KEY_FILE": self.common["peer_key_file"],
        }

    def renew_clerk(self) -> None:
        self._made("clerk", Role.WORKER, "acme", "lookup")

    def revoke(self, name: str) -> None:
        """Take the token of this name from the servers' file."""
        known = (self._data / "tokens").read_text().splitlines(keepends=True)
        self._write_tokens("".join(line for line in known if f"name={name} " not in line))

    def replace_in_tokens(self, old: str, new: str) -> None:
        self._write_tokens((self._data / "tokens").read_text().replace(old, new))

    def _write_tokens(self, text: str) -> None:
        (self._data / "tokens.new").write_text(text)
        (self._data / "tokens.new").replace(self._data / "tokens")

    def _made(self, name: str, role: Role, tenant: str, *tools: str) -> str:
        """Write a file with a new token, and add its hash to the servers' file."""
        token, line = new_token(name, [role], tenant, tools=tools)
        with (self._data / "tokens").open("a") as known:
            known.write(f"{line}\n")
        path = self._data / f"{name}-{role}.token"
        path.write_text(token)
        return str(path)


@pytest_asyncio.fixture
async def suite(tmp_path: Path) -> AsyncIterator[SecuredSuite]:
    running = SecuredSuite(tmp_path)
    await running.start()
    try:
        yield running
    finally:
        await running.close()


async def test_every_service_is_called_on_behalf_of_the_runs_principal(
    suite: SecuredSuite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "services.rpc")
    # given two agents of alice's that talk through a pool: models, messages, a wait and its wake
    analyst = await parked_analyst(suite)

    # when their runs have ended
    scout, _, _ = await ask_the_analyst(suite, analyst)

    # then each server logged the caller, a service, and on whose behalf it called
    names = ("tenant", "principal", "on_behalf_of", "run_id")
    calls = {
        (record.rpc_method.rpartition("/")[2], *(vars(record).get(name) for name in names))
        for record in caplog.records
        if record.getMessage() == "call"
    }
    assert ("Infer", "acme", "runyard", "alice", scout) in calls
    assert ("JoinPool", "acme", "runyard", "alice", analyst) in calls
    assert ("SendMessage", "acme", "runyard", "alice", scout) in calls
    assert ("FetchInbox", "acme", "runyard", "alice", scout) in calls
    assert ("DeliverWake", "acme", "runyard", None, analyst) in calls
    assert ("SubmitRun", "acme", "alice", None, None) in calls


async def test_a_run_of_another_tenant_is_not_found(suite: SecuredSuite) -> None:
    # given a run of alice's
    run_id = await parked_analyst(suite)

    # when bob, of another tenant, reads it
    runs = RunControlServiceStub(suite.as_bob("runcontrol"))
    refusal = await refused(runs.GetRun(service.GetRunRequest(run_id=run_id)))

    # then it is not found
    assert refusal.reason == "RUN_NOT_FOUND"


async def test_only_services_may_deliver_wakes(suite: SecuredSuite) -> None:
    refusal = await refused(suite.wakes.DeliverWake(internal.DeliverWakeRequest(run_id="any")))
    assert refusal.reason == "PERMISSION_DENIED"


async def test_a_worker_opens_sessions_for_its_tools_alone(suite: SecuredSuite) -> None:
    channel = suite.as_clerk("runcontrol")
    # given a worker whose token names one tool, which it may serve
    async with session(channel, hello("lookup")):
        pass

    # when it offers another one, or asks for something else
    call = ToolWorkerServiceStub(channel).Session()
    await call.write(worker_service.SessionRequest(hello=hello("lookup", "refund")))
    foreign = await refused(call.read())
    runs = RunControlServiceStub(channel)
    reading = await refused(runs.GetRun(service.GetRunRequest(run_id="any")))

    # then it is refused
    assert (foreign.reason, foreign.metadata["tool_ids"]) == ("PERMISSION_DENIED", "refund")
    assert reading.reason == "PERMISSION_DENIED"


async def test_only_workers_open_sessions(suite: SecuredSuite) -> None:
    # A server that refuses a caller reads nothing of it.
    call = ToolWorkerServiceStub(suite.channel("runcontrol")).Session()
    error = await refused(call.read())
    assert (error.reason, error.metadata["roles"]) == ("PERMISSION_DENIED", "worker")


# What an approver may call; everything else of every service is refused.
APPROVERS_RPCS = frozenset(
    {
        "SubmitDecision",
        "ListTickets",
        "SubscribeTickets",
        "GetToolCall",
        "GetTicket",
        "GetRun",
        "ListRuns",
        "GetActiveRun",
        "SubscribeRun",
    }
)


def test_an_approver_may_call_what_a_decision_takes_and_no_more() -> None:
    policies = {**RUNCONTROL.policy, **REGISTRY.policy, **ROUTER.policy, **POOL.policy}
    allowed = {
        method.rpartition("/")[2] for method, row in policies.items() if Role.APPROVER in row.roles
    }
    assert allowed == APPROVERS_RPCS


async def test_an_approver_decides_for_others_and_not_for_itself(suite: SecuredSuite) -> None:
    # given a run of alice's that waits for approval
    await apply_asker(suite)
    ticket = await open_ticket(suite, pool_id="room")
    request = service.SubmitDecisionRequest(
        ticket_id=ticket.ticket_id, decision_id="d", verdict=APPROVE
    )
    own = RunControlServiceStub(suite.as_alice_who_approves("runcontrol"))
    audreys = RunControlServiceStub(suite.as_audrey("runcontrol"))

    # when she approves it herself, as an approver; and audrey reads it, approves it, and cancels
    refusal = await refused(own.SubmitDecision(request))
    listed = await audreys.ListTickets(service.ListTicketsRequest())
    run = await audreys.GetRun(service.GetRunRequest(run_id=ticket.run_id))
    decided = await audreys.SubmitDecision(request)
    cancel = await refused(audreys.CancelRun(service.CancelRunRequest(run_id=ticket.run_id)))
    thread = service.GetThreadRequest(thread_id=ticket.thread_id)
    reading = await refused(audreys.GetThread(thread))

    # then audrey's decision counts, and she may not do more
    assert (refusal.reason, refusal.metadata["submitted_by"]) == ("OWN_RUN", "alice")
    assert [each.ticket_id for each in listed.tickets] == [ticket.ticket_id]
    assert run.run.submitted_by == "alice"
    assert decided.outcome == service.DECISION_OUTCOME_ACCEPTED
    assert decided.ticket.decision.decided_by == "audrey"
    assert (cancel.reason, reading.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")


async def until_refused(clerk: RawWorker) -> None:
    """Give signs of life until the session has ended."""
    async with within_limit():
        while True:
            await clerk.beat()


async def test_a_session_ends_with_its_token_and_goes_on_with_another(
    suite: SecuredSuite,
) -> None:
    # given a worker with a session
    channel = suite.as_clerk("runcontrol")
    async with session(channel, hello("lookup")) as clerk:
        await clerk.beat()

        # when its token is revoked, and counts no more at its next sign of life
        suite.revoke("clerk")
        ended = await refused(until_refused(clerk))

    # then the session has ended, and another one needs another token
    assert ended.reason == "UNAUTHENTICATED"
    again = ToolWorkerServiceStub(channel).Session()
    assert (await refused(again.read())).reason == "UNAUTHENTICATED"


async def test_a_session_ends_when_its_token_names_other_tools(suite: SecuredSuite) -> None:
    async with session(suite.as_clerk("runcontrol"), hello("lookup")) as clerk:
        suite.replace_in_tokens("tools=lookup", "tools=refund")
        ended = await refused(until_refused(clerk))
    assert ended.reason == "UNAUTHENTICATED"


async def until_reporting_is_refused(suite: SecuredSuite, reason: str) -> None:
    """Wait until the servers have read the tokens that make this the answer to the clerk."""
    stub = ToolWorkerServiceStub(suite.as_clerk("runcontrol"))
    ref = worker.CallRef(tool_call_id="none", attempt=1, fence=1)
    result = worker.Result(ref=ref, succeeded=worker.Succeeded())
    request = worker_service.ReportResultRequest(result=result)
    async with within_limit():
        while (await refused(stub.ReportResult(request))).reason != reason:
            pass


async def test_a_worker_of_the_python_library_comes_back_with_a_new_token(
    suite: SecuredSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a worker with a token from a file
    for name, value in suite.as_clerk_variables().items():
        monkeypatch.setenv(name, value)
    desk = Worker("desk", target=suite.served["runcontrol"].target)

    @desk.tool(effect="at_most_once")
    def lookup(order: int) -> str:
        return "found"

    await apply_clerk(suite, desk)
    async with serving(desk):
        assert await answer(suite) == "it says found"

        # when another token takes the place of that one
        suite.revoke("clerk")
        await until_reporting_is_refused(suite, "UNAUTHENTICATED")
        suite.renew_clerk()
        await until_reporting_is_refused(suite, "CALL_NOT_FOUND")

        # then calls are executed as before
        assert await answer(suite) == "it says found"
