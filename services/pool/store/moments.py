"""Failpoints of the pool: moments of a pool, each in the transaction that holds it.

| moment | what the transaction holds |
|---|---|
| ``join`` | a member with its topics |
| ``send`` | a message with its body |
| ``trigger`` | the end of a wait, with the command that wakes the run |

Of a process that is killed there, and of a caller who gets an error there, nothing is left.
``store.committed`` and ``store.answered`` are the same moments after the commit.
"""

from __future__ import annotations

from services.chassis.failpoints import failpoint

JOIN = failpoint("pool.join")
SEND = failpoint("pool.send")
TRIGGER = failpoint("pool.trigger")
