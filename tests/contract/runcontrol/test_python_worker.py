"""Workers of the Python library, with real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard_worker import (
    Context,
    DidNotHappen,
    Happened,
    RetryableError,
    ToolError,
    Worker,
)
from runyard_worker.tools import raw_tool
from services.chassis.calls.rpc_status import reason_of
from services.cli.manifests.resources import load
from services.cli.project.shell_tool import shell_tool
from tests.contract.runcontrol.conftest import Suite
from tests.support import clients as s
from tests.support.event_order import uncovered_gaps
from tests.support.waiting import within_limit

ORDER = '{"order": 4711}'


@asynccontextmanager
async def serving(worker: Worker) -> AsyncIterator[asyncio.Event]:
    """Run a worker beside the test; the event stops it."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(worker.serve(stop))
    try:
        yield stop
    finally:
        stop.set()
        await task


async def apply_clerk(suite: Suite, worker: Worker, arguments: str = ORDER) -> None:
    """An agent with the tools of the worker, which calls ``lookup`` and repeats the result."""
    manifests = load([("worker", worker.manifests())])
    assert manifests.problems == []
    await suite.apply_agent(
        "clerk",
        s.calling("lookup", arguments, tool_results=0),
        s.replying("it says ${all}", matches="(?s)(?P<all>.+)"),
        tools=manifests.resources,
    )


async def submitted(suite: Suite) -> str:
    """A run of the clerk, once its worker has announced its tool."""
    async with within_limit():
        while True:
            try:
                return await suite.submit("clerk")
            except grpc.aio.AioRpcError as error:
                if reason_of(error).reason != "TOOL_NOT_SUPPORTED":
                    raise


async def answer(suite: Suite) -> str:
    """What the clerk says."""
    run_id = await submitted(suite)
    events = await suite.follow(run_id)
    assert uncovered_gaps(events) == []
    return events[-1].run_finished.output_text


@pytest.fixture
def worker(suite: Suite) -> Worker:
    return Worker("desk", target=suite.served["runcontrol"].target)


async def test_a_function_becomes_a_tool(suite: Suite, worker: Worker) -> None:
    # given a function with types
    @worker.tool(effect="idempotent")
    def lookup(order: int, newest_first: bool = False) -> dict[str, object]:
        """Looks an order up."""
        return {"order": order, "newest_first": newest_first}

    await apply_clerk(suite, worker)

    # when an agent calls it
    async with serving(worker):
        said = await answer(suite)

    # then it was given what the agent said, and its value is the result
    assert said == 'it says {"order":4711,"newest_first":false}'


async def test_an_async_function_knows_whose_call_it_is(suite: Suite, worker: Worker) -> None:
    @worker.tool(effect="at_most_once")
    async def lookup(order: int, context: Context) -> str:
        context.progress("half done")
        return f"{order} for {context.principal} by {context.agent_id}, try {context.attempt}"

    await apply_clerk(suite, worker)
    async with serving(worker):
        assert await answer(suite) == "it says 4711 for local by clerk, try 1"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ToolError("no such order", code="NO_ORDER"), "it says NO_ORDER: no such order"),
        (ValueError("a secret"), "it says INTERNAL: the tool failed: ValueError"),
    ],
    ids=["of the tool", "of another kind"],
)
async def test_an_error_is_told_to_the_model(
    suite: Suite, worker: Worker, error: Exception, said: str
) -> None:
    @worker.tool(effect="pure")
    def lookup(order: int) -> str:
        raise error

    await apply_clerk(suite, worker)
    async with serving(worker):
        assert await answer(suite) == said


async def test_arguments_that_do_not_fit_are_told_to_the_model(
    suite: Suite, worker: Worker
) -> None:
    @worker.tool(effect="pure")
    def lookup(order: int) -> str:
        return "found"

    await apply_clerk(suite, worker, '{"order": 4711, "colour": "red"}')
    async with serving(worker):
        said = await answer(suite)
    assert said.startswith("it says ")
    assert "colour" in said


async def test_a_failure_that_may_pass_is_tried_again(suite: Suite, worker: Worker) -> None:
    tries = []

    @worker.tool(effect="idempotent")
    def lookup(order: int, context: Context) -> str:
        tries.append(context.idempotency_key)
        if len(tries) == 1:
            raise RetryableError("the database is busy")
        return "found"

    await apply_clerk(suite, worker)
    async with serving(worker):
        assert await answer(suite) == "it says found"
    assert len(tries) == 2
    assert len(set(tries)) == 1


async def test_a_call_goes_on_while_run_control_restarts(suite: Suite, worker: Worker) -> None:
    # given a call that is executed
    begun, goes_on = asyncio.Event(), asyncio.Event()

    @worker.tool(effect="at_most_once")
    async def lookup(order: int) -> str:
        begun.set()
        await goes_on.wait()
        return "found"

    await apply_clerk(suite, worker)
    async with serving(worker):
        run_id = await submitted(suite)
        await begun.wait()

        # when run control restarts and the call ends meanwhile
        await suite.stop_runcontrol()
        goes_on.set()
        await suite.start_runcontrol()
        events = await suite.follow(run_id)

    # then its result has arrived, once
    settled = [e.tool_call_settled for e in events if e.HasField("tool_call_settled")]
    assert [each.result for each in settled] == ["found"]


async def test_a_cancelled_run_cancels_the_function(suite: Suite, worker: Worker) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    @worker.tool(effect="at_most_once")
    async def lookup(order: int) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return "never"

    await apply_clerk(suite, worker)
    async with serving(worker):
        run_id = await submitted(suite)
        await begun.wait()
        await suite.cancel(run_id=run_id)
        await cancelled.wait()
    view = await suite.view(run_id)
    assert view.run.termination.reason == pb.TERMINATION_REASON_CANCELLED


async def test_a_worker_that_stops_ends_what_it_has_begun(suite: Suite, worker: Worker) -> None:
    # given a call that is executed
    begun, goes_on = asyncio.Event(), asyncio.Event()

    @worker.tool(effect="at_most_once")
    async def lookup(order: int) -> str:
        begun.set()
        await goes_on.wait()
        return "found"

    await apply_clerk(suite, worker)
    async with serving(worker) as stop:
        run_id = await submitted(suite)
        await begun.wait()

        # when the worker is asked to stop, and the call ends
        stop.set()
        goes_on.set()
        events = await suite.follow(run_id)

    # then its result was delivered
    assert events[-1].run_finished.output_text == "it says found"


async def test_a_probe_says_what_became_of_a_call_that_timed_out(
    suite: Suite, worker: Worker
) -> None:
    # given a tool whose effects can be looked up, and whose first call hangs after its effect
    orders: dict[str, int] = {}

    def was_ordered(order: int, context: Context) -> Happened | DidNotHappen:
        found = orders.get(context.idempotency_key)
        return DidNotHappen() if found is None else Happened(f"ordered {order}")

    @worker.tool(effect="reconcilable", timeout_s=1.0, probe=was_ordered)
    async def lookup(order: int, context: Context) -> str:
        orders[context.idempotency_key] = order
        await asyncio.Event().wait()
        return "never"

    await apply_clerk(suite, worker)

    # when an agent calls it
    async with serving(worker):
        said = await answer(suite)

    # then what the probe found is the result, and nothing was done twice
    assert said == "it says ordered 4711"
    assert len(orders) == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("cat", 'it says {"order": 4711}'),
        ('echo "$RUNYARD_ATTEMPT"', "it says 1"),
        ("echo no such order >&2; exit 3", "it says EXIT_CODE: no such order"),
        ("exit 3", "it says EXIT_CODE: exit code 3"),
    ],
)
async def test_a_shell_command_can_be_a_tool(
    suite: Suite, worker: Worker, command: str, said: str
) -> None:
    worker.add(raw_tool("lookup", shell_tool(command), effect="pure"))
    await apply_clerk(suite, worker)
    async with serving(worker):
        assert await answer(suite) == said


async def test_a_cancelled_shell_command_is_stopped(suite: Suite, worker: Worker) -> None:
    # given a command that never ends by itself
    stopped = asyncio.Event()

    async def command(arguments: str, context: Context) -> str:
        begun.set()
        try:
            return await shell_tool("cat; sleep 1000 & wait")(arguments, context)
        finally:
            stopped.set()

    begun = asyncio.Event()
    worker.add(raw_tool("lookup", command))
    await apply_clerk(suite, worker)
    async with serving(worker):
        run_id = await submitted(suite)
        await begun.wait()

        # when its run is cancelled
        await suite.cancel(run_id=run_id)

        # then it has ended
        await stopped.wait()


async def asked_by_tool(suite: Suite, run_id: str) -> pb.Ticket:
    await suite.until_parked(run_id, pb.WAITING_KIND_TOOL_INPUT)
    listed = await suite.runs.ListTickets(service.ListTicketsRequest(run_id=run_id))
    return listed.tickets[0]


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_function_asks_a_person_and_another_worker_goes_on(
    suite: Suite, worker: Worker, kind: str
) -> None:
    # given a worker whose function asks a person
    begun: list[int] = []

    def lookup(order: int, context: Context) -> str:
        begun.append(context.attempt)
        try:
            amount = context.ask(f"how much of {order}?")
        except Exception:  # what a careful author writes
            return "failed"
        return f"{amount} paid"

    async def lookup_async(order: int, context: Context) -> str:
        return lookup(order, context)

    function = lookup if kind == "plain" else lookup_async
    worker.tool(name="lookup")(function)
    await apply_clerk(suite, worker)
    async with serving(worker):
        run_id = await submitted(suite)
        ticket = await asked_by_tool(suite, run_id)

    # when the worker is gone, the person answers, and another worker comes
    answer = pb.Verdict(answer=pb.Answer(content="half"))
    await suite.decide(answer, ticket_id=ticket.ticket_id)
    other = Worker("other", target=worker.target)
    other.tool(name="lookup")(function)
    async with serving(other):
        events = await suite.follow(run_id)

    # then its function has the answer
    assert ticket.question == "how much of 4711?"
    assert events[-1].run_finished.output_text == "it says half paid"
    assert begun == [1, 2]
