"""How much a test does: little in ``make test``, more in ``make chaos``.

    pytestmark = scaled                                # `make chaos` runs it too
    WATCHERS = amount(gate=50, chaos=200)
    @settings(max_examples=amount(gate=8, chaos=100))
    @both_in_chaos                                     # PostgreSQL in `make chaos` alone

The profile is the one that Hypothesis runs with, ``HYPOTHESIS_PROFILE``: ``gate`` or ``chaos``.
"""

from __future__ import annotations

import os

import pytest

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "gate")

# For a test that uses `amount`, unless Hypothesis runs it: those are part of `make chaos` anyway.
scaled = pytest.mark.scaled

_CHAOS_ON_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.chaos)
# For what lies above the store: SQLite in the gate, both engines in `make chaos`.
both_in_chaos = pytest.mark.parametrize(
    "database_url", ["sqlite", _CHAOS_ON_POSTGRESQL], indirect=True
)


def amount(*, gate: int, chaos: int) -> int:
    """The number of the profile in use."""
    return chaos if PROFILE == "chaos" else gate
