"""Where a store may be made to fail: the same places, and the same outcome, on every engine.

place              with ``error``
store.beginning    the transaction did not begin: its callers fail, nothing is applied
store.closing      after a closure ran, before the next: its caller fails, it alone is undone
store.committing   the commit failed: all of its callers fail, nothing is applied
store.committed    the answers got lost: the callers fail, yet everything is applied and rung
store.answered     the rings got lost: everybody is answered, followers find it by polling
"""

from __future__ import annotations

from services.chassis.failpoints import failpoint

BEGINNING = failpoint("store.beginning")
CLOSING = failpoint("store.closing")
COMMITTING = failpoint("store.committing")
COMMITTED = failpoint("store.committed")
ANSWERED = failpoint("store.answered")
