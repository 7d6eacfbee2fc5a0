"""The names of the spans, attributes and links of an executed run."""

from __future__ import annotations

from typing import Final

from services.chassis.observe.metrics import (
    Counter,
    Histogram,
    ObservedUpDownCounter,
    UpDownCounter,
)

STEP: Final = "runyard.run.step"
ATTEMPT: Final = "runyard.run.attempt"
CAUSES: Final = "runyard.run.causes"
OUTCOME: Final = "runyard.run.outcome"
OPERATION: Final = "gen_ai.operation.name"
AGENT: Final = "gen_ai.agent.id"
CONVERSATION: Final = "gen_ai.conversation.id"
LINK_DECISION: Final = "decided_by"  # to the call that submitted the decision
LINK_INPUT: Final = "said_by"  # to the call that injected the input

ACTIVE = UpDownCounter("runyard.runs.active", "{run}", "Runs that are being executed.")
FENCED = Counter("runyard.lease.fenced", "{attempt}", "Attempts whose server had lost the run.")
FIRST_REQUEST = Histogram(
    "runyard.run.time_to_first_request",
    "s",
    "From the submission of a run to its first request to a model.",
)

INVOKED = Histogram(
    "gen_ai.invoke_agent.duration",
    "s",
    "How long activations of runs took, until they park or end.",
)


def run_span(agent_id: str) -> str:
    """The name of the span around one activation of a run."""
    return f"invoke_agent {agent_id}"


WORKERS = ObservedUpDownCounter(
    "runyard.workers", "{session}", "Sessions of tool workers that are open."
)
CREDIT = ObservedUpDownCounter(
    "runyard.workers.credit", "{call}", "Calls that may be given to the workers that are connected."
)
