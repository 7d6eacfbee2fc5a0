"""The traces of an id, from the spans that a data folder keeps."""

from __future__ import annotations

from pathlib import Path

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.prefixes import is_prefix, only_run
from services.cli.traces.ring import read_ring, spans_folder
from services.cli.traces.tree import Trace, find_traces, run_ids_of


def run_ids(data: Path) -> set[str]:
    """The runs of which a data folder keeps spans; none where it keeps no spans."""
    folder = spans_folder(data)
    return run_ids_of(read_ring(folder)) if folder.is_dir() else set()


def load(wanted: str, data: Path) -> list[Trace]:
    """The traces of an id.

    Raises:
        CliError: There are none, or no spans at all, or several runs begin with it.
    """
    folder = spans_folder(data)
    if not folder.is_dir():
        raise CliError(
            f"no traces in {data}",
            reason="NO_TRACES",
            hint="name the folder that runyard up was given: --data DIR",
            exit_code=EXIT_USAGE,
        )
    spans = list(read_ring(folder))
    traces = find_traces(spans, wanted)
    if not traces and is_prefix(wanted):
        traces = find_traces(spans, only_run(wanted, run_ids_of(spans)))
    if not traces:
        raise CliError(
            f"no trace of {wanted} in {data}",
            reason="TRACE_NOT_FOUND",
            hint="spans arrive half a second after they end, and the oldest are dropped",
        )
    return traces
