"""One caller that reads the same again and again, in a process of its own.

python -m tests.bench.steady_reader TARGET METHOD REQUEST_HEX

For each number of seconds on a line of its input it prints the latencies of the reads in that time,
in seconds, as one line of JSON. A refusal is an answer too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time

import grpc

from services.chassis.clock import SystemClock

# Between two reads: a caller of its own is no load.
_PAUSE_S = 0.005
_CALL_LIMIT_S = 60.0


async def read(call: grpc.aio.UnaryUnaryMultiCallable, request: bytes, for_s: float) -> list[float]:  # type: ignore[type-arg]  # not subscriptable at run time
    taken_s = []
    ends_s = time.perf_counter() + for_s
    while time.perf_counter() < ends_s:
        began_s = time.perf_counter()
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call(request, timeout=_CALL_LIMIT_S)
        taken_s.append(time.perf_counter() - began_s)
        await SystemClock().sleep(_PAUSE_S)
    return taken_s


async def main(target: str, method: str, request: bytes) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary(method)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await read(call, request, float(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])))
