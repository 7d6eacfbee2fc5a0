"""Why a server refuses a call."""

from __future__ import annotations

from collections.abc import Awaitable

import grpc
import pytest

from services.chassis.calls.rpc_status import ErrorFacts, reason_of


async def refused(call: Awaitable[object]) -> ErrorFacts:
    """The facts of the status that ``call`` fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)
