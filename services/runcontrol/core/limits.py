"""The limits of requests; ``GetServerInfo`` reports those that callers need to know."""

from __future__ import annotations

# Of all repeated fields of a request.
MAX_ENTRIES = 60_000
# Of a submission.
MAX_MESSAGES = 256
MAX_TOPICS = 64
MAX_ROUNDS = 1000
MAX_DEADLINE_S = 24 * 3600.0
MAX_DELAY_S = 366 * 86_400.0

# Of a cancel or a decision.
MAX_TEXT_CHARS = 4096
MAX_ANSWER_BYTES = 64 * 1024

MAX_DIGEST_BYTES = 64
SCHEMA_DIGEST_BYTES = 32

MAX_WAKE_MESSAGES = 64
MAX_TRACEPARENT_BYTES = 512

# Of a list of tickets.
MAX_STATES = 16

# That a run has to read; every transaction of the run loads them.
MAX_PENDING_INPUTS = 100
# Of an answer to an interrupt.
MAX_SUPERSEDED_IDS = 1000

# Of an answer to a deletion.
MAX_CANCELLED_IDS = 1000

# Of the calls of built-in tools; the pool has the same limit of a body.
MAX_BODY_BYTES = 64 * 1024
MAX_WAIT_S = 30 * 86_400.0
MAX_CHECKED_MESSAGES = 64
MAX_WAIT_EVENTS = 64
MAX_WAIT_KINDS = 64
MAX_CORRELATION = 16
# Of runs that start runs: how many may be above one.
MAX_RUN_DEPTH = 8

# Of a worker's session.
MAX_SERVED_TOOLS = 1_000
MAX_LABELS = 16
MAX_INFLIGHT = 10_000
MAX_CREDIT = 10_000
MAX_RESULT_BYTES = 1024 * 1024
MAX_NOTE_CHARS = 4096

# Of a sweep: how many rows it takes at a time.
SWEEP_LIMIT = 200

# Of a model call: what the router reads. One message of gRPC has 16 MiB at most.
MAX_PROMPT_BYTES = 16 << 20
MAX_PROMPT_MESSAGES = 10_000
# Of the messages of a page of inputs, unless one input alone is larger.
PAGE_BYTES = 1 << 20

# Of one answer about a call: characters of its arguments, and of its result.
PART_CHARS = 256 * 1024
# Of one answer about a run.
MAX_SHOWN_CALLS = 1_000

DEFAULT_PAGE = 50
MAX_PAGE = 200


def page_size(wanted: int) -> int:
    """How many entries a page has: ``wanted``, at most 200; 50 for 0."""
    return min(wanted or DEFAULT_PAGE, MAX_PAGE)
