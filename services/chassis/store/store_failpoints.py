"""The failpoints of a store, with the same names and outcomes on both engines.

name               outcome of the action ``error``
store.beginning    the transaction does not begin: its callers fail, nothing is applied
store.statement    a statement of a closure was not executed: its caller fails, it alone is undone;
                   ``@n`` counts the statements of all closures as they are issued
store.closing      reached after each closure: its caller fails, only this closure is undone
store.committing   the commit fails: all of its callers fail, nothing is applied
store.committed    the answers are lost: the callers fail, but everything is applied and notified
store.answered     the notifications are lost: callers are answered, followers find it by polling
"""

from __future__ import annotations

from services.chassis.failpoints import failpoint

BEGINNING = failpoint("store.beginning")
STATEMENT = failpoint("store.statement")
CLOSING = failpoint("store.closing")
COMMITTING = failpoint("store.committing")
COMMITTED = failpoint("store.committed")
ANSWERED = failpoint("store.answered")
