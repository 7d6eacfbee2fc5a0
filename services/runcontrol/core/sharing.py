"""Which threads a server claims next: tenants take turns, each up to its own limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice, zip_longest


def turn_order(tenants: Iterable[str], served_last: str) -> list[str]:
    """The tenants by name, those first that follow the one that was served last."""
    return sorted(tenants, key=lambda tenant: (tenant <= served_last, tenant))


def room(executing: int, limit: int, most_per_tenant: int) -> int:
    """How many more runs of a tenant may be claimed.

    Args:
        executing: How many are executed, by all servers.
        limit: How many runs are claimed at most.
        most_per_tenant: 0 = any number.
    """
    return min(limit, max(0, most_per_tenant - executing)) if most_per_tenant else limit


def in_turns(ready: Mapping[str, Sequence[str]], limit: int) -> list[tuple[str, str]]:
    """Tenant and id of up to ``limit`` threads: one of each tenant, then one more of each.

    Args:
        ready: By tenant in the order of their turns, threads that can be claimed.
    """
    queues = ([(tenant, thread_id) for thread_id in threads] for tenant, threads in ready.items())
    rounds = chain.from_iterable(zip_longest(*queues))
    return list(islice((key for key in rounds if key is not None), limit))
