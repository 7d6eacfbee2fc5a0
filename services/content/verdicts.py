"""Which verdict decides which kind of ticket: the one place that server and command go by.

Kinds and verdicts are named as ``runyard.runcontrol.v1`` names them.
"""

from __future__ import annotations

from collections.abc import Mapping

APPLICABLE: Mapping[str, tuple[str, ...]] = {
    "approval": (
        *("approve", "approve_edited", "pass_to_tool", "deny", "answer"),
        *("cancel_call", "cancel_run"),
    ),
    "question": ("answer", "deny", "cancel_call", "cancel_run"),
    "tool_input": ("answer", "pass_to_tool", "cancel_call", "cancel_run"),
    "reconcile": ("happened", "did_not_happen", "abandon", "cancel_run"),
}


def misfit(verdict: str, kind: str) -> str:
    """Why the verdict does not decide tickets of the kind, and what does; "" if it does."""
    fitting = APPLICABLE[kind]
    if verdict in fitting:
        return ""
    return f"{verdict} does not decide a {kind} ticket; these do: {', '.join(fitting)}"
