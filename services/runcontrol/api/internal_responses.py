"""Answers to the other services."""

from __future__ import annotations

from runyard.runcontrol.v1 import runcontrol_internal_service_pb2 as internal
from services.chassis.calls.call import MutationResponse
from services.runcontrol.api import enums
from services.runcontrol.core.waking import WakeOutcome


def woken_to_pb(outcome: WakeOutcome) -> internal.DeliverWakeResponse:
    return internal.DeliverWakeResponse(outcome=enums.WAKE_OUTCOMES.to_pb[outcome])


WOKEN = MutationResponse(internal.DeliverWakeResponse, woken_to_pb)
