"""Show a run to its end."""

from __future__ import annotations

import base64
from contextlib import aclosing

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.cli.base.exits import CliError
from services.cli.base.terminal import Terminal
from services.cli.runs.following import Following
from services.cli.runs.quiet import Quiet
from services.cli.runs.showing import shown
from services.cli.runs.view import RunView


async def show(following: Following, terminal: Terminal, *, verbose: bool = False) -> None:
    """Show a run to its end.

    Args:
        verbose: Every event that has a line, not only what tells a person something.

    Raises:
        CliError: It did not complete.
    """
    view = RunView(terminal, quiet=None if verbose else Quiet())
    following.on_outage = lambda: terminal.line(
        ("run control is away, trying again for a while", "yellow")
    )
    try:
        async with aclosing(following.events()) as events:
            async for _ in shown(events, view, following.clock):
                pass
    finally:
        if view.finished is None and following.run_seq:
            cursor = base64.urlsafe_b64encode(following.cursor).decode()
            terminal.line("the run goes on; follow it with:")
            terminal.copyable(f"  runyard watch run {following.run_id} --after {cursor}")
            terminal.data({"cursor": cursor})
    if not view.completed and view.finished is not None:
        end = view.finished.termination
        raise CliError(
            f"the run did not complete: {end.message or 'see above'}",
            reason=end.error_reason or pb.TerminationReason.Name(end.reason),
        )
