"""Which database a suite of servers runs on."""

from __future__ import annotations

import pytest

# For what has to be seen on PostgreSQL as well; everything else runs on SQLite alone, for time.
on_both_engines = pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
