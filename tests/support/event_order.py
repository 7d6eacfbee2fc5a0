"""What a reader of a run's or a thread's events can rely on, and the conversation it rebuilds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from runyard.runcontrol.v1 import runcontrol_pb2 as pb


def uncovered_gaps(events: Sequence[pb.Event], after: int = 0) -> list[str]:
    """Where the sequence of a run repeats or skips what no later event covers."""
    found, newest = [], after
    covered = {seq for event in events for seq in _covers(event)}
    for event in events:
        if event.run_seq <= newest:
            found.append(f"{event.run_seq} after {newest}")
        skipped = set(range(newest + 1, event.run_seq)) - covered
        found += [f"{seq} is missing" for seq in sorted(skipped)]
        newest = event.run_seq
    return found


def uncovered_thread_gaps(events: Sequence[pb.Event]) -> list[str]:
    """The same for all events of a thread: its order lacks as many as those of its runs."""
    of_runs: dict[str, list[pb.Event]] = defaultdict(list)
    for event in events:
        of_runs[event.run_id].append(event)
    found = [gap for each in of_runs.values() for gap in uncovered_gaps(each)]
    seqs = [event.thread_seq for event in events]
    if seqs != sorted(set(seqs)):
        found.append("the order of the thread repeats")
    missing = sum(each[-1].run_seq - len(each) for each in of_runs.values())
    if seqs and seqs[-1] - len(seqs) != missing:
        found.append(f"the order of the thread lacks {seqs[-1] - len(seqs)}, not {missing}")
    return found


def rebuilt(events: Sequence[pb.Event]) -> tuple[list[pb.ThreadMessage], str]:
    """The conversation as a reader has it, and the text that is not part of a message yet."""
    messages, deltas = [], dict[tuple[str, int], str]()
    for event in events:
        for seq in _covers(event):
            deltas.pop((event.run_id, seq), None)
        if event.HasField("message_committed"):
            messages.append(event.message_committed.message)
        if event.HasField("text_delta"):
            deltas[event.run_id, event.run_seq] = event.text_delta.text
    return messages, "".join(deltas.values())


def _covers(event: pb.Event) -> Iterator[int]:
    """The run sequences that the event covers."""
    if event.HasField("step_reset"):
        yield from range(event.step_reset.from_run_seq, event.run_seq)
    elif event.message_committed.covers_from_run_seq:
        committed = event.message_committed
        yield from range(committed.covers_from_run_seq, committed.covers_to_run_seq + 1)
